//! Webhooks against a receiver that answers as it is told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, StatusCode},
};
use data_encoding::BASE64;
use floe_pipeline::sinks::{DeliveryError, Hold};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

use super::{Stage, batch, fatal, header, record, unavailable, unreadable};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is answered next; 200 when nothing is left.
type Script = Arc<Mutex<VecDeque<Response<Body>>>>;
type Requests = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

struct Receiver {
    address: SocketAddr,
    script: Script,
    requests: Requests,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (script, requests): (Script, Requests) = Default::default();
        let (answers, seen) = (Arc::clone(&script), Arc::clone(&requests));
        let answer = move |headers: HeaderMap, body: Bytes| {
            seen.lock().unwrap().push((headers, body));
            let next = answers.lock().unwrap().pop_front();
            async move {
                match next {
                    // 599 stands for no answer at all.
                    Some(answer) if answer.status() == 599 => std::future::pending().await,
                    Some(answer) => answer,
                    None => Response::new(Body::empty()),
                }
            }
        };
        let app = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, script, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?token=canary", self.address)
    }

    fn config(&self) -> Value {
        json!({"type": "webhook", "url": self.url(), "allow_private": ["127.0.0.0/8"]})
    }

    fn answers(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let mut answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        self.script.lock().unwrap().push_back(answer.body(Body::from(body.to_owned())).unwrap());
    }

    fn requests(&self) -> Vec<(HeaderMap, Bytes)> {
        self.requests.lock().unwrap().clone()
    }
}

async fn deliver_one(hold: &mut Hold, offset: i64) -> Result<(), DeliveryError> {
    hold.deliver(&batch(vec![record(offset, "{\"n\":1}")])).await
}

fn signature(secret: &str, headers: &HeaderMap, body: &[u8]) -> String {
    let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_request_is_signed_and_says_where_the_record_is_from() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let mut config = receiver.config();
    config["secret"] = json!([NEW_SECRET, SECRET]);
    config["headers"] = json!({"Authorization": "Bearer 4242"});
    let mut hold = stage.hold(config).await;
    let mut other = record(8, "plain");
    other.headers = vec![header("event-id", "ev-1"), header("content-type", "text/plain")];
    let mut raw = record(9, "raw");
    raw.index = 3;
    hold.deliver(&batch(vec![record(7, "{\"n\": 1}"), other, raw])).await.unwrap();

    let requests = receiver.requests();
    let header = |at: usize, name: &str| requests[at].0[name].to_str().unwrap().to_owned();
    assert_eq!(
        requests.iter().map(|(_, body)| &body[..]).collect::<Vec<_>>(),
        [&b"{\"n\": 1}"[..], b"plain", b"raw"]
    );
    assert_eq!([0, 1, 2].map(|at| header(at, "webhook-id")), ["in-0-7-0", "ev-1", "in-0-9-3"]);
    assert_eq!(
        [0, 1, 2].map(|at| header(at, "content-type")),
        ["application/json", "text/plain", "application/octet-stream"]
    );
    assert_eq!(
        ["floe-topic", "floe-partition", "floe-offset", "authorization"].map(|name| header(0, name)),
        ["in", "0", "7", "Bearer 4242"]
    );
    assert!(header(0, "user-agent").starts_with("floe/"));
    for (at, (headers, body)) in requests.iter().enumerate() {
        let expected = [NEW_SECRET, SECRET].map(|secret| signature(secret, headers, body)).join(" ");
        assert_eq!(header(at, "webhook-signature"), expected);
    }
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    deliver_one(&mut stage.hold(receiver.config()).await, 0).await.unwrap();
    assert!(!receiver.requests()[0].0.contains_key("webhook-signature"));
}

#[tokio::test]
async fn a_repeat_has_the_same_id() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let mut hold = stage.hold(receiver.config()).await;
    receiver.answers(503, &[], "");
    deliver_one(&mut hold, 4).await.unwrap_err();
    deliver_one(&mut hold, 4).await.unwrap();
    let ids: Vec<_> = receiver.requests().iter().map(|(headers, _)| headers["webhook-id"].clone()).collect();
    assert_eq!(ids, ["in-0-4-0", "in-0-4-0"]);
}

