//! Rows in a table, each once.

use std::path::Path;

use bytes::Bytes;
use floe_pipeline::sinks::{Batch, DeliveryError};
use floe_store::{Cell, ColumnType, Database, DatabaseUrl, Row, TableShape, TableWriter};
use floe_testkit::services::Postgres;
use serde_json::{Value, json};

use super::{Stage, batch, fatal, header, key, record, spec, unavailable, unreadable};

#[expect(clippy::needless_pass_by_value, reason = "it is made where it is handed over")]
fn config(url: &str, columns: Value) -> Value {
    json!({"type": "sql", "url": url, "table": "quakes", "columns": columns})
}

fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("rows.sqlite").display())
}

fn quakes(url: &str) -> Value {
    config(url, json!({"place": ".place.name", "strength": {"from": ".mag", "type": "real"}}))
}

#[tokio::test]
async fn columns_are_filled_from_values_and_records() {
    let (stage, postgres) = (Stage::new(), Postgres::shared());
    let url = postgres.database();
    let columns = json!({
        "place": ".place.name",
        "depth": {"from": ".place.depth", "type": "integer"},
        "at": {"from": ".at", "type": "timestamp"},
        "felt": {"from": ".felt", "type": "boolean"},
        "whole": {"from": ".", "type": "json"},
        "topic": "$topic",
        "partition": {"from": "$partition", "type": "integer"},
        "offset": {"from": "$offset", "type": "integer"},
        "stored": {"from": "$timestamp", "type": "timestamp"},
        "key": "$key",
        "source": "$header.source",
        "bytes": {"from": "$value", "type": "bytes"},
    });
    let sink = stage.open(config(&url, columns)).unwrap();
    assert_eq!(sink.label(), "sql quakes");
    let mut hold = sink.claim(&key(3), "w1").await.unwrap();
    assert_eq!(hold.position(), None);
    let value = r#"{"pl\u0061ce": {"name": "Nome \"AK\"", "depth": 7, "x": [{}]}, "felt": true, "at": "2026-01-31T10:00:00Z"}"#;
    let mut first = record(5, value);
    first.headers = vec![header("source", "old"), header("source", "usgs")];
    // Another JSON value has no members.
    let second = record(6, "17");
    hold.deliver(&batch(vec![first, second])).await.unwrap();
    assert_eq!(hold.position(), Some(7));
    let asked = "SELECT place, depth, at AT TIME ZONE 'UTC', felt, whole->'felt', topic, partition, \"offset\", \
                 stored AT TIME ZONE 'UTC', key, source, length(bytes) FROM quakes WHERE place IS NOT NULL";
    let row = postgres.query(&url, asked);
    let expected = "Nome \"AK\"|7|2026-01-31 10:00:00|t|true|in|3|5|2026-01-31 10:00:00|k5|usgs|";
    assert_eq!(row.trim(), format!("{expected}{}", value.len()));
    let asked = "SELECT whole, key FROM quakes WHERE place IS NULL AND depth IS NULL AND source IS NULL";
    assert_eq!(postgres.query(&url, asked).trim(), "17|k6");
}

