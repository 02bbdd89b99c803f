//! What has to be right about a pipeline, and about all of them together.

use std::{collections::BTreeMap, path::Path, time::Duration};

use floe_engine::TopicName;
use floe_pipeline::{FuseSpec, PipelineSpec, RetrySpec, TOPIC_PREFIX, sinks::SinkSpec, units::span};

use super::{
    Configured,
    place::Place,
    raw::{RawBatch, RawFuse, RawPipeline, RawRetry},
};

const MAX_NAME_CHARS: usize = 100;
const MAX_GROUP_BYTES: usize = 255;
const MAX_TOPICS: usize = 100;
const MAX_BATCH_RECORDS: usize = 10_000;
const MIN_BATCH_BYTES: usize = 1 << 10;
const MAX_BATCH_BYTES: usize = 16 << 20;
const MAX_BATCH_WAIT: Duration = Duration::from_secs(60);
const MIN_RETRY: Duration = Duration::from_millis(1);
const MAX_RETRY: Duration = Duration::from_secs(3_600);
const MAX_ATTEMPTS: u32 = 1_000;
const MAX_ELAPSED: Duration = Duration::from_secs(7 * 86_400);
const MAX_FUSE_WINDOW: usize = 100_000;
/// How long a record's steps may take, unless said otherwise.
pub(crate) const STEP_LIMIT: Duration = Duration::from_secs(1);
const MIN_STEP_LIMIT: Duration = Duration::from_millis(10);
const MAX_STEP_LIMIT: Duration = Duration::from_secs(60);

/// A pipeline from its tables, or the first thing that is wrong with it.
pub(super) fn checked(
    raw: RawPipeline,
    sinks: Vec<SinkSpec>,
    folder: &Path,
    place: &Place<'_>,
) -> Result<PipelineSpec, String> {
    let name = raw.name;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(good) {
        let expected = format!("a name has 1 to {MAX_NAME_CHARS} of the characters A-Z a-z 0-9 . _ -");
        return Err(place.wrong("name", expected));
    }
    let from = raw.from.into_vec();
    topics(&from, "from", place)?;
    let group = raw.group.unwrap_or_else(|| format!("pipeline:{name}"));
    if group.is_empty() || group.len() > MAX_GROUP_BYTES || group.chars().any(char::is_control) {
        let expected = format!("a group's name has 1 to {MAX_GROUP_BYTES} bytes, without control characters");
        return Err(place.wrong("group", expected));
    }
    let dead_letter_topic =
        raw.dead_letter.map_or_else(|| format!("{TOPIC_PREFIX}{name}"), |dead_letter| dead_letter.topic);
    topics(std::slice::from_ref(&dead_letter_topic), "dead_letter", place)?;
    if !dead_letter_topic.starts_with(TOPIC_PREFIX) {
        let why =
            format!("dead_letter.topic must begin with '{TOPIC_PREFIX}': there dead letters are looked for");
        return Err(place.wrong("dead_letter", why));
    }
    if from.contains(&dead_letter_topic) {
        let why = format!("it reads '{dead_letter_topic}', to which its own dead letters go");
        return Err(place.wrong("from", why));
    }
    if let Some(topic) = sinks.iter().filter_map(topic_of).find(|topic| from.iter().any(|read| read == topic))
    {
        return Err(
            place.wrong("to", format!("it writes to topic '{topic}', which it reads: that would never end"))
        );
    }
    let step_limit = raw.step_limit.unwrap_or(STEP_LIMIT);
    within(step_limit, MIN_STEP_LIMIT, MAX_STEP_LIMIT)
        .map_err(|why| place.wrong("step_limit", format!("step_limit: {why}")))?;
    let steps = super::steps(raw.schema, raw.filter, raw.map, folder)
        .map_err(|(key, why)| place.wrong(key, format!("{key}: {why}")))?;
    batch_is_right(&raw.batch).map_err(|why| place.wrong("batch", format!("batch.{why}")))?;
    Ok(PipelineSpec {
        name,
        from,
        group,
        start: raw.start.into(),
        steps: steps.into_iter().map(|(_, step)| step).collect(),
        step_limit,
        sinks,
        batch: raw.batch.spec(),
        retry: retry(&raw.retry).map_err(|why| place.wrong("retry", format!("retry.{why}")))?,
        fuse: fuse(&raw.fuse).map_err(|why| place.wrong("fuse", format!("fuse.{why}")))?,
        dead_letter_topic,
    })
}

