//! The pipeline that comes with Floe: from the topic `events`, checked, into the event store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use floe_transform::{SchemaChoice, SchemaSet, Step};

use crate::{
    BatchSpec, FuseSpec, PipelineSpec, RetrySpec, Start, TOPIC_PREFIX,
    sinks::{SinkSpec, events::EventsSpec},
};

/// The topic of events.
pub const EVENTS_TOPIC: &str = "events";
/// The pipeline that stores events.
pub const EVENTS_STORE: &str = "events-store";

const SCHEMAS: [(&str, &str); 3] = [
    ("click", include_str!("../schemas/click.json")),
    ("login", include_str!("../schemas/login.json")),
    ("purchase", include_str!("../schemas/purchase.json")),
];

/// How long the check of one event may take; the schemas are small.
const STEP_LIMIT: Duration = Duration::from_secs(1);

/// What events are checked against: the schemas that come with Floe, with `own` beside them or in their place (type of
/// event and JSON text). `strict` refuses types for which there is none.
#[must_use]
pub fn event_schemas(own: &BTreeMap<String, Arc<str>>, strict: bool) -> SchemaSet {
    let mut schemas: BTreeMap<String, Arc<str>> =
        SCHEMAS.iter().map(|(name, text)| ((*name).to_owned(), Arc::from(*text))).collect();
    schemas.extend(own.iter().map(|(name, text)| (name.clone(), Arc::clone(text))));
    let members = vec!["event_type".to_owned(), "type".to_owned()];
    SchemaSet { choice: SchemaChoice::By { members, schemas }, strict }
}

/// The pipeline `events-store`; of the schemas as [`event_schemas`].
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "the pipeline owns its schemas")]
pub fn events_store(own: BTreeMap<String, Arc<str>>, strict: bool) -> PipelineSpec {
    PipelineSpec {
        name: EVENTS_STORE.to_owned(),
        from: vec![EVENTS_TOPIC.to_owned()],
        group: format!("pipeline:{EVENTS_STORE}"),
        start: Start::Earliest,
        steps: vec![Step::Schema(event_schemas(&own, strict))],
        step_limit: STEP_LIMIT,
        sinks: vec![SinkSpec::Events(EventsSpec::default())],
        batch: BatchSpec::default(),
        retry: RetrySpec::default(),
        fuse: Some(FuseSpec::default()),
        dead_letter_topic: format!("{TOPIC_PREFIX}{EVENTS_STORE}"),
    }
}
