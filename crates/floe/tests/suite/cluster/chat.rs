//! Document 002 over Kafka: producer, consumer, gateway and worker as processes of their own, sessions in Redis.

use floe_testkit::services::Redis;
use serde_json::{Value, json};

use super::{in_time, on_shared};
use crate::{
    chat::is_answered_from,
    node::{Node, until},
    socket::Wire,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_002_is_kept_by_services_apart() {
    on_shared(async |cluster| {
        in_time(chat_apart(&cluster.environment)).await;
    })
    .await;
}

async fn chat_apart(environment: &[(&'static str, String)]) {
    let redis = Redis::start();
    let mut environment = environment.to_vec();
    environment.retain(|(name, _)| *name != "REDIS_URL");
    environment.push(("REDIS_URL", redis.url()));
    let service = |name: &str| Node::serving(name, name, &environment);
    let (producer, consumer) = (service("producer"), service("consumer"));
    let gateways = [service("gateway"), service("gateway")];
    let worker = Node::serving("worker", "chat", &environment);
    // each has its own doors only
    assert_eq!(consumer.ask("POST", "/messages", "{}").await.0, 405);
    assert_eq!(producer.ask("GET", "/topics", "").await.0, 404);
    let document = json!({"id": "gate", "title": "Gate", "content": "The gate opens at dawn."});
    until("the document is stored", async || {
        matches!(gateways[0].try_ask("POST", "/chat/documents", &document.to_string()).await, Ok((201, _)))
    })
    .await;
    is_answered_from(&gateways[0], "When does the gate open?", "gate").await;
    // a question at one gateway is seen at the other, and remembered by both
    let mut watching = Wire::open(&gateways[1], "/chat/ws?session_id=s").await;
    watching.expect("session").await;
    let asked = json!({"session_id": "s", "content": "When does the gate open?"});
    let answer = gateways[0].says(200, "POST", "/chat", &asked).await;
    loop {
        let said = watching.next().await;
        if said["type"] == "answer" {
            assert_eq!(said["content"], answer["content"]);
            break;
        }
    }
    let session = gateways[1].says(200, "GET", "/chat/sessions/s", &Value::Null).await;
    assert_eq!(session["turns"][0]["answer"], answer["content"]);
    // what is posted at the producer is answered, and taken at the consumer: each once, in order
    let posted =
        producer.says(201, "POST", "/messages", &json!({"type": "query", "content": "Who is there?"})).await;
    until("all questions are answered", async || {
        let taken = consumer.says(200, "GET", "/messages?type=query&wait_ms=5000", &Value::Null).await;
        taken["id"] == posted["id"]
    })
    .await;
    assert_eq!(consumer.ask("GET", "/messages?type=query", "").await.0, 204);
    // another worker takes over
    worker.kill();
    worker.start();
    let asked = json!({"session_id": "s", "content": "When does the gate open, again?"});
    let answer = gateways[1].says(200, "POST", "/chat?wait_ms=60000", &asked).await;
    assert!(answer["content"].as_str().unwrap().contains("dawn"), "{answer}");
}