/// What is wrong between pipelines.
pub(super) fn conflicts(pipelines: &[Configured]) -> Vec<String> {
    let mut names = BTreeMap::new();
    let mut groups = BTreeMap::new();
    let mut errors = Vec::new();
    for Configured { spec, origin } in pipelines {
        if let Some(other) = names.insert(spec.name.as_str(), origin) {
            errors.push(format!("{origin}: pipeline '{}': {other} has one of the same name", spec.name));
        } else if let Some(other) = groups.insert(spec.group.as_str(), &spec.name) {
            let (name, group) = (&spec.name, spec.group.escape_debug());
            errors.push(format!(
                "{origin}: pipeline '{name}': its group '{group}' is that of pipeline '{other}': each would get only a part \
                 of the records"
            ));
        }
    }
    errors
}

fn topics(names: &[String], key: &str, place: &Place<'_>) -> Result<(), String> {
    if names.is_empty() || names.len() > MAX_TOPICS {
        return Err(place.wrong(key, format!("expected 1 to {MAX_TOPICS} topics")));
    }
    for (at, name) in names.iter().enumerate() {
        let topic = TopicName::new(name)
            .map_err(|why| place.wrong(key, format!("topic '{}': {why}", name.escape_debug())))?;
        if topic.is_internal() {
            return Err(place.wrong(key, format!("topic '{name}' is the system's own")));
        }
        if names[..at].contains(name) {
            return Err(place.wrong(key, format!("topic '{name}' is named twice")));
        }
    }
    Ok(())
}

/// The topic that a sink writes to.
fn topic_of(sink: &SinkSpec) -> Option<&str> {
    match sink {
        SinkSpec::Topic(spec) => Some(&spec.topic),
        SinkSpec::Events(_)
        | SinkSpec::Sql(_)
        | SinkSpec::File(_)
        | SinkSpec::Stdout(_)
        | SinkSpec::Webhook(_)
        | SinkSpec::Redis(_) => None,
    }
}

fn batch_is_right(raw: &RawBatch) -> Result<(), String> {
    let batch = raw.spec();
    if !(1..=MAX_BATCH_RECORDS).contains(&batch.max_records) {
        return Err(format!("max_records: expected 1 to {MAX_BATCH_RECORDS}"));
    }
    if !(MIN_BATCH_BYTES..=MAX_BATCH_BYTES).contains(&batch.max_bytes) {
        return Err("max_bytes: expected a size from 1KiB to 16MiB".to_owned());
    }
    within(batch.max_wait, Duration::ZERO, MAX_BATCH_WAIT).map_err(|why| format!("max_wait: {why}"))
}

fn retry(raw: &RawRetry) -> Result<RetrySpec, String> {
    let RawRetry { initial, max, attempts, elapsed } = *raw;
    within(initial, MIN_RETRY, MAX_RETRY).map_err(|why| format!("initial: {why}"))?;
    within(max, initial, MAX_RETRY).map_err(|why| format!("max: {why}"))?;
    within(elapsed, Duration::ZERO, MAX_ELAPSED).map_err(|why| format!("elapsed: {why}"))?;
    if !(1..=MAX_ATTEMPTS).contains(&attempts) {
        return Err(format!("attempts: expected 1 to {MAX_ATTEMPTS}"));
    }
    Ok(RetrySpec { initial, max, attempts, elapsed })
}

fn fuse(raw: &RawFuse) -> Result<Option<FuseSpec>, String> {
    let (share, window) = match raw {
        RawFuse::Switch(false) => return Ok(None),
        RawFuse::Switch(true) => return Ok(Some(FuseSpec::default())),
        RawFuse::Table(table) => (table.share, table.window),
    };
    if !(share > 0.0 && share <= 1.0) {
        return Err("share: expected a number above 0 and at most 1".to_owned());
    }
    if !(1..=MAX_FUSE_WINDOW).contains(&window) {
        return Err(format!("window: expected 1 to {MAX_FUSE_WINDOW} records"));
    }
    Ok(Some(FuseSpec { share, window }))
}

fn within(found: Duration, least: Duration, most: Duration) -> Result<(), String> {
    if found < least || found > most {
        return Err(format!("expected a time from {} to {}", span::write(least), span::write(most)));
    }
    Ok(())
}
