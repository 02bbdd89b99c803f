//! The routes of the seed documents: each parses, calls the engine, prints, and keeps no state of its own.

mod ingest;
mod ingest_status;
mod pubsub;

pub(crate) use ingest::{__path_register_event, EVENTS_TOPIC, register_event};
pub(crate) use ingest_status::{__path_get_status, get_status, totals as ingest_totals};
pub(crate) use pubsub::{
    __path_create_topic, __path_delete_topic, __path_read, __path_subscribe, __path_unsubscribe,
    __path_write, create_topic, delete_topic, read, subscribe, unsubscribe, write,
};