#[tokio::test]
async fn an_answer_is_later_never_or_gone() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let mut hold = stage.hold(receiver.config()).await;
    for status in [200, 201, 202, 204] {
        receiver.answers(status, &[], "");
        deliver_one(&mut hold, 0).await.unwrap();
    }
    for (status, retry_after, waits) in [
        (408, None, None),
        (425, None, None),
        (429, Some("7"), Some(Duration::from_secs(7))),
        (500, None, None),
        (502, Some("999999"), Some(Duration::from_secs(3_600))),
        (503, Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO)),
        (503, Some("whenever"), None),
    ] {
        let headers: Vec<_> = retry_after.map(|value| ("retry-after", value)).into_iter().collect();
        receiver.answers(status, &headers, "busy");
        let error = deliver_one(&mut hold, 0).await.unwrap_err();
        let DeliveryError::Retry { delivered: 0, error, after } = error else {
            panic!("{status}: {error:?}")
        };
        assert_eq!(after, waits, "{status}");
        assert!(error.contains(&status.to_string()) && error.contains("busy"), "{error}");
    }
    for status in [300, 301, 307, 400, 401, 404, 409, 413, 422] {
        receiver.answers(status, &[("location", "http://127.0.0.1:1/elsewhere")], "no");
        let before = receiver.requests().len();
        let error = deliver_one(&mut hold, 0).await.unwrap_err();
        assert!(
            matches!(&error, DeliveryError::Poison { delivered: 0, records } if records[0].0 == 0),
            "{error:?}"
        );
        assert_eq!(receiver.requests().len(), before + 1, "redirects are not followed");
    }
    receiver.answers(410, &[], "we closed");
    let error = deliver_one(&mut hold, 0).await.unwrap_err();
    assert_eq!(fatal(&error), "the receiver says it is gone (410): we closed");
}

#[tokio::test]
async fn the_rest_of_a_batch_waits_for_the_record_that_was_refused() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let mut hold = stage.hold(receiver.config()).await;
    receiver.answers(200, &[], "");
    receiver.answers(200, &[], "");
    receiver.answers(500, &[], "");
    let records: Vec<_> = (0..4).map(|offset| record(offset, "1")).collect();
    let error = hold.deliver(&batch(records.clone())).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Retry { delivered: 2, .. }), "{error:?}");
    receiver.answers(400, &[], "");
    let error = hold.deliver(&batch(records[2..].to_vec())).await.unwrap_err();
    assert!(
        matches!(&error, DeliveryError::Poison { delivered: 0, records } if records.len() == 1),
        "{error:?}"
    );
    hold.deliver(&batch(records[3..].to_vec())).await.unwrap();
    let offsets: Vec<_> = receiver
        .requests()
        .iter()
        .map(|(headers, _)| headers["floe-offset"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(offsets, ["0", "1", "2", "2", "3"]);
}

#[tokio::test]
async fn what_a_receiver_says_is_bounded_and_escaped() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let mut hold = stage.hold(receiver.config()).await;
    receiver.answers(500, &[], &format!("\u{1b}[31m\r\nforged log line\0{}", "é".repeat(1 << 20)));
    let error = deliver_one(&mut hold, 0).await.unwrap_err();
    let DeliveryError::Retry { error, .. } = error else { panic!("{error:?}") };
    assert!(error.len() < 600 && !error.contains(char::is_control), "{error}");
    // The connection with the rest of it is not used again.
    deliver_one(&mut hold, 0).await.unwrap();
}

