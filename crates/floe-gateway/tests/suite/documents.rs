//! The pages and the OpenAPI document.

use crate::floe::Floe;

#[tokio::test]
async fn the_document_names_every_route() {
    let floe = Floe::start().await;
    let document = floe.get("/openapi.json").await.ok(200);
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in [
        ("/topics", &["get", "post"][..]),
        ("/topics/{topic}", &["get", "patch", "delete"]),
        ("/topics/{topic}/records", &["get", "post"]),
        ("/topics/{topic}/stream", &["get"]),
        ("/groups", &["get"]),
        ("/groups/{group}", &["get", "delete"]),
        ("/groups/{group}/poll", &["post"]),
        ("/groups/{group}/ack", &["post"]),
        ("/groups/{group}/offsets", &["post"]),
        ("/health", &["get"]),
        ("/health/live", &["get"]),
        ("/health/ready", &["get"]),
        ("/stats", &["get"]),
        ("/metrics", &["get"]),
        ("/ws", &["get"]),
        ("/create_topic/{topic_id}/{num_partitions}", &["post"]),
        ("/delete_topic/{topic_id}", &["delete"]),
        ("/write/{topic_id}", &["post"]),
        ("/subscribe/{email}/{topic_id}", &["post"]),
        ("/unsubscribe/{email}/{topic_id}", &["post"]),
        ("/read/{email}/{topic_id}/{key}", &["get"]),
        ("/register_event", &["post"]),
        ("/get_status", &["get"]),
        ("/groups/{group}/members", &["post"]),
        ("/groups/{group}/members/{member}", &["delete"]),
        ("/groups/{group}/members/{member}/heartbeat", &["post"]),
        ("/groups/{group}/commit", &["post"]),
        ("/topics/{topic}/batch", &["post"]),
        ("/topics/{topic}/partitions/{partition}/batch", &["get"]),
        ("/pipelines", &["get"]),
        ("/pipelines/{pipeline}", &["get"]),
        ("/pipelines/{pipeline}/pause", &["post"]),
        ("/pipelines/{pipeline}/resume", &["post"]),
        ("/dead-letters", &["get"]),
        ("/dead-letters/{pipeline}", &["get", "delete"]),
        ("/dead-letters/{pipeline}/{id}", &["get"]),
        ("/dead-letters/{pipeline}/redrive", &["post"]),
        ("/v1/event", &["post"]),
        ("/v1/events", &["get", "post"]),
        ("/v1/events/{id}", &["get", "delete"]),
        ("/v1/events/counts", &["get"]),
        ("/v1/ws/events", &["get"]),
        ("/floe.js", &["get"]),
        ("/events/live", &["get"]),
    ] {
        for method in methods {
            let operation = &document["paths"][path][method];
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
        }
    }
    assert!(document["components"]["schemas"]["Problem"]["properties"]["code"].is_object());
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let floe = Floe::start().await;
    let document = floe.get("/openapi.json").await.ok(200);
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[tokio::test]
async fn pages_are_whole_and_ask_nobody_else() {
    let floe = Floe::start().await;
    for path in ["/", "/docs/", "/redoc"] {
        let page = floe.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'self'") || policy.contains("default-src 'none'"),
            "{path}: {policy}"
        );
        let text = page.text();
        for outside in ["src=\"http", "href=\"http", "src=\"//", "@import"] {
            assert!(!text.contains(outside), "{path} has {outside}");
        }
    }
    assert!(!floe.get("/docs/").await.text().contains("<script>"), "its policy would stop an inline script");
    let script = floe.get("/docs/swagger-ui-bundle.js").await;
    assert_eq!(script.status, 200);
    let initializer = floe.get("/docs/swagger-initializer.js").await.text();
    assert!(initializer.contains("/openapi.json"), "{initializer}");
    assert_eq!(floe.get("/docs").await.header("location"), Some("/docs/"));
}

#[tokio::test]
async fn nothing_outside_of_the_binary_is_served() {
    let floe = Floe::start().await;
    for path in [
        "/docs/..%2f..%2fCargo.toml",
        "/%2e%2e/",
        "//",
        "/docs/%252e%252e%252fCargo.toml",
        "/docs/no-such-file",
    ] {
        floe.get(path).await.problem(404, "NOT_FOUND");
    }
}
