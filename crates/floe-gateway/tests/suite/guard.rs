//! Who may call: hosts, origins, methods and paths.

use floe_gateway::GatewayConfig;
use serde_json::json;

use crate::floe::Floe;

#[tokio::test]
async fn unknown_paths_and_wrong_methods_say_so() {
    let floe = Floe::start().await;
    floe.get("/nowhere").await.problem(404, "NOT_FOUND");
    floe.get("/topics/").await.problem(404, "NOT_FOUND");
    for (method, path, allowed) in [
        ("PUT", "/topics", "GET,HEAD,POST"),
        ("TRACE", "/health", ""),
        ("BREW", "/topics", "GET,HEAD,POST"),
        ("GET", "/register_event", "POST"),
        ("DELETE", "/topics/t/records", "GET,HEAD,POST"),
        ("POST", "/health", "GET,HEAD"),
    ] {
        let answer = floe.call(method, path).send().await;
        answer.problem(405, "BAD_REQUEST");
        if !allowed.is_empty() {
            let mut found: Vec<_> = answer.header("allow").unwrap().split(',').collect();
            found.sort_unstable();
            assert_eq!(found.join(","), allowed, "{method} {path}");
        }
    }
    let override_ignored =
        floe.call("GET", "/topics").header("x-http-method-override", "DELETE").send().await;
    assert_eq!(override_ignored.status, 200);
}

#[tokio::test]
async fn a_rebound_name_is_not_this_server() {
    let floe = Floe::start().await;
    floe.call("GET", "/health").header("host", "evil.example").send().await.problem(421, "BAD_REQUEST");
    floe.call("GET", "/health").header("host", "localhost:1").send().await.ok(200);
    let config = GatewayConfig { allowed_hosts: vec!["floe.lan".into()], ..GatewayConfig::default() };
    let floe = Floe::with(&config).await;
    floe.call("GET", "/health").header("host", "floe.lan:8080").send().await.ok(200);
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let config =
        GatewayConfig { allowed_origins: vec!["https://app.example".into()], ..GatewayConfig::default() };
    let floe = Floe::with(&config).await;
    let make = |origin: &str, name: &str| {
        floe.call("POST", "/topics").header("origin", origin).json(&json!({ "name": name })).send()
    };
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        make(foreign, "x").await.problem(403, "FORBIDDEN");
    }
    make(&format!("http://{}", floe.address), "same").await.ok(201);
    let listed = make("https://app.example", "listed").await;
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://app.example"));
    listed.ok(201);
    let foreign_read = floe.call("GET", "/topics").header("origin", "https://evil.example").send().await;
    assert_eq!(foreign_read.header("access-control-allow-origin"), None);
    assert_eq!(foreign_read.ok(200)["topics"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn browsers_that_ask_first_get_an_answer_by_their_origin() {
    let config =
        GatewayConfig { allowed_origins: vec!["https://app.example".into()], ..GatewayConfig::default() };
    let floe = Floe::with(&config).await;
    let ask = |origin: &str| {
        let call = floe.call("OPTIONS", "/topics").header("origin", origin);
        call.header("access-control-request-method", "POST").send()
    };
    let listed = ask("https://app.example").await;
    assert_eq!(listed.status, 204);
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://app.example"));
    for foreign in ["https://evil.example", "null"] {
        let answer = ask(foreign).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn a_socket_for_a_page_elsewhere_is_refused() {
    let floe = Floe::start().await;
    let call =
        floe.call("GET", "/ws").header("origin", "https://evil.example").header("connection", "upgrade");
    let call = call.header("upgrade", "websocket").header("sec-websocket-version", "13");
    call.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").send().await.problem(403, "FORBIDDEN");
}
