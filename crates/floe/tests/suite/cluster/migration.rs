//! A node's records, settings and positions move into Kafka, and those who read go on at the same record.

use std::process::Output;

use floe_testkit::services::Kafka;
use serde_json::{Value, json};

use super::in_time;
use crate::{
    node::{Node, until},
    server::{floe, run},
};

const NOTHING: Value = Value::Null;
const ORDERS: i64 = 60;
const PARTITIONS: [(&str, i64); 2] = [("orders", 3), ("raw", 2)];
const USER: &str = "ada@example.com";

/// A node and the brokers it moves to.
struct Move {
    node: Node,
    kafka: Kafka,
    _folder: tempfile::TempDir,
}

impl Move {
    fn begin() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let node = Node::server_of(&folder.path().join("data"), "http,pipelines", &[]);
        Self { node, kafka: Kafka::start_kraft(), _folder: folder }
    }

    fn migrate(&self, flags: &[&str]) -> Output {
        let mut migrate = floe();
        let brokers = self.kafka.bootstrap();
        migrate.args(["migrate", "--from", &self.node.url, "--to", &brokers]).args(flags);
        run(migrate, "")
    }

    async fn gateway(&self) -> Node {
        let gateway = Node::gateway("gateway", &[("KAFKA_BROKER_URL", self.kafka.bootstrap())]);
        until("the gateway is ready", async || gateway.is_ready_with("ok", "").await).await;
        gateway
    }
}

/// What a command printed on standard output, and what it told; both are shown when it did not end as it should.
#[track_caller]
fn ended(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{told}");
    (out, told)
}

/// Topics with records of every kind.
async fn fill(node: &Node) {
    let config = json!({ "retention.ms": "864000000", "floe.live.queue.size": "5000" });
    node.says(201, "POST", "/topics", &json!({ "name": "orders", "partitions": 3, "config": config })).await;
    node.says(201, "POST", "/topics", &json!({ "name": "raw", "partitions": 2 })).await;
    for number in 0..ORDERS {
        let record = json!({
            "key": format!("customer-{}", number % 7),
            "value": { "number": number },
            "headers": { "trace": ["first", "second"], "bytes": { "$base64": "AP+A" } },
        });
        node.says(201, "POST", "/topics/orders/records", &record).await;
    }
    let odd = json!({ "records": [
        { "key": "customer-1", "value": null },
        { "value": "without a key", "partition": 2, "timestamp": 1_700_000_000_000_i64 },
        { "key": { "$base64": "/wD+" }, "value": { "$base64": "AAECA/8=" }, "partition": 0 },
        { "key": "", "value": "" },
    ] });
    node.says(201, "POST", "/topics/orders/records", &odd).await;
    let raw = json!({ "records": [
        { "value": { "$base64": "gIGC" }, "partition": 0 },
        { "value": null, "partition": 0 },
        { "value": [1, 2], "partition": 1 },
    ] });
    node.says(201, "POST", "/topics/raw/records", &raw).await;
}

/// Groups that have read a part: acknowledged, committed with the poll, set to a place; and a user of document 000.
async fn read_a_part(node: &Node) {
    let poll = json!({ "topics": ["orders"], "max": 17 });
    let polled = node.says(200, "POST", "/groups/acknowledging/poll", &poll).await;
    assert_eq!(records(&polled).len(), 17);
    let ack = json!({ "delivery": polled["delivery"] });
    node.says(200, "POST", "/groups/acknowledging/ack", &ack).await;
    // not acknowledged: these come again
    node.says(200, "POST", "/groups/acknowledging/poll", &poll).await;
    let poll = json!({ "topics": ["orders", "raw"], "max": 30, "auto_commit": true });
    node.says(200, "POST", "/groups/committing/poll", &poll).await;
    let place = json!({ "topic": "orders", "partition": 1, "to": 4 });
    node.says(200, "POST", "/groups/placed/offsets", &place).await;
    node.says(200, "POST", "/groups/done/offsets", &json!({ "topic": "orders", "to": "latest" })).await;
    node.says(200, "POST", &format!("/subscribe/{USER}/orders"), &NOTHING).await;
    for _ in 0..2 {
        node.says(200, "GET", &format!("/read/{USER}/orders/customer-3?limit=1"), &NOTHING).await;
    }
}

fn records(page: &Value) -> Vec<Value> {
    page["records"].as_array().unwrap().clone()
}

