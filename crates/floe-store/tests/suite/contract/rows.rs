//! Tables of the user's own.

use bytes::Bytes;
use floe_store::{Cell, ColumnType, Row, StoreError, TableShape, TableWriter, WriteError};

use crate::stage::{Stage, key, people, person};

fn shape(name: &str, columns: &[(&str, ColumnType)], key: &[&str]) -> TableShape {
    TableShape {
        name: name.into(),
        columns: columns.iter().map(|(name, of)| ((*name).to_owned(), *of)).collect(),
        create: true,
        key: key.iter().map(|name| (*name).to_owned()).collect(),
    }
}

pub(crate) async fn every_type_is_stored(stage: &Stage) {
    let columns = [
        ("text", ColumnType::Text),
        ("order", ColumnType::Integer),
        ("real", ColumnType::Real),
        ("yes", ColumnType::Boolean),
        ("at", ColumnType::Timestamp),
        ("doc", ColumnType::Json),
        ("raw", ColumnType::Bytes),
    ];
    let writer = TableWriter::new(&stage.database(), shape("kinds", &columns, &[])).unwrap();
    let claim = writer.claim(&key(0), "worker").await.unwrap();
    let full = vec![
        Cell::Text("tab\tline\nquote'\"\\N €".into()),
        Cell::Integer(i64::MIN),
        Cell::Real(-0.25),
        Cell::Boolean(true),
        Cell::Timestamp(1_769_853_600_007),
        Cell::Json(Bytes::from_static(br#"{"a":[1,null]}"#)),
        Cell::Bytes(Bytes::from_static(&[0, 255, 10])),
    ];
    let rows = vec![
        Row { offset: 0, index: 0, cells: full },
        Row { offset: 0, index: 1, cells: vec![Cell::Null; 7] },
        Row { offset: 1, index: 0, cells: vec![Cell::Null; 7] },
    ];
    assert_eq!(writer.write(&key(0), &claim, rows, 2).await, Ok(3));
    let found = "FROM kinds WHERE text IS NOT NULL";
    assert_eq!(stage.ask(&format!("SELECT text {found}")).await, "tab\tline\nquote'\"\\N €");
    assert_eq!(stage.ask(&format!("SELECT \"order\" {found}")).await, i64::MIN.to_string());
    let (at, doc, raw) = if stage.is_postgres() {
        (
            "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
            "doc->>'a'",
            "encode(raw, 'hex')",
        )
    } else {
        ("at", "doc->>'a'", "lower(hex(raw))")
    };
    assert_eq!(stage.ask(&format!("SELECT {at} {found}")).await, "2026-01-31T10:00:00.007Z");
    assert_eq!(stage.ask(&format!("SELECT {doc} {found}")).await.replace(' ', ""), "[1,null]");
    assert_eq!(stage.ask(&format!("SELECT {raw} {found}")).await, "00ff0a");
    assert_eq!(stage.ask("SELECT count(*) FROM kinds WHERE real = -0.25 AND yes").await, "1");
    let empty = "SELECT count(*) FROM kinds WHERE coalesce(text, doc || '', at || '', raw || '') IS NULL";
    if !stage.is_postgres() {
        assert_eq!(stage.ask(empty).await, "2");
    }
}

pub(crate) async fn bad_rows_are_named_and_the_others_written(stage: &Stage) {
    stage.run("CREATE TABLE people (age integer CHECK (age >= 0), name varchar(5) UNIQUE, more text)").await;
    let writer = TableWriter::new(&stage.database(), people(false)).unwrap();
    let (bad, good) =
        (writer.claim(&key(0), "worker").await.unwrap(), writer.claim(&key(1), "worker").await.unwrap());
    let mut rows: Vec<_> = (0..100).map(|offset| person(offset, offset, &format!("a{offset}"))).collect();
    rows[3].cells[0] = Cell::Integer(-1);
    // Refused only because of another row of the batch.
    rows[50].cells[1] = Cell::Text("a7".into());
    rows[99].cells[0] = Cell::Integer(-7);
    let others: Vec<_> = (0..10).map(|offset| person(offset, offset, &format!("b{offset}"))).collect();
    let (key0, key1) = (key(0), key(1));
    let (refused, written) =
        tokio::join!(writer.write(&key0, &bad, rows.clone(), 100), writer.write(&key1, &good, others, 10),);
    assert_eq!(written, Ok(10));
    let Err(WriteError::Rejected(rejected)) = refused else { panic!("{refused:?}") };
    assert_eq!(rejected.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [3, 50, 99], "{rejected:?}");
    assert!(rejected[0].1.to_lowercase().contains("check"), "{rejected:?}");
    assert_eq!(stage.ask("SELECT count(*) FROM people").await, "10", "nothing of a refused batch");
    for (place, _) in rejected.into_iter().rev() {
        rows.remove(place);
    }
    assert_eq!(writer.write(&key(0), &bad, rows, 100).await, Ok(97));
}

pub(crate) async fn a_repeat_of_a_key_is_passed_over(stage: &Stage) {
    let columns = [("id", ColumnType::Text), ("n", ColumnType::Integer)];
    let writer = TableWriter::new(&stage.database(), shape("things", &columns, &["id"])).unwrap();
    let claim = writer.claim(&key(0), "worker").await.unwrap();
    let row = |offset, id: &str| Row {
        offset,
        index: 0,
        cells: vec![Cell::Text(id.into()), Cell::Integer(offset)],
    };
    let first = vec![row(0, "a"), row(1, "b"), row(2, "a")];
    assert_eq!(writer.write(&key(0), &claim, first, 3).await, Ok(2));
    assert_eq!(writer.write(&key(0), &claim, vec![row(3, "b"), row(4, "c")], 5).await, Ok(1));
    assert_eq!(stage.ask("SELECT n FROM things WHERE id = 'a'").await, "0", "the first stays");
    assert_eq!(stage.ask("SELECT count(*) FROM things").await, "3");

    stage.run("CREATE TABLE plain (id text, n integer)").await;
    let mut without_index = shape("plain", &columns, &["id"]);
    without_index.create = false;
    let writer = TableWriter::new(&stage.database(), without_index).unwrap();
    let claim = writer.claim(&key(0), "worker").await.unwrap();
    let refused = writer.write(&key(0), &claim, vec![row(0, "a")], 1).await;
    let Err(WriteError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.to_lowercase().contains("unique"), "{why}");
}

pub(crate) async fn what_is_missing_is_refused_by_name(stage: &Stage) {
    let database = stage.database();
    let writer = TableWriter::new(&database, people(false)).unwrap();
    let Err(StoreError::Refused(why)) = writer.claim(&key(0), "worker").await else {
        panic!("no such table")
    };
    assert!(why.contains("'people' does not exist"), "{why}");
    stage.run("CREATE TABLE people (age integer)").await;
    let Err(StoreError::Refused(why)) = writer.claim(&key(0), "worker").await else {
        panic!("no such column")
    };
    assert!(why.contains("'people' has no column 'name'"), "{why}");
    stage.run("ALTER TABLE people ADD COLUMN name text").await;
    let claim = writer.claim(&key(0), "worker").await.expect("a person has mended it");
    assert_eq!(writer.write(&key(0), &claim, vec![person(0, 1, "x")], 1).await, Ok(1));
}

pub(crate) async fn names_that_could_be_statements_are_refused(stage: &Stage) {
    let database = stage.database();
    for name in [
        "t\"; DROP TABLE x",
        "",
        "1t",
        "a b",
        "ä",
        "events",
        "Events",
        "floe_positions",
        "a.b.c",
        &"x".repeat(64),
    ] {
        let refused = TableWriter::new(&database, shape(name, &[("a", ColumnType::Text)], &[]));
        assert!(refused.is_err(), "{name}");
    }
    for columns in [&["a\" text); DROP TABLE x; --"][..], &["a", "A"], &[""], &[]] {
        let columns: Vec<_> = columns.iter().map(|name| (*name, ColumnType::Text)).collect();
        assert!(TableWriter::new(&database, shape("t", &columns, &[])).is_err(), "{columns:?}");
    }
    assert!(TableWriter::new(&database, shape("t", &[("a", ColumnType::Text)], &["b"])).is_err());
    let reserved = shape("select", &[("from", ColumnType::Text)], &["from"]);
    let writer = TableWriter::new(&database, reserved).expect("quoted, so words of SQL are names too");
    let claim = writer.claim(&key(0), "worker").await.unwrap();
    let row = Row { offset: 0, index: 0, cells: vec![Cell::Text("x".into())] };
    assert_eq!(writer.write(&key(0), &claim, vec![row], 1).await, Ok(1));
}

pub(crate) async fn values_that_no_database_takes_are_rejected(stage: &Stage) {
    let columns = [("text", ColumnType::Text), ("at", ColumnType::Timestamp)];
    let writer = TableWriter::new(&stage.database(), shape("odd", &columns, &[])).unwrap();
    let claim = writer.claim(&key(0), "worker").await.unwrap();
    let row = |offset, cells: Vec<Cell>| Row { offset, index: 0, cells };
    let rows = vec![
        row(0, vec![Cell::Text("fine".into()), Cell::Null]),
        row(1, vec![Cell::Text("a\0b".into()), Cell::Null]),
        row(2, vec![Cell::Null, Cell::Timestamp(i64::MAX)]),
        row(3, vec![Cell::Null]),
        row(4, vec![Cell::Integer(1), Cell::Null]),
    ];
    let refused = writer.write(&key(0), &claim, rows, 5).await;
    let Err(WriteError::Rejected(rejected)) = refused else { panic!("{refused:?}") };
    let places: Vec<_> = rejected.iter().map(|(place, _)| *place).collect();
    // SQLite holds a NUL, PostgreSQL doesn't.
    assert_eq!(places, if stage.is_postgres() { vec![1, 2, 3, 4] } else { vec![2, 3, 4] }, "{rejected:?}");
}