#[tokio::test]
async fn what_fits_no_column_is_poison_and_the_rest_is_delivered_again() {
    let (stage, folder) = (Stage::new(), tempfile::tempdir().unwrap());
    let mut hold = stage.hold(quakes(&sqlite(folder.path()))).await;
    let mut empty = record(4, "");
    empty.value = None;
    let mut bytes = record(5, "");
    bytes.value = Some(Bytes::from_static(b"\xff"));
    let records = vec![
        record(1, r#"{"mag": 1}"#),
        record(2, r#"{"mag": "secret"}"#),
        record(3, "secret"),
        empty,
        bytes,
    ];
    let refused = hold.deliver(&batch(records.clone())).await.unwrap_err();
    let DeliveryError::Poison { delivered: 0, records: poison } = refused else { panic!("{refused:?}") };
    assert_eq!(poison.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2, 4], "{poison:?}");
    assert!(poison[0].1.starts_with("column 'strength': it takes a number"), "{poison:?}");
    assert!(poison.iter().all(|(_, why)| !why.contains("secret")), "{poison:?}");
    assert_eq!(hold.position(), None);
    let rest = vec![records[0].clone(), records[3].clone()];
    hold.deliver(&Batch { records: rest, next_offset: 6 }).await.unwrap();
    assert_eq!(hold.position(), Some(6));
}

#[tokio::test]
async fn rows_that_the_database_refuses_are_poison_by_their_place() {
    let (stage, postgres) = (Stage::new(), Postgres::shared());
    let url = postgres.database();
    postgres.query(&url, "CREATE TABLE quakes (place text, strength real CHECK (strength < 10))");
    let mut hold = stage.hold(quakes(&url)).await;
    hold.deliver(&batch(vec![record(0, "{}"), record(1, "{}")])).await.unwrap();
    // The first two were delivered before and are passed over, the places count them nevertheless.
    let records = vec![record(0, "{}"), record(1, "{}"), record(2, "{}"), record(3, r#"{"mag": 11}"#)];
    let refused = hold.deliver(&batch(records)).await.unwrap_err();
    let DeliveryError::Poison { delivered: 2, records } = refused else { panic!("{refused:?}") };
    assert_eq!((records.len(), records[0].0), (1, 3));
    assert!(records[0].1.contains("check"), "{records:?}");
}

#[tokio::test]
async fn each_record_is_a_row_once_whoever_delivers_it() {
    let (stage, folder) = (Stage::new(), tempfile::tempdir().unwrap());
    let sink = stage.open(quakes(&sqlite(folder.path()))).unwrap();
    let records: Vec<_> = (0..10).map(|offset| record(offset, &format!(r#"{{"mag":{offset}}}"#))).collect();
    let mut old = sink.claim(&key(0), "w1").await.unwrap();
    old.deliver(&batch(records[..4].to_vec())).await.unwrap();
    let mut new = sink.claim(&key(0), "w2").await.unwrap();
    assert_eq!(new.position(), Some(4));
    new.deliver(&batch(records[2..8].to_vec())).await.unwrap();
    assert_eq!(old.deliver(&batch(records[4..10].to_vec())).await, Err(DeliveryError::Fenced));
    new.deliver(&batch(records.clone())).await.unwrap();
    new.deliver(&batch(records)).await.unwrap();
    assert_eq!(new.position(), Some(10));
    // One more writer finds what is there by a key on all columns.
    let database = Database::new(DatabaseUrl::parse(&sqlite(folder.path())).unwrap()).unwrap();
    let shape = TableShape {
        name: "copy".into(),
        columns: vec![("n".into(), ColumnType::Integer)],
        create: true,
        key: Vec::new(),
    };
    let writer = TableWriter::new(&database, shape).unwrap();
    let claim = writer.claim(&key(0), "w").await.unwrap();
    assert_eq!(claim.epoch, 1, "positions are kept by table");
    let row = Row { offset: 0, index: 0, cells: vec![Cell::Integer(1)] };
    assert_eq!(writer.write(&key(0), &claim, vec![row], 1).await, Ok(1));
}

#[tokio::test]
async fn outages_are_waited_for_and_refusals_need_a_person() {
    let (stage, folder) = (Stage::new(), tempfile::tempdir().unwrap());
    let mut missing = quakes(&sqlite(folder.path()));
    missing["create"] = false.into();
    let refused = stage.open(missing).unwrap().claim(&key(0), "w1").await.unwrap_err();
    assert!(fatal(&refused).contains("'quakes' does not exist"), "{refused:?}");
    let away = stage.open(quakes("postgres://u:canary@127.0.0.1:1/x")).unwrap();
    let failed = away.claim(&key(0), "w1").await.unwrap_err();
    assert!(!unavailable(&failed).contains("canary"), "{failed:?}");
    assert!(!format!("{away:?}").contains("canary"));
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_before_anything_starts() {
    let stage = Stage::new();
    let columns = json!({"a": ".a"});
    for (config, said) in [
        (config("mysql://u:canary@h/d", columns.clone()), "postgres://"),
        (config("sqlite:x", json!({"a": "a"})), "neither a path"),
        (config("sqlite:x", json!({"a": ".a..b"})), "no path"),
        (config("sqlite:x", json!({"a": "$header."})), "neither a path"),
        (config("sqlite:x", json!({"a\" text); --": ".a"})), "column's name"),
        (config("sqlite:x", json!({})), "columns"),
        (json!({"type": "sql", "table": "t", "columns": columns}), "set 'url'"),
        (
            json!({"type": "sql", "url": "sqlite:x", "table": "t\"; drop table x", "columns": columns}),
            "table's name",
        ),
        (
            json!({"type": "sql", "url": "sqlite:x", "table": "t", "columns": columns, "key": ["b"]}),
            "key's column",
        ),
    ] {
        let why = stage.open(config).unwrap_err();
        assert!(why.starts_with("sql: ") && why.contains(said) && !why.contains("canary"), "{why}");
    }
    let unknown = config("sqlite:x", json!({"a": {"from": ".a", "type": "number"}}));
    assert!(unreadable(unknown).contains("unknown variant `number`"));
    let unknown = config("sqlite:x", json!({"a": {"form": ".a"}}));
    assert!(unreadable(unknown).contains("unknown field `form`"));
    assert!(unreadable(config("sqlite:x", json!({"a": 7}))).contains("where the column's value comes from"));
    let shown = format!("{:?}", spec(config("postgres://u:canary@h/d", columns)));
    assert!(!shown.contains("canary"), "{shown}");
}
