//! Health, stats and metrics.

use serde_json::json;

use crate::floe::Floe;

#[tokio::test]
async fn health_tells_how_the_server_is() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let health = floe.get("/health").await.ok(200);
    assert_eq!(
        (&health["status"], &health["topics"], &health["subscribers"]),
        (&json!("ok"), &json!(1), &json!(0))
    );
    assert_eq!(health["engine"], "embedded");
    assert!(health["uptime_sec"].is_u64() && health["version"].is_string());
    assert_eq!(floe.get("/health/live").await.ok(200), json!({ "status": "ok" }));
    assert_eq!(floe.get("/health/ready").await.ok(200), json!({ "status": "ok" }));
}

#[tokio::test]
async fn stats_count_all_that_was_accepted() {
    let floe = Floe::start().await;
    floe.topic("t", 2).await;
    floe.post("/topics/t/records", json!({ "records": [{ "value": 1 }, { "value": 2 }] })).await.ok(201);
    let stats = floe.get("/stats").await.ok(200);
    let topic = &stats["topics"]["t"];
    assert_eq!(
        (&topic["messages"], &topic["subscribers"], &topic["partitions"]),
        (&json!(2), &json!(0), &json!(2))
    );
    assert!(topic["bytes"].as_u64().unwrap() > 0);
    assert_eq!((&stats["messages"], &stats["subscribers"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn metrics_are_openmetrics_with_the_exporters_lag() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    floe.post("/topics/t/records", json!({ "value": 1 })).await.ok(201);
    floe.call("POST", "/subscribe/john@example.com/t").send().await.ok(200);
    let answer = floe.get("/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        "kafka_consumergroup_lag{consumergroup=\"user:john@example.com\",topic=\"t\",partition=\"0\"} 1",
        "floe_topic_messages_total{topic=\"t\"} 1",
        "floe_topic_subscribers{topic=\"t\"} 0",
        "floe_storage_writable 1",
        "floe_http_responses_total{status=\"2xx\"} 3",
        "# TYPE floe_http_request_duration_seconds histogram",
        "# UNIT floe_uptime_seconds seconds",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}
