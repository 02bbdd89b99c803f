//! The page `/chat` in a real browser.

use floe_testkit::services::{Behaviour, LanguageModel};
use serde_json::{Value, json};

use super::add;
use crate::{browser::Browser, node::Node};

fn texts(turns: &Value, field: &str) -> Vec<String> {
    let all = turns["turns"].as_array().unwrap_or_else(|| panic!("{turns}"));
    all.iter().map(|turn| turn[field].as_str().unwrap_or_default().to_owned()).collect()
}

fn server(environment: &[(&str, String)]) -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    (Node::server(&folder.path().join("data"), environment), folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_asks_reads_and_opens_the_sources() {
    let (server, _folder) = server(&[]);
    let evil = "<img src=x onerror=alert(1)>";
    add(&server, evil, &format!("The gate {evil} opens at dawn.")).await;
    let mut browser = Browser::start("chat.mjs");
    let opened = browser.tell(&format!("open {}/chat", server.url));
    assert_eq!(opened["status"], 200);
    assert!(opened["policy"].as_str().unwrap().contains("default-src 'self'"), "{opened}");
    browser.tell("state open");
    browser.tell(&format!("ask When does the gate open? {evil}"));
    let turns = browser.tell("answered 1");
    assert!(texts(&turns, "text")[0].contains("dawn") && texts(&turns, "text")[0].contains(evil), "{turns}");
    assert!(texts(&turns, "question")[0].contains(evil), "markup is shown as the text it is: {turns}");
    let source = browser.tell("source 1 1");
    assert!(source["text"].as_str().unwrap().contains("dawn"), "{source}");
    assert!(source["marked"].to_string().contains("dawn"), "the quote is marked: {source}");
    browser.tell("close-dialog");
    // a document of the person's own
    browser.tell("add-document Moat|The moat is nine feet deep.");
    browser.tell("close-dialog");
    browser.tell("ask How deep is the moat?");
    assert!(texts(&browser.tell("answered 2"), "text")[1].contains("nine feet"));
    // the same session after a reload, and after a crash of the server
    browser.tell("reload");
    assert_eq!(texts(&browser.tell("answered 2"), "question").len(), 2);
    server.restart();
    browser.tell("state open");
    browser.tell("ask How deep is the moat, again?");
    assert_eq!(texts(&browser.tell("answered 3"), "status"), ["answered"; 3]);
    // on a telephone, in the dark
    for scheme in ["dark", "light"] {
        browser.tell(&format!("scheme {scheme}"));
        assert_eq!(browser.tell("viewport 360 640")["wide"], false, "{scheme}");
    }
    let other = browser.tell("new-chat");
    assert!(other["session"].as_str().is_some_and(|id| !id.is_empty()), "{other}");
    assert_eq!(browser.tell("turns")["turns"], json!([]));
    assert_eq!(browser.tell("faults")["faults"], json!([]), "the page had errors");
    browser.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_stops_an_answer_and_asks_a_failed_one_again() {
    let model = LanguageModel::start().await;
    let environment = [("FLOE_LLM_URL", model.url()), ("FLOE_LLM_MODEL", "floe-test".to_owned())];
    let (server, _folder) = server(&environment);
    let mut browser = Browser::start("chat.mjs");
    browser.tell(&format!("open {}/chat", server.url));
    browser.tell("state open");
    model.say("one two three four");
    model.behave(Behaviour::Stalls { after_words: 2 });
    browser.tell("ask What?");
    assert!(browser.tell("streaming")["text"].as_str().unwrap().starts_with("one"));
    // in the middle of the answer the page is loaded anew, and goes on with it
    browser.tell("reload");
    browser.tell("holds one two");
    browser.tell("stop");
    let turns = browser.tell("answered 1");
    assert_eq!(texts(&turns, "status"), ["stopped"], "{turns}");
    model.behave(Behaviour::Fails { status: 400, retry_after: None });
    browser.tell("ask Why?");
    let turns = browser.tell("answered 2");
    assert_eq!(texts(&turns, "status")[1], "failed", "{turns}");
    model.behave(Behaviour::Streams);
    browser.tell("retry 2");
    browser.tell("holds one two three four");
    assert_eq!(browser.tell("faults")["faults"], json!([]), "the page had errors");
    browser.close();
}
