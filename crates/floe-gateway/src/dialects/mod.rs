//! The routes of the seed documents: each parses, calls the engine, prints, and keeps no state of its own.

mod activity;
mod event_status;
mod events_topic;
mod ingest;
mod ingest_status;
mod pubsub;
mod recall;

pub(crate) use activity::{
    __path_count_events, __path_erase_event, __path_find_event, __path_follow_events, __path_list_events,
    __path_track_event, __path_track_events, count_events, erase_event, find_event, follow_events,
    list_events, track_event, track_events,
};
pub(crate) use events_topic::EVENTS_TOPIC;
pub(crate) use ingest::{__path_register_event, register_event};
pub(crate) use ingest_status::{__path_get_status, get_status, totals as ingest_totals};
pub(crate) use pubsub::{
    __path_create_topic, __path_delete_topic, __path_read, __path_subscribe, __path_unsubscribe,
    __path_write, create_topic, delete_topic, read, subscribe, unsubscribe, write,
};
pub(crate) use recall::{Recalled, all as recall_receipts};
