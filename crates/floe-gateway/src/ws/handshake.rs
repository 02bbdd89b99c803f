//! The handshake: what a request must bring to become a WebSocket, and the answer that makes it one.

use axum::{body::Body, response::Response};
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use sha1::{Digest, Sha1};

use super::limits::SUBPROTOCOLS_MAX;
use crate::problem::ApiError;

/// What RFC 6455 appends to a client's key.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The version of the protocol, the only one there is.
const VERSION: &str = "13";
/// The sub-protocol that clients which must name one may name. A browser that offers any (to carry its key as
/// `floe.key.…`) wants one of them back; the key itself is never echoed.
const SUBPROTOCOL: &str = "floe";

/// A handshake that may be accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    accept: HeaderValue,
    /// The client offered our sub-protocol.
    named: bool,
}

/// Why a handshake is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    error: ApiError,
    /// Tell the version we speak.
    tell_version: bool,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, tell_version: false }
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.error.into_response();
        if self.tell_version {
            let headers = response.headers_mut();
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        response
    }
}

impl Handshake {
    /// Checks a request's head.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Refused> {
        let headers = &parts.headers;
        if parts.method != Method::GET || parts.version != Version::HTTP_11 {
            return Err(ApiError::bad_request("a WebSocket begins with an HTTP/1.1 GET").into());
        }
        if !has_token(headers, header::UPGRADE, "websocket") {
            return Err(upgrade_required("this is a WebSocket: send Upgrade: websocket"));
        }
        if !has_token(headers, header::CONNECTION, "upgrade") {
            return Err(ApiError::bad_request("the header Connection must contain 'Upgrade'").into());
        }
        if only(headers, &header::SEC_WEBSOCKET_VERSION)?.as_bytes() != VERSION.as_bytes() {
            return Err(upgrade_required("Sec-WebSocket-Version must be 13"));
        }
        let key = only(headers, &header::SEC_WEBSOCKET_KEY)?;
        if BASE64.decode(key.as_bytes()).ok().is_none_or(|key| key.len() != 16) {
            return Err(ApiError::bad_request("Sec-WebSocket-Key must be 16 bytes in base64").into());
        }
        Ok(Self { accept: accept(key.as_bytes())?, named: offers_ours(headers)? })
    }

    /// The answer after which the connection is a WebSocket.
    pub(crate) fn response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if self.named {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        response
    }
}

fn upgrade_required(detail: &'static str) -> Refused {
    let error = ApiError::protocol(StatusCode::UPGRADE_REQUIRED, detail);
    Refused { error, tell_version: true }
}

/// The answer to a key: proof that this server read this handshake.
fn accept(key: &[u8]) -> Result<HeaderValue, ApiError> {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize();
    // Base64 is always a header's text; the error only keeps this from being an `expect` on a client's path.
    HeaderValue::try_from(BASE64.encode(&digest))
        .map_err(|_| ApiError::bad_request("the key can't be answered"))
}

/// A header that must be there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a HeaderValue, Refused> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) if *name == header::SEC_WEBSOCKET_VERSION => {
            Err(upgrade_required("Sec-WebSocket-Version is missing; it must be 13"))
        }
        (None, _) => Err(ApiError::bad_request(format!("the header {name} is missing")).into()),
        (Some(_), Some(_)) => Err(ApiError::bad_request(format!("there are two headers {name}")).into()),
    }
}

/// Whether a comma-separated header holds a word, in any case.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}

fn offers_ours(headers: &HeaderMap) -> Result<bool, ApiError> {
    let offered = || tokens(headers, header::SEC_WEBSOCKET_PROTOCOL);
    if offered().count() > SUBPROTOCOLS_MAX {
        return Err(ApiError::bad_request(format!(
            "at most {SUBPROTOCOLS_MAX} sub-protocols may be offered"
        )));
    }
    Ok(offered().any(|name| name == SUBPROTOCOL.as_bytes()))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn shake(headers: &[(&str, &str)]) -> Result<Response, StatusCode> {
        let mut request = http::Request::builder().uri("/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Handshake::of(&parts).map(Handshake::response).map_err(|refused| refused.into_response().status())
    }

    fn without(name: &str) -> Vec<(&str, &str)> {
        GOOD.into_iter().filter(|(found, _)| *found != name).collect()
    }

    fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut headers = without(name);
        headers.push((name, value));
        headers
    }

    #[test]
    fn the_rfcs_own_example_is_accepted() {
        let response = shake(&GOOD).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
    }

    #[test]
    fn what_is_missing_doubled_or_wrong_is_refused() {
        for (headers, status) in [
            (without("sec-websocket-key"), StatusCode::BAD_REQUEST),
            (with("sec-websocket-key", "c2hvcnQ="), StatusCode::BAD_REQUEST),
            (with("sec-websocket-key", "not base64 at all !!"), StatusCode::BAD_REQUEST),
            (without("connection"), StatusCode::BAD_REQUEST),
            (with("connection", "close"), StatusCode::BAD_REQUEST),
            (without("upgrade"), StatusCode::UPGRADE_REQUIRED),
            (with("upgrade", "h2c"), StatusCode::UPGRADE_REQUIRED),
            (without("sec-websocket-version"), StatusCode::UPGRADE_REQUIRED),
            (with("sec-websocket-version", "12"), StatusCode::UPGRADE_REQUIRED),
            (with("sec-websocket-version", "13, 8"), StatusCode::UPGRADE_REQUIRED),
        ] {
            assert_eq!(shake(&headers).unwrap_err(), status, "{headers:?}");
        }
        let mut doubled = GOOD.to_vec();
        doubled.push(GOOD[3]);
        assert_eq!(shake(&doubled).unwrap_err(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_wrong_version_is_told_the_right_one() {
        let headers = with("sec-websocket-version", "8");
        let mut request = http::Request::builder().uri("/ws");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let response = Handshake::of(&parts).unwrap_err().into_response();
        assert_eq!(response.headers()["sec-websocket-version"], "13");
    }

    #[test]
    fn a_key_among_the_sub_protocols_is_never_echoed() {
        let mut headers = GOOD.to_vec();
        headers.push(("sec-websocket-protocol", "floe.key.secret, floe"));
        assert_eq!(shake(&headers).unwrap().headers()["sec-websocket-protocol"], "floe");
        headers[4].1 = "floe.key.secret";
        assert!(!shake(&headers).unwrap().headers().contains_key("sec-websocket-protocol"));
        let many = ["x"; 17].join(",");
        headers[4].1 = &many;
        assert_eq!(shake(&headers).unwrap_err(), StatusCode::BAD_REQUEST);
    }
}
