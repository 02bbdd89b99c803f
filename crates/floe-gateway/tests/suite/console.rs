//! The console's files.

use crate::floe::Floe;

#[tokio::test]
async fn the_live_page_and_its_files_come_from_the_binary() {
    let floe = Floe::start().await;
    for (path, kind) in [
        ("/floe.js", "text/javascript"),
        ("/events/live", "text/html"),
        ("/events/live?event_type=click&user_id=u", "text/html"),
        ("/events/live.js", "text/javascript"),
        ("/events/live.css", "text/css"),
    ] {
        let file = floe.get(path).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-type").unwrap().starts_with(kind), "{path}");
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self'; connect-src 'self' ws: wss:"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        let text = file.text();
        for outside in ["src=\"http", "href=\"http", "src=\"//", "@import url(http", "style=", "onclick="] {
            assert!(!text.contains(outside), "{path} has {outside}");
        }
    }
    floe.get("/events/live?x=1").await.problem(400, "BAD_REQUEST");
    floe.get("/events/other.js").await.problem(404, "NOT_FOUND");
    assert!(floe.get("/").await.text().contains("href=\"/events/live\""));
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let floe = Floe::start().await;
    let tag = floe.get("/floe.js").await.header("etag").unwrap().to_owned();
    let known = floe.call("GET", "/floe.js").header("if-none-match", &format!("\"x\", W/{tag}")).send().await;
    assert_eq!((known.status, known.text()), (304, String::new()));
    assert_eq!(known.header("etag"), Some(tag.as_str()));
    let other = floe.call("GET", "/floe.js").header("if-none-match", "\"other\"").send().await;
    assert_eq!(other.status, 200);
    assert_ne!(floe.get("/events/live.js").await.header("etag"), Some(tag.as_str()));
}
