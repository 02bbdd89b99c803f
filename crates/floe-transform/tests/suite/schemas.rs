//! Checks against JSON Schemas.

use std::collections::BTreeMap;

use floe_transform::{SchemaChoice, SchemaFault, SchemaSet, Schemas, Step, Transform};

use crate::stage::{map, outcome, poison, values};

const PURCHASE: &str = r#"{
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number", "minimum": 0}}}}
}"#;

fn by_type(strict: bool) -> SchemaSet {
    let schemas = BTreeMap::from([("purchase".to_owned(), PURCHASE.into())]);
    SchemaSet {
        choice: SchemaChoice::By { members: vec!["event_type".into(), "type".into()], schemas },
        strict,
    }
}

fn one(text: &str) -> SchemaSet {
    SchemaSet { choice: SchemaChoice::One(text.into()), strict: true }
}

fn faults(set: &SchemaSet, value: &str) -> Vec<SchemaFault> {
    Schemas::compile(set).unwrap().check(value.as_bytes()).unwrap_err()
}

#[test]
fn the_schema_is_chosen_by_the_events_type() {
    let schemas = Schemas::compile(&by_type(false)).unwrap();
    for good in [
        r#"{"event_type":"purchase","data":{"amount":1.5}}"#,
        r#"{"type":"purchase","data":{"amount":0}}"#,
        r#"{"event_type":"unknown"}"#,
        r#"{"event_type":7,"type":"other"}"#,
        "[]",
    ] {
        assert_eq!(schemas.check(good.as_bytes()), Ok(()), "{good}");
    }
    for bad in [r#"{"event_type":"purchase"}"#, r#"{"event_type":7,"type":"purchase","data":{}}"#] {
        assert!(schemas.check(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_fault_names_the_place_and_what_was_expected_but_not_the_value() {
    let found = faults(&by_type(false), r#"{"event_type":"purchase","data":{"amount":"4242-secret"}}"#);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].pointer, "/data/amount");
    assert!(found[0].detail.contains("number"), "{found:?}");
    assert!(!found[0].detail.contains("4242"), "{found:?}");
    let found = faults(&by_type(false), r#"{"type":"purchase","data":{}}"#);
    assert!(found[0].pointer == "/data" && found[0].detail.contains("amount"), "{found:?}");
}

#[test]
fn strict_refuses_what_has_no_schema() {
    let found = faults(&by_type(true), r#"{"event_type":"other"}"#);
    assert_eq!(found[0].detail, "there is no schema for 'other'");
    let found = faults(&by_type(true), "{}");
    assert!(found[0].detail.contains("'event_type' or 'type'"), "{found:?}");
}

#[test]
fn faults_are_bounded_in_number_and_length() {
    let found = faults(&one(r#"{"items":{"type":"string"}}"#), "[1,2,3,4,5,6,7,8]");
    assert_eq!(found.len(), 5);
    let names: Vec<_> = (0..1_000).map(|n| format!("\"member{n}\"")).collect();
    let found = faults(&one(&format!(r#"{{"enum":[{}]}}"#, names.join(","))), "1");
    assert!(found[0].detail.chars().count() <= 201);
}

#[test]
fn what_is_not_json_is_a_fault_of_the_whole() {
    for bad in ["", "{", "\u{feff}{}"] {
        let found = faults(&one("{}"), bad);
        assert!(found[0].pointer.is_empty() && found[0].detail.contains("not JSON"), "{found:?}");
    }
    let deep = "[".repeat(200_000);
    assert!(faults(&one("{}"), &deep)[0].detail.contains("deeper"));
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_with_its_name() {
    for (text, told) in [
        ("{", "is not JSON"),
        (r#"{"type":"strng"}"#, "can't be used"),
        (r#"{"$ref":"http://localhost:9/other.json"}"#, "can't be used"),
        (r#"{"$ref":"file:///etc/passwd"}"#, "can't be used"),
        (r#"{"pattern":"(?=a)"}"#, "can't be used"),
    ] {
        let set = SchemaSet {
            choice: SchemaChoice::By {
                members: vec!["type".into()],
                schemas: BTreeMap::from([("login".to_owned(), text.into())]),
            },
            strict: false,
        };
        let why = Transform::compile(&[map("."), Step::Schema(set)]).unwrap_err().to_string();
        assert!(why.starts_with("step 2: the schema 'login'") && why.contains(told), "{text}: {why}");
    }
}

#[tokio::test]
async fn a_schema_step_checks_what_the_steps_before_it_made() {
    let steps = [map(".payload"), Step::Schema(one(r#"{"type":"object","required":["id"]}"#)), map(".id")];
    assert_eq!(outcome(&steps, r#"{"payload":{"id":5}}"#).await, values(&["5"]));
    let why = outcome(&steps, r#"{"payload":{"name":"x"}}"#).await;
    assert!(poison(&why).starts_with("step 2: the value does not fulfil the schema:"), "{why:?}");
    assert!(poison(&why).contains("id"), "{why:?}");
}

#[test]
fn a_pattern_that_would_take_for_ever_elsewhere_is_matched_at_once() {
    let schemas = Schemas::compile(&one(r#"{"pattern":"^(a+)+$"}"#)).unwrap();
    let value = format!("\"{}!\"", "a".repeat(50_000));
    assert!(schemas.check(value.as_bytes()).is_err());
}