/// A partition's records, with all that is theirs but the offset.
async fn partition(of: &Node, topic: &str, number: i64) -> Vec<Value> {
    let path = format!("/topics/{topic}/records?partition={number}&limit=10000");
    without_offsets(records(&of.says(200, "GET", &path, &NOTHING).await))
}

fn without_offsets(mut records: Vec<Value>) -> Vec<Value> {
    for record in &mut records {
        record.as_object_mut().unwrap().remove("offset").unwrap();
    }
    records
}

/// What a group gets next, all that there is; in an order that doesn't depend on how partitions are mixed.
async fn rest_of_group(of: &Node, group: &str, topics: &[&str]) -> Vec<Value> {
    let poll = json!({ "topics": topics, "max": 10_000 });
    let polled = of.says(200, "POST", &format!("/groups/{group}/poll"), &poll).await;
    let mut rest = without_offsets(records(&polled));
    rest.sort_by_key(|record| record["partition"].as_i64());
    rest.sort_by_key(|record| record["topic"].to_string());
    rest
}

async fn holds_the_same(node: &Node, gateway: &Node) {
    for (topic, partitions) in PARTITIONS {
        for number in 0..partitions {
            let expected = partition(node, topic, number).await;
            assert!(!expected.is_empty(), "{topic} {number}");
            assert_eq!(partition(gateway, topic, number).await, expected, "{topic} {number}");
        }
    }
    let described = gateway.says(200, "GET", "/topics/orders", &NOTHING).await;
    let config = (&described["config"]["retention.ms"], &described["config"]["floe.live.queue.size"]);
    assert_eq!(config, (&json!("864000000"), &json!("5000")));
}

async fn go_on_at_the_same_record(node: &Node, gateway: &Node) {
    for (group, topics) in
        [("committing", &["orders", "raw"][..]), ("placed", &["orders"]), ("done", &["orders"])]
    {
        let expected = rest_of_group(node, group, topics).await;
        assert_eq!(expected.is_empty(), group == "done", "{group}");
        assert_eq!(rest_of_group(gateway, group, topics).await, expected, "{group}");
    }
    let left = rest_of_group(gateway, "acknowledging", &["orders"]).await.len();
    assert_eq!(left, usize::try_from(ORDERS).unwrap() + 4 - 17);
    let path = format!("/read/{USER}/orders/customer-3?limit=1");
    let mut expected = node.says(200, "GET", &path, &NOTHING).await;
    let mut next = gateway.says(200, "GET", &path, &NOTHING).await;
    assert_eq!(expected["messages"][0]["offset"], 2);
    for read in [&mut expected, &mut next] {
        read["messages"][0]["offset"].take();
    }
    assert_eq!(next["messages"], expected["messages"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_moves_into_kafka_and_its_readers_go_on_at_the_same_record() {
    in_time(async {
        let moving = Move::begin();
        fill(&moving.node).await;
        read_a_part(&moving.node).await;
        let (plan, _) = ended(&moving.migrate(&["--dry-run"]), 0);
        assert!(plan.contains("orders  3           64"), "{plan}");
        assert!(plan.contains("5 groups have positions"), "{plan}");
        let (compared, told) = ended(&moving.migrate(&[]), 0);
        assert!(told.contains("orders: 64 records copied") && told.contains("5 groups have"), "{told}");
        assert!(
            compared.contains("orders  64       yes") && compared.contains("raw     3        yes"),
            "{compared}"
        );
        let gateway = moving.gateway().await;
        holds_the_same(&moving.node, &gateway).await;
        go_on_at_the_same_record(&moving.node, &gateway).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_move_is_refused_unless_it_goes_on() {
    in_time(async {
        let moving = Move::begin();
        fill(&moving.node).await;
        ended(&moving.migrate(&[]), 0);
        let late = json!({ "key": "customer-1", "value": "late" });
        moving.node.says(201, "POST", "/topics/orders/records", &late).await;
        let (_, told) = ended(&moving.migrate(&[]), 1);
        assert!(
            told.contains("topic 'orders' is in the cluster already: --resume goes on with it"),
            "{told}"
        );
        let (compared, told) = ended(&moving.migrate(&["--resume"]), 0);
        assert!(
            told.contains("orders: 1 records copied") && told.contains("raw: 0 records copied"),
            "{told}"
        );
        assert!(compared.contains("orders  65       yes"), "{compared}");
        holds_the_same(&moving.node, &moving.gateway().await).await;
    })
    .await;
}
