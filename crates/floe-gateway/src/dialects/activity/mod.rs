//! Seed 003: activity events. Tracked by `POST /v1/event`, checked, accepted into the topic `events`; once the pipeline
//! `events-store` has put them into the table they are found, counted and followed here.

mod event;
mod follow;
mod stored;
mod track;

use floe_store::StoreError;

use crate::{
    gateway::{EventService, Gateway},
    problem::{ApiError, Code},
};

pub(crate) use follow::{__path_follow_events, follow_events};
pub(crate) use stored::{
    __path_count_events, __path_erase_event, __path_find_event, __path_list_events, count_events,
    erase_event, find_event, list_events,
};
pub(crate) use track::{__path_track_event, __path_track_events, track_event, track_events};

/// The event service, or the answer where there is none.
fn service(gateway: &Gateway) -> Result<&EventService, ApiError> {
    gateway.events().ok_or_else(|| {
        ApiError::new(
            Code::Unavailable,
            "this server stores no events: they are switched off in its configuration ([events])",
        )
    })
}

/// What the store could not do. Its own words are for the operator: `/health` and the log have them.
fn store_failure(error: StoreError) -> ApiError {
    match error {
        StoreError::Unavailable(_) => ApiError::new(
            Code::Unavailable,
            "the event store can't be reached right now; events are still accepted, and stored when it is back",
        )
        .retry_after(1),
        StoreError::Refused(why) => {
            tracing::error!(error = why, "the event store refuses what it is asked");
            ApiError::new(
                Code::Unavailable,
                "the event store's database refuses what it is asked; the server's log says why",
            )
        }
    }
}
