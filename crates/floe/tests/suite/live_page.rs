//! The page `/events/live` in a real browser.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{browser::Browser, node::Node};

/// What the page is told beyond what every page is.
impl Browser {
    /// Tracks an event by the page's form; answers its id.
    fn track(&mut self, event: &str) -> String {
        let said = self.tell(&format!("track {event}"));
        let said = said["said"].as_str().unwrap();
        said.strip_prefix("accepted: ").unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// The ids that are shown, each once, and as many as the page says it received.
    fn rows(&mut self) -> BTreeSet<String> {
        let shown = self.tell("rows");
        let ids: Vec<String> = serde_json::from_value(shown["ids"].clone()).unwrap();
        let different: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(different.len(), ids.len(), "an event is shown twice: {ids:?}");
        assert_eq!(shown["faults"], json!([]), "the page had errors");
        different
    }
}

async fn post(server: &Node, id: &str, kind: &str, user: &str) {
    let event =
        json!({"id": id, "event_type": kind, "user_id": user, "data": {"of": "the test"}}).to_string();
    let (status, said) = server.ask("POST", "/v1/event", &event).await;
    assert_eq!(status, 202, "{said}");
}

fn server() -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    (Node::server(&folder.path().join("data"), &[]), folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_a_tracked_event() {
    let (server, _folder) = server();
    let mut browser = Browser::start("live.mjs");
    let opened = browser.tell(&format!("open {}/events/live", server.url));
    assert_eq!(opened["status"], 200);
    assert!(opened["policy"].as_str().unwrap().contains("default-src 'self'"), "{opened}");
    browser.tell("state open");
    let id = browser.track(r#"click u-7 {"page": "/products/42"}"#);
    browser.tell(&format!("shows {id}"));
    // what the server finds wrong with an event is told beside the form
    let refused = browser.tell(r#"track purchase u-7 {"amount": "a lot"}"#);
    assert!(refused["said"].as_str().unwrap().contains("/data/amount"), "{refused}");
    let refused = browser.tell("track click u-7 {not json");
    assert!(refused["said"].as_str().unwrap().contains("not JSON"), "{refused}");
    // text stays text
    let markup = "<img/src=x/onerror=alert(1)>";
    post(&server, markup, "click", "<b>u</b>").await;
    browser.tell(&format!("shows {markup}"));
    post(&server, "another", "login", "u-8").await;
    browser.tell("shows another");
    assert_eq!(browser.rows().len(), 3);
    // the filter is the server's
    browser.tell("filter login -");
    browser.tell("state open");
    browser.tell("shows another");
    post(&server, "third", "click", "u-8").await;
    post(&server, "fourth", "login", "u-9").await;
    browser.tell("shows fourth");
    assert_eq!(browser.rows(), ["another", "fourth"].map(str::to_owned).into());
    browser.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_loses_and_repeats_nothing_over_a_killed_server() {
    let (server, _folder) = server();
    let mut browser = Browser::start("live.mjs");
    browser.tell(&format!("open {}/events/live", server.url));
    browser.tell("state open");
    let mut sent = BTreeSet::new();
    for round in 0..3 {
        for number in 0..20 {
            let id = format!("event-{round}-{number}");
            post(&server, &id, "view", "u-1").await;
            sent.insert(id);
        }
        // some are on the page, some may only just be accepted
        server.kill();
        browser.tell("state waiting");
        server.start();
        // stored before the page is back
        let id = format!("between-{round}");
        post(&server, &id, "view", "u-1").await;
        sent.insert(id);
        browser.tell("state open");
    }
    let all: Vec<&str> = sent.iter().map(String::as_str).collect();
    browser.tell(&format!("shows {}", all.join(" ")));
    assert_eq!(browser.rows(), sent);
    browser.close();
}
