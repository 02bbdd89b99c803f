use floe_engine::{Cursor, JournalCursor};

use super::*;

fn parse(text: &str) -> Message {
    Message::parse(&Bytes::copy_from_slice(text.as_bytes()))
}

fn refused(text: &str) -> String {
    parse(text).request.unwrap_err().detail().to_owned()
}

fn subscribe(text: &str) -> Subscribe {
    match parse(text).request {
        Ok(Request::Subscribe(subscribe)) => subscribe,
        other => panic!("{other:?}"),
    }
}

fn publish(text: &str) -> Publish {
    match parse(text).request {
        Ok(Request::Publish(publish)) => publish,
        other => panic!("{other:?}"),
    }
}

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

#[test]
fn the_documents_own_examples_are_understood() {
    let message = parse(
        r#"{"type":"subscribe","topic":"orders","client_id":"subscriber-1","last_n":5,"request_id":"uuid-optional"}"#,
    );
    assert_eq!(message.request_id.as_deref(), Some("uuid-optional"));
    let Ok(Request::Subscribe(subscribe)) = message.request else { panic!() };
    assert_eq!(subscribe.name, Name { topic: "orders".into(), client_id: "subscriber-1".into() });
    assert_eq!(subscribe.start, TopicStart::Newest(5));
    assert_eq!(subscribe.filter, None);
    assert!(matches!(
        parse(r#"{"type":"unsubscribe","topic":"orders","client_id":"a"}"#).request,
        Ok(Request::Unsubscribe(_))
    ));
    assert!(matches!(parse(r#"{"type":"ping","request_id":"test-ping"}"#).request, Ok(Request::Ping)));
    let publish = publish(
        r#"{"type":"publish","topic":"orders","message":{"id":"550e8400-e29b-41d4-a716-446655440000",
           "payload":{"order_id": "ORD-123",  "amount": 99.50}},"request_id":"r"}"#,
    );
    assert_eq!(publish.topic, "orders");
    assert_eq!(publish.record.value.as_deref(), Some(&br#"{"order_id": "ORD-123",  "amount": 99.50}"#[..]));
    let headers: Vec<_> = publish
        .record
        .headers
        .iter()
        .map(|header| (header.name.as_ref(), header.value.as_deref().unwrap()))
        .collect();
    assert_eq!(headers, [("id", ID.as_bytes()), ("content-type", b"application/json")]);
}

#[test]
fn what_is_wrong_is_told_with_the_fields_name() {
    for (text, start) in [
        ("", "the body is empty"),
        ("{", "the JSON is not as expected"),
        ("[]", "a JSON object is expected"),
        ("nonsense", "a JSON object is expected"),
        ("{}", "type: is missing"),
        (r#"{"type":1}"#, "type: must be a string"),
        (r#"{"type":"dance"}"#, "type: 'dance' is not one of"),
        (r#"{"type":"ping","type":"ping"}"#, "the JSON is not as expected: duplicate field `type`"),
        (r#"{"type":"ping","request_id":7}"#, "request_id: must be a string"),
        (r#"{"type":"subscribe","client_id":"a"}"#, "topic: is missing"),
        (r#"{"type":"subscribe","topic":null,"client_id":"a"}"#, "topic: is missing"),
        (r#"{"type":"subscribe","topic":"","client_id":"a"}"#, "topic: "),
        (r#"{"type":"subscribe","topic":"a/b","client_id":"a"}"#, "topic: "),
        (r#"{"type":"subscribe","topic":"t"}"#, "client_id: is missing"),
        (r#"{"type":"subscribe","topic":"t","client_id":""}"#, "client_id: may not be empty"),
        (r#"{"type":"subscribe","topic":"t","client_id":"a","last_n":-1}"#, "last_n: -1 is not"),
        (r#"{"type":"subscribe","topic":"t","client_id":"a","last_n":"5"}"#, "last_n: \"5\" is not"),
        (r#"{"type":"subscribe","topic":"t","client_id":"a","last_n":1.5}"#, "last_n: 1.5 is not"),
        (
            r#"{"type":"subscribe","topic":"t","client_id":"a","last_n":1,"from":"earliest"}"#,
            "from: can't go with",
        ),
        (r#"{"type":"subscribe","topic":"t","client_id":"a","from":{}}"#, "from: must be"),
        (r#"{"type":"subscribe","topic":"t","client_id":"a","from":7}"#, "from: must be"),
        (r#"{"type":"subscribe","topic":"t","client_id":"a","from":{"cursor":"x"}}"#, "from.cursor: "),
        (r#"{"type":"subscribe","topic":"t","client_id":"a","from":{"time":"noon"}}"#, "from.time: "),
        (r#"{"type":"subscribe","topic":"t","client_id":"a","filter":[]}"#, "filter: "),
        (r#"{"type":"publish","topic":"t"}"#, "message: is missing"),
        (r#"{"type":"publish","topic":"t","message":7}"#, "message: "),
        (r#"{"type":"publish","topic":"t","message":{"payload":1}}"#, "message.id: is missing"),
        (
            r#"{"type":"publish","topic":"t","message":{"id":"not-a-uuid","payload":1}}"#,
            "message.id: must be a UUID",
        ),
        (r#"{"type":"publish","topic":"t","message":{"id":7,"payload":1}}"#, "message.id: must be a string"),
    ] {
        let detail = refused(text);
        assert!(detail.starts_with(start), "{text}: {detail}");
    }
    let with = |rest: &str| {
        refused(&format!(r#"{{"type":"publish","topic":"t","message":{{"id":"{ID}","payload":1}},{rest}}}"#))
    };
    assert!(with(r#""partition":-1"#).starts_with("partition: "));
    assert!(with(r#""headers":7"#).starts_with("headers: "));
    assert!(with(r#""headers":{"id":"x"}"#).starts_with("headers.id: "));
    let no_payload = format!(r#"{{"type":"publish","topic":"t","message":{{"id":"{ID}"}}}}"#);
    assert_eq!(refused(&no_payload), "message.payload: is missing");
}

#[test]
fn deep_nesting_and_long_names_are_refused() {
    let deep = format!(
        r#"{{"type":"publish","topic":"t","message":{{"id":"{ID}","payload":{}1{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(refused(&deep).contains("nests deeper"));
    let long = "x".repeat(257);
    assert!(
        refused(&format!(r#"{{"type":"subscribe","topic":"t","client_id":"{long}"}}"#))
            .starts_with("client_id: ")
    );
    assert!(refused(&format!(r#"{{"type":"ping","request_id":"{long}"}}"#)).starts_with("request_id: "));
}

#[test]
fn an_error_keeps_the_request_id_when_it_can_be_read() {
    assert_eq!(parse(r#"{"type":"dance","request_id":"r1"}"#).request_id.as_deref(), Some("r1"));
    assert_eq!(parse(r#"{"request_id":"r1""#).request_id, None);
}

#[test]
fn any_json_is_a_payload_and_stays_as_it_was_sent() {
    for payload in
        ["null", "1e999999", "\"x\"", "[1, 2]", "{\"$base64\": 1}", "true", "12345678901234567890.10"]
    {
        let publish = publish(&format!(
            r#"{{"type":"publish","topic":"t","message":{{"id":"{ID}","payload": {payload} }}}}"#
        ));
        assert_eq!(publish.record.value.as_deref(), Some(payload.as_bytes()), "{payload}");
    }
}

#[test]
fn key_headers_and_partition_go_with_a_message() {
    let publish = publish(&format!(
        r#"{{"type":"publish","topic":"t","key":"k","partition":3,"headers":{{"a":"b"}},"message":{{"id":"{ID}","payload":1}}}}"#
    ));
    assert_eq!(publish.record.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(publish.record.partition, Some(3));
    assert_eq!(publish.record.headers[2], Header { name: "a".into(), value: Some(Bytes::from_static(b"b")) });
}

#[test]
fn starts_are_words_cursors_or_times() {
    let start = |from: &str| {
        subscribe(&format!(r#"{{"type":"subscribe","topic":"t","client_id":"a","from":{from}}}"#)).start
    };
    let cursor = Cursor::Journal(JournalCursor { topic_id: 1, position: 2, records: 3 });
    let token = cursor::token(&cursor);
    assert_eq!(start("\"earliest\""), TopicStart::Earliest);
    assert_eq!(start("\"latest\""), TopicStart::Latest);
    assert_eq!(start("null"), TopicStart::Latest);
    assert_eq!(start(&format!("{{\"cursor\":\"{token}\"}}")), TopicStart::After(cursor.clone()));
    assert_eq!(start(&format!("\"{token}\"")), TopicStart::After(cursor));
    assert_eq!(start("{\"time\":\"1970-01-01T00:00:01Z\"}"), TopicStart::Time(1000));
    let none = subscribe(r#"{"type":"subscribe","topic":"t","client_id":"a","last_n":0,"from":"earliest"}"#);
    assert_eq!(none.start, TopicStart::Earliest);
    let many = subscribe(r#"{"type":"subscribe","topic":"t","client_id":"a","last_n":18446744073709551615}"#);
    assert_eq!(many.start, TopicStart::Newest(usize::MAX));
}

#[test]
fn a_filter_wants_the_key_and_all_headers() {
    let filter = subscribe(
        r#"{"type":"subscribe","topic":"t","client_id":"a","filter":{"key":"k","headers":{"a":"1","b":"2"}}}"#,
    )
    .filter
    .unwrap();
    let header = |name: &'static str, value: &'static str| Header {
        name: name.into(),
        value: Some(Bytes::from_static(value.as_bytes())),
    };
    let key = Bytes::from_static(b"k");
    assert!(filter.wants(Some(&key), &[header("b", "2"), header("x", "y"), header("a", "1")]));
    assert!(!filter.wants(Some(&key), &[header("a", "1")]));
    assert!(!filter.wants(Some(&key), &[header("a", "1"), header("b", "3")]));
    assert!(!filter.wants(None, &[header("a", "1"), header("b", "2")]));
    let any = subscribe(r#"{"type":"subscribe","topic":"t","client_id":"a","filter":{}}"#).filter.unwrap();
    assert!(any.wants(None, &[]));
}
