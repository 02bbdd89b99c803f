//! Files of the console, from the binary: the browser client `/floe.js`, the page `/events/live` that uses it, and the chat's page.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha1::{Digest, Sha1};

use crate::{
    docs::page,
    params::{InPath, RawParams},
    problem::{ApiError, Problem, unknown_path},
};

/// Scripts and styles come from this server alone; sockets too, which browsers don't count as `'self'` everywhere.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// One file and what it is served with.
struct File {
    content: &'static [u8],
    kind: &'static str,
    /// Changes with the content.
    tag: HeaderValue,
}

impl File {
    fn new(kind: &'static str, content: &'static [u8]) -> Self {
        let digest = HEXLOWER.encode(&Sha1::digest(content));
        // Hexadecimal digits in quotes are a header's text; without a tag the file would be fetched anew each time.
        let tag = HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { content, kind, tag }
    }

    /// The file, or that it is the one the client has.
    fn serve(&self, asked: &HeaderMap) -> Response {
        let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let known = known.flat_map(|tags| tags.split(',')).map(str::trim);
        let tag = self.tag.to_str().unwrap_or_default();
        let mut response = match known.into_iter().any(|known| known.trim_start_matches("W/") == tag) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => self.content.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::ETAG, self.tag.clone());
        page(response, POLICY)
    }
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static CLIENT: LazyLock<File> =
    LazyLock::new(|| File::new(SCRIPT, include_bytes!("../../../console/floe.js")));
static LIVE_PAGE: LazyLock<File> =
    LazyLock::new(|| File::new(HTML, include_bytes!("../../../console/events-live.html")));
static LIVE_SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::new(SCRIPT, include_bytes!("../../../console/events-live.js")));
static LIVE_STYLE: LazyLock<File> =
    LazyLock::new(|| File::new(STYLE, include_bytes!("../../../console/events-live.css")));

static CHAT_PAGE: LazyLock<File> =
    LazyLock::new(|| File::new(HTML, include_bytes!("../../../console/chat.html")));
/// What the chat's page loads, by name.
static CHAT_FILES: LazyLock<[(&str, File); 4]> = LazyLock::new(|| {
    [
        ("page.js", File::new(SCRIPT, include_bytes!("../../../console/chat.js"))),
        ("session.js", File::new(SCRIPT, include_bytes!("../../../console/chat-session.js"))),
        ("view.js", File::new(SCRIPT, include_bytes!("../../../console/chat-view.js"))),
        ("page.css", File::new(STYLE, include_bytes!("../../../console/chat.css"))),
    ]
});

/// The browser client
///
/// An ES module: `connectEvents` follows stored events, `subscribe` a topic; both reconnect by themselves and resume with
/// nothing lost and nothing repeated.
#[utoipa::path(get, path = "/floe.js", tag = "documents", responses((status = 200, description = "The module", body = String, content_type = "text/javascript")))]
pub(crate) async fn client(params: RawParams, headers: HeaderMap) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(CLIENT.serve(&headers))
}

/// Stored events as they arrive
#[utoipa::path(
    get,
    path = "/events/live",
    tag = "documents",
    params(
        ("event_type" = Option<String>, Query, description = "Only of this type"),
        ("user_id" = Option<String>, Query, description = "Only of this user"),
    ),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"))
)]
pub(crate) async fn live_page(params: RawParams, headers: HeaderMap) -> Result<Response, ApiError> {
    params.only(&["event_type", "user_id"])?;
    Ok(LIVE_PAGE.serve(&headers))
}

/// The page's script
#[utoipa::path(get, path = "/events/live.js", tag = "documents", responses((status = 200, description = "An ES module", body = String, content_type = "text/javascript")))]
pub(crate) async fn live_script(params: RawParams, headers: HeaderMap) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(LIVE_SCRIPT.serve(&headers))
}

/// The page's style
#[utoipa::path(get, path = "/events/live.css", tag = "documents", responses((status = 200, description = "A style sheet", body = String, content_type = "text/css")))]
pub(crate) async fn live_style(params: RawParams, headers: HeaderMap) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(LIVE_STYLE.serve(&headers))
}

/// Ask in a browser
#[utoipa::path(get, path = "/chat", tag = "chat (seed 002)", responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
pub(crate) async fn chat_page(params: RawParams, headers: HeaderMap) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(CHAT_PAGE.serve(&headers))
}

/// What the page loads
#[utoipa::path(
    get,
    path = "/chat/{file}",
    tag = "chat (seed 002)",
    params(("file" = String, Path, description = "page.js, session.js, view.js or page.css")),
    responses(
        (status = 200, description = "An ES module, or a style sheet", body = String, content_type = "text/javascript"),
        (status = 404, description = "Another name", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn chat_file(
    InPath(name): InPath<String>,
    params: RawParams,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    match CHAT_FILES.iter().find(|(known, _)| *known == name) {
        Some((_, file)) => Ok(file.serve(&headers)),
        None => Err(unknown_path().await),
    }
}
