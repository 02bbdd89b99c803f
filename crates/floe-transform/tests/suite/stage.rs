//! What the tests share.

use std::time::Duration;

use bytes::Bytes;
use floe_transform::{Input, Outcome, Step, Transform};

/// Longer than any step here takes on a busy machine.
pub(crate) const PLENTY: Duration = Duration::from_secs(30);

pub(crate) fn record(offset: i64, value: impl Into<Bytes>) -> Input {
    Input {
        topic: "quakes".into(),
        partition: 3,
        offset,
        timestamp: 1_769_853_600_000,
        key: Some(Bytes::from_static(b"k1")),
        value: Some(value.into()),
        headers: vec![
            ("trace".into(), Some(Bytes::from_static(b"old"))),
            ("trace".into(), Some(Bytes::from_static(b"new"))),
            ("none".into(), None),
        ],
    }
}

pub(crate) fn filter(code: &str) -> Step {
    Step::Filter(code.to_owned())
}

pub(crate) fn map(code: &str) -> Step {
    Step::Map(code.to_owned())
}

/// What becomes of one value.
pub(crate) async fn outcome(steps: &[Step], value: &str) -> Outcome {
    outcome_of(steps, record(7, value.to_owned())).await
}

pub(crate) async fn outcome_of(steps: &[Step], input: Input) -> Outcome {
    let mut runner = Transform::compile(steps).unwrap().start(PLENTY);
    let mut outcomes = runner.run(vec![input]).await.unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

pub(crate) fn values(values: &[&str]) -> Outcome {
    Outcome::Values(values.iter().map(|value| Some(Bytes::copy_from_slice(value.as_bytes()))).collect())
}

/// The reason, if it is poison.
pub(crate) fn poison(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Poison(why) => why,
        other => panic!("not poison: {other:?}"),
    }
}