#[tokio::test]
async fn no_answer_in_time_is_tried_again_and_no_connection_is_an_outage() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let mut config = receiver.config();
    config["timeout"] = json!("300ms");
    let mut hold = stage.hold(config).await;
    receiver.answers(599, &[], "");
    let error = deliver_one(&mut hold, 0).await.unwrap_err();
    let DeliveryError::Retry { delivered: 0, error, after: None } = error else { panic!("{error:?}") };
    assert_eq!(error, "the receiver did not answer in time");

    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let no_tls = format!("https://{}", receiver.address);
    for host in [format!("http://{nobody}"), "http://no-such-host.invalid".to_owned(), no_tls] {
        let url = format!("{host}/?token=canary");
        let mut hold = stage.hold(json!({"type": "webhook", "url": url, "allow_private": true})).await;
        let error = deliver_one(&mut hold, 0).await.unwrap_err();
        assert!(unavailable(&error).starts_with("the receiver can't be reached"), "{error:?}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_whole_batch_is_one_request() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let mut config = receiver.config();
    config["batch"] = json!(true);
    let mut hold = stage.hold(config).await;
    let mut records = vec![record(0, "{\"n\":\n0}"), record(1, "raw"), record(2, "2")];
    records[2].value = None;
    hold.deliver(&batch(records)).await.unwrap();
    hold.deliver(&batch(vec![])).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(&requests[0].1[..], br#"[{"n":0},{"$base64":"cmF3"},null]"#);
    assert_eq!(requests[0].0["webhook-id"], "in-0-0-0-to-2-0");
}

#[tokio::test]
async fn the_bad_record_of_a_whole_batch_is_found() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let mut config = receiver.config();
    config["batch"] = json!(true);
    let mut hold = stage.hold(config).await;
    // 0..8 and 0..4 are refused, 0..2 taken, 2..4 refused, and 2 alone is the bad one.
    for status in [422, 422, 200, 422, 422] {
        receiver.answers(status, &[], "bad");
    }
    let error = hold.deliver(&batch((0..8).map(|offset| record(offset, "1")).collect())).await.unwrap_err();
    let DeliveryError::Poison { delivered: 2, records } = error else { panic!("{error:?}") };
    assert_eq!((records.len(), records[0].0), (1, 2));
}

#[test]
fn addresses_that_are_not_public_are_refused_in_every_form() {
    let stage = Stage::new();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[2001:db8::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
    ] {
        let why = stage.open(json!({"type": "webhook", "url": format!("http://{host}/")})).unwrap_err();
        assert!(why.contains("isn't public"), "{host}: {why}");
    }
    for host in ["93.184.216.34", "[2606:4700::1111]", "[64:ff9b::5db8:d822]", "example.com"] {
        stage.open(json!({"type": "webhook", "url": format!("https://{host}/")})).unwrap();
    }
    for (allowed, host, opens) in [
        (json!(["10.0.0.0/8"]), "10.255.0.1", true),
        (json!(["10.0.0.0/8"]), "11.0.0.1", true),
        (json!(["10.0.0.0/8"]), "127.0.0.1", false),
        (json!(["10.0.0.0/8"]), "[::ffff:10.0.0.1]", true),
        (json!(["fd00::/8"]), "[fd12::1]", true),
        (json!(["fd00::/8"]), "[fc00::1]", false),
        (json!(["127.0.0.1"]), "127.0.0.2", false),
        (json!(["0.0.0.0/0"]), "127.0.0.2", true),
        (json!(["0.0.0.0/0"]), "[::1]", false),
        (json!(true), "[::1]", true),
        (json!(false), "[::1]", false),
    ] {
        let url = format!("http://{host}/");
        let opened = stage.open(json!({"type": "webhook", "url": url, "allow_private": allowed}));
        assert_eq!(opened.is_ok(), opens, "{allowed} {host}");
    }
}

#[tokio::test]
async fn a_name_that_stands_for_a_private_address_is_not_connected_to() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let url = format!("http://localhost:{}/", receiver.address.port());
    let mut hold = stage.hold(json!({"type": "webhook", "url": url})).await;
    let error = deliver_one(&mut hold, 0).await.unwrap_err();
    assert!(fatal(&error).contains("an address that isn't public"), "{error:?}");
    assert!(receiver.requests().is_empty());
    let mut hold = stage.hold(json!({"type": "webhook", "url": url, "allow_private": true})).await;
    deliver_one(&mut hold, 0).await.unwrap();
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_without_its_secrets() {
    let stage = Stage::new();
    let url = "https://example.com/hook";
    for (config, told) in [
        (json!({"url": "ftp://example.com/"}), "must begin with https:// or http://"),
        (json!({"url": "file:///etc/passwd"}), "must begin with"),
        (json!({"url": "canary"}), "'url' is not an address"),
        (json!({"url": "https://user:canary@example.com/"}), "may not hold a user or password"),
        (json!({"url": "https://canary@example.com/"}), "may not hold a user or password"),
        (json!({"url": url, "secret": "canary"}), "'secret' must be whsec_"),
        (json!({"url": url, "secret": [SECRET, "whsec_canary"]}), "'secret' must be whsec_"),
        (json!({"url": url, "secret": [SECRET, SECRET, SECRET, SECRET, SECRET, SECRET]}), "at most 5"),
        (json!({"url": url, "headers": {"webhook-id": "canary"}}), "is set by Floe"),
        (json!({"url": url, "headers": {"Host": "canary"}}), "is set by Floe"),
        (json!({"url": url, "headers": {"a b": "canary"}}), "not a header's name"),
        (json!({"url": url, "headers": {"a": "canary\n"}}), "may not stand there"),
        (json!({"url": url, "timeout": "0s"}), "'timeout' must be above 0"),
        (json!({"url": url, "connect_timeout": "1h"}), "at most 10m"),
    ] {
        let mut config = config;
        config["type"] = json!("webhook");
        let why = stage.open(config).unwrap_err();
        assert!(why.contains(told) && !why.contains("canary"), "{why}");
    }
    let why = unreadable(json!({"type": "webhook", "url": url, "allow_private": ["10.0.0.0/33"]}));
    assert!(why.contains("'10.0.0.0/33' is not a network"), "{why}");
    let why = unreadable(json!({"type": "webhook", "url": url, "timeout": 30}));
    assert!(why.contains("expected a string"), "{why}");

    let config = json!({"type": "webhook", "url": "https://example.com/hook?token=canary", "secret": SECRET,
        "headers": {"authorization": "canary"}});
    let sink = stage.open(config.clone()).unwrap();
    assert_eq!(sink.label(), "webhook https://example.com/hook");
    let shown = format!("{sink:?} {:?}", super::spec(config));
    for secret in ["MfKQ9r8G", "\"canary\"", "=canary"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
