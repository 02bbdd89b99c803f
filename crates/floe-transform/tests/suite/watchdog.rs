//! Programs that don't end, or take the interpreter with them.

use std::time::Duration;

use floe_transform::{Outcome, RunnerError, TURNS_MAX, Transform};

use crate::stage::{PLENTY, map, outcome, poison, record, values};

/// The library sorts in one go, in which no turn is counted: with so many comparisons of equal text that takes a while.
/// Short enough that a thread that was given up ends with the tests.
const SORT: &str = "if . > 0 then . else (\"x\" * 8000000) as $x | [range(10000) | $x] | sort | length end";

#[tokio::test]
async fn loops_without_end_are_poison_by_their_turns() {
    for code in [
        "[range(0; 1; 0)]",
        "recurse(. + 1) | empty",
        "[range(1e9) | try until(false; .) catch 0] | length",
        "[range(200)] | [.[] as $a | .[] as $b | .[] as $c | select($a + $b + $c < 0)]",
        "[[range(200)] | (., ., .)] | [combinations] | length",
    ] {
        let why = outcome(&[map(code)], "1").await;
        assert!(poison(&why).contains(&TURNS_MAX.to_string()), "{code}: {why:?}");
    }
}

#[tokio::test]
async fn a_value_as_deep_as_turns_allow_does_not_overflow_the_stack() {
    for code in [
        "reduce range(999999) as $i (.; [.])",
        "reduce range(999999) as $i (.; {a: .})",
        "reduce range(999999) as $i (.; [.]) | 1",
        "last(limit(999999; recurse([.]))) | 1",
        "until(false; [.])",
        "walk([.])",
        ".. |= [., .]",
        "[recurse([.]; length < 5)] | length",
    ] {
        let deep = outcome(&[map(code)], "1").await;
        assert!(!matches!(deep, Outcome::Dropped), "{code}");
    }
}

#[tokio::test]
async fn text_that_nests_deep_is_an_error_to_fromjson() {
    let value = serde_json::to_string(&"[".repeat(500_000)).unwrap();
    let why = outcome(&[map("fromjson")], &value).await;
    assert!(poison(&why).contains("deeper than"), "{why:?}");
    let value = serde_json::to_string(&"[".repeat(500_000)).unwrap();
    assert!(matches!(outcome(&[map("tonumber")], &value).await, Outcome::Poison(_)));
}

#[tokio::test]
async fn a_record_that_takes_too_long_is_stopped_and_the_others_go_on() {
    let code =
        "if . == 0 then [range(1000) | [range(1000)] | sort | group_by(.) | length] | length else . end";
    let mut runner = Transform::compile(&[map(code)]).unwrap().start(Duration::from_millis(20));
    for _ in 0..5 {
        let batch = [1, 0, 2].map(|value| record(value, value.to_string())).to_vec();
        let outcomes = runner.run(batch).await.unwrap();
        assert_eq!((&outcomes[0], &outcomes[2]), (&values(&["1"]), &values(&["2"])));
        assert!(poison(&outcomes[1]).contains("longer than"), "{outcomes:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_stopped_is_given_up_and_the_others_go_on() {
    let transform = Transform::compile(&[map(SORT)]).unwrap();
    let mut runner = transform.start(Duration::from_millis(100));
    let batch = vec![record(1, "1"), record(2, "0"), record(3, "3")];
    let outcomes = runner.run(batch).await.unwrap();
    assert_eq!((&outcomes[0], &outcomes[2]), (&values(&["1"]), &values(&["3"])));
    assert!(poison(&outcomes[1]).contains("given up"), "{outcomes:?}");

    // A second runner of the same steps counts along, so that threads without end stay few.
    let mut other = transform.start(Duration::from_millis(100));
    let batch = vec![record(4, "0"), record(5, "0"), record(6, "6")];
    assert_eq!(other.run(batch).await, Err(RunnerError::Runaway { given_up: 3 }));
    assert_eq!(runner.run(vec![record(7, "7")]).await, Err(RunnerError::Runaway { given_up: 3 }));
}

#[tokio::test]
async fn a_slow_batch_of_quick_records_is_not_stopped() {
    let mut runner =
        Transform::compile(&[map("[range(20000)] | length")]).unwrap().start(Duration::from_secs(2));
    let batch: Vec<_> = (0..200).map(|offset| record(offset, "0")).collect();
    let outcomes = runner.run(batch).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == values(&["20000"])));
}

#[tokio::test]
async fn a_runner_takes_batch_after_batch() {
    let mut runner = Transform::compile(&[map(". + 1")]).unwrap().start(PLENTY);
    for round in 0..100_i64 {
        let batch = (0..round).map(|offset| record(offset, offset.to_string())).collect();
        let outcomes = runner.run(batch).await.unwrap();
        let expected: Vec<_> = (0..round).map(|offset| values(&[&(offset + 1).to_string()])).collect();
        assert_eq!(outcomes, expected);
    }
}

#[tokio::test]
async fn a_number_in_a_record_cannot_ask_for_more_memory_than_there_is() {
    for code in [
        "\"-\" * .width",
        ".width * \"ab\"",
        ".pad = \"-\" | .pad *= .width | .pad *= 1e12",
        "[.width, 1e12] | \"x\" * .[]",
        "def line($n): \"=\" * $n; line(.width)",
        "[\"-\" | . * 1e300]",
        "[] | .[1e12] = 1",
        "{} | .a[4e9] = 1",
        "[] | setpath([1e12]; 1)",
        "[range(.width)]",
        "[limit(.width; range(1e12))]",
    ] {
        let outcome = outcome(&[map(code)], r#"{"width": 9000000000000}"#).await;
        assert!(matches!(outcome, Outcome::Poison(_)), "{code}: {outcome:?}");
    }
    assert_eq!(outcome(&[map("\"-\" * .n")], r#"{"n": 3}"#).await, values(&["\"---\""]));
}
