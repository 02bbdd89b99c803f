//! `GET /topics/{topic}/records`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::floe::Floe;

async fn filled(partitions: u32, records: i64) -> Floe {
    let floe = Floe::start().await;
    floe.topic("t", partitions).await;
    if records == 0 {
        return floe;
    }
    let lines: String = (0..records).map(|n| format!("{{\"key\":\"k{n}\",\"value\":{n}}}\n")).collect();
    floe.call("POST", "/topics/t/records").body("application/x-ndjson", lines).send().await.ok(201);
    floe
}

fn values(page: &Value) -> Vec<i64> {
    page["records"].as_array().unwrap().iter().map(|record| record["value"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_partition_is_read_page_by_page() {
    let floe = filled(1, 250).await;
    let page = floe.get("/topics/t/records?partition=0").await.ok(200);
    assert_eq!(values(&page), (0..100).collect::<Vec<_>>());
    assert_eq!(page["next"], json!({ "partition": 0, "offset": 100 }));
    assert_eq!((&page["start"], &page["end"]), (&json!(0), &json!(250)));
    let page = floe.get("/topics/t/records?partition=0&offset=240&limit=1000").await.ok(200);
    assert_eq!(values(&page), (240..250).collect::<Vec<_>>());
    let page = floe.get("/topics/t/records?partition=0&offset=latest").await.ok(200);
    assert_eq!(page["records"], json!([]));
    assert_eq!(page["next"]["offset"], 250);
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes() {
    let floe = filled(1, 0).await;
    for n in 0..3 {
        floe.post("/topics/t/records", json!({ "value": n })).await.ok(201);
    }
    for path in ["/topics/t/records?partition=0&max_bytes=1", "/topics/t/records?max_bytes=1"] {
        assert_eq!(values(&floe.get(path).await.ok(200)), [0], "{path}");
    }
}

#[tokio::test]
async fn a_topic_is_read_by_cursor_with_nothing_twice() {
    let floe = filled(4, 250).await;
    let mut seen = Vec::new();
    let mut path = "/topics/t/records?limit=60".to_owned();
    loop {
        let page = floe.get(&path).await.ok(200);
        let found = values(&page);
        if found.is_empty() {
            break;
        }
        seen.extend(found);
        path = format!("/topics/t/records?limit=60&cursor={}", page["next"]["cursor"].as_str().unwrap());
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..250).collect::<Vec<_>>());
}

#[tokio::test]
async fn cursors_that_were_not_given_out_are_refused() {
    let floe = filled(1, 3).await;
    floe.topic("other", 1).await;
    let cursor =
        floe.get("/topics/t/records?limit=1").await.ok(200)["next"]["cursor"].as_str().unwrap().to_owned();
    let mut altered = cursor.clone();
    altered.replace_range(3..4, if &cursor[3..4] == "A" { "B" } else { "A" });
    for bad in [altered.as_str(), &cursor[..20], "", "%ff", "x"] {
        floe.get(&format!("/topics/t/records?cursor={bad}")).await.problem(400, "BAD_REQUEST");
    }
    let detail =
        floe.get(&format!("/topics/other/records?cursor={cursor}")).await.problem(400, "BAD_REQUEST");
    assert!(detail.contains("other"), "{detail}");
    floe.call("DELETE", "/topics/t").send().await.ok(200);
    floe.topic("t", 1).await;
    floe.get(&format!("/topics/t/records?cursor={cursor}")).await.problem(400, "BAD_REQUEST");
}

#[tokio::test]
async fn parameters_name_their_range() {
    let floe = filled(1, 1).await;
    for (query, expected) in [
        ("partition=0&offset=-1", "offset=-1"),
        ("partition=0&offset=9223372036854775808", "offset=9223372036854775808"),
        ("partition=0&offset=abc", "earliest, latest"),
        ("partition=0&offset=1e3", "offset=1e3"),
        ("limit=0", "limit=0 is not a whole number from 1 to 10000"),
        ("limit=99999999", "from 1 to 10000"),
        ("wait_ms=1e12", "wait_ms=1e12 is not a whole number from 0 to 60000"),
        ("wait_ms=60001", "from 0 to 60000"),
        ("max_bytes=0", "max_bytes=0"),
        ("partition=-1", "partition=-1"),
        ("partition=x", "partition=x"),
        ("partition=0&partition=0", "'partition' is given twice"),
        ("nonsense=1", "unknown query parameter 'nonsense'; known here: partition, offset"),
        ("offset=5", "send partition too"),
        ("partition=0&cursor=x", "with partition use offset"),
        ("partition=1", "partitions 0 to 0"),
    ] {
        let detail = floe.get(&format!("/topics/t/records?{query}")).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains(expected), "{query}: {detail}");
    }
    floe.get("/topics/t/records?partition=0&offset=2").await.problem(400, "BAD_REQUEST");
    floe.get("/topics/none/records").await.problem(404, "TOPIC_NOT_FOUND");
    floe.get("/topics/none/records?partition=0").await.problem(404, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_wait_ends_with_the_first_record_or_its_time() {
    let floe = filled(1, 1).await;
    let started = Instant::now();
    let page = floe.get("/topics/t/records?partition=0&offset=latest&wait_ms=50").await.ok(200);
    assert_eq!(page["records"], json!([]));
    assert!(started.elapsed() >= Duration::from_millis(50));
    let waiting = floe.get("/topics/t/records?partition=0&offset=1&wait_ms=30000");
    let writing = floe.post("/topics/t/records", json!({ "value": 7 }));
    let (page, _) = tokio::join!(waiting, writing);
    assert_eq!(values(&page.ok(200)), [7]);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_stream_gives_everything_up_to_the_end_a_record_per_line() {
    let floe = filled(3, 5_000).await;
    let call = |path: &str| floe.call("GET", path).header("accept", "application/x-ndjson");
    let answer = call("/topics/t/records").send().await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines = answer.lines();
    assert_eq!(lines.len(), 5_000);
    let cursor = lines[2_999]["cursor"].as_str().unwrap();
    let rest = call(&format!("/topics/t/records?cursor={cursor}")).send().await.lines();
    assert_eq!(rest, lines[3_000..]);
    let partition = call("/topics/t/records?partition=1&limit=10").send().await.lines();
    assert_eq!(partition.len(), 10);
    assert!(partition.iter().all(|line| line["partition"] == 1 && line.get("cursor").is_none()));
    let empty = call("/topics/t/records?partition=1&offset=latest").send().await;
    assert_eq!((empty.status, empty.text()), (200, String::new()));
    call("/topics/none/records").send().await.problem(404, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_pretty_value_stays_on_its_line() {
    let floe = filled(1, 0).await;
    let body = "{\"value\": {\n  \"a\": \"x\\ny\"\n}}";
    floe.call("POST", "/topics/t/records").body("application/json", body).send().await.ok(201);
    let answer = floe.call("GET", "/topics/t/records").header("accept", "application/x-ndjson").send().await;
    assert_eq!(answer.lines()[0]["value"], json!({ "a": "x\ny" }));
    let text = floe.get("/topics/t/records").await.text();
    assert!(text.contains("{\n  \"a\": \"x\\ny\"\n}"), "{text}");
}

#[tokio::test]
async fn answers_are_compressed_if_asked() {
    let floe = filled(1, 200).await;
    let answer = floe.call("GET", "/topics/t/records").header("accept-encoding", "gzip").send().await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let plain = floe.get("/topics/t/records").await;
    assert_eq!(plain.header("content-encoding"), None);
    assert!(answer.body.len() < plain.body.len() / 4);
}

#[tokio::test]
async fn hostile_text_stays_data() {
    let floe = filled(1, 1).await;
    let hostile = "<script>alert(1)</script>\u{202e}\u{1b}[31m\0\r\nset-cookie: a=b";
    let record = json!({ "key": hostile, "value": hostile, "headers": { hostile: hostile } });
    floe.post("/topics/t/records", record).await.ok(201);
    let answer = floe.get("/topics/t/records?partition=0&offset=1").await;
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let found = answer.ok(200)["records"][0].clone();
    assert_eq!(found["key"], hostile);
    assert_eq!(found["value"], hostile);
    assert_eq!(found["headers"][hostile], hostile);
}

#[tokio::test]
async fn a_stream_of_many_pages_is_whole_compressed_or_not() {
    let floe = filled(2, 0).await;
    for n in 0..40 {
        let value = json!({ "n": n, "pad": "x".repeat(100_000) });
        floe.post("/topics/t/records", json!({ "value": value, "partition": n % 2 })).await.ok(201);
    }
    let call = |path: &str| floe.call("GET", path).header("accept", "application/x-ndjson");
    let numbers = |lines: &[Value]| -> Vec<i64> {
        lines.iter().map(|line| line["value"]["n"].as_i64().unwrap()).collect()
    };
    let whole = call("/topics/t/records").send().await.lines();
    assert_eq!(numbers(&whole), (0..40).collect::<Vec<_>>());
    let some = call("/topics/t/records?limit=25").send().await.lines();
    assert_eq!(numbers(&some), (0..25).collect::<Vec<_>>());
    let even = call("/topics/t/records?partition=0&offset=5").send().await.lines();
    assert_eq!(numbers(&even), (10..40).step_by(2).collect::<Vec<_>>());
    let coded = call("/topics/t/records").header("accept-encoding", "gzip").send().await;
    assert_eq!(coded.header("content-encoding"), Some("gzip"));
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&coded.body[..]), &mut plain).unwrap();
    assert_eq!(plain.lines().count(), 40);
    let few = call("/topics/t/records?max_bytes=250000").send().await.lines();
    assert!((1..10).contains(&few.len()), "{} lines for 250,000 bytes of 100,000 each", few.len());
    let least = call("/topics/t/records?max_bytes=10").send().await.lines();
    assert_eq!(numbers(&least), [0], "the first record comes whatever its size");
}
