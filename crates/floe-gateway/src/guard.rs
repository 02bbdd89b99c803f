//! Who may call: checks that every request passes before it reaches a route, whatever the route.
//!
//! A server on loopback is reachable by every page that the user has open. `Host` stops pages that rebound their own
//! name to 127.0.0.1; `Origin` stops pages that post here from elsewhere, and their WebSockets.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts};

use crate::{limits, problem::ApiError, problem::Code};

/// Which hosts and origins may call.
#[derive(Clone, Debug, Default)]
pub(crate) struct GuardRules {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// A request that may go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// From no page, or from a page of this server.
    Plain,
    /// From a page elsewhere; its browser won't let it read the answer.
    Foreign,
    /// From a page of this listed origin: the answer must name it.
    Listed(HeaderValue),
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl GuardRules {
    pub(crate) fn new(hosts: &[String], origins: &[String]) -> Self {
        let lower = |list: &[String]| list.iter().map(|text| text.trim().to_ascii_lowercase()).collect();
        Self { hosts: lower(hosts), origins: lower(origins) }
    }

    /// Checks a request's head. `on_loopback`: it came in through a listener bound to a loopback address.
    pub(crate) fn admit(&self, parts: &Parts, on_loopback: bool) -> Result<Admitted, ApiError> {
        check_size(parts)?;
        check_protocol(parts)?;
        let host = host_of(parts)?;
        if on_loopback && let Some(host) = host {
            self.check_host(host)?;
        }
        self.check_origin(parts, host)
    }

    /// For a GET that changes state: refuses it to pages of other origins, with `Origin` or, as an image or a link
    /// would send it, without.
    pub(crate) fn refuse_other_pages(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let allowed = match headers.get(header::ORIGIN) {
            Some(origin) => self.lists(origin) || is_same_origin(origin, host),
            None => {
                let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
                !matches!(site, Some(b"cross-site" | b"same-site"))
            }
        };
        if allowed {
            return Ok(());
        }
        let detail = "this reads and moves a position: pages of other origins may not call it";
        Err(ApiError::new(Code::Forbidden, detail))
    }

    fn check_host(&self, host: &str) -> Result<(), ApiError> {
        let name = without_port(host);
        if is_loopback(name)
            || self.hosts.iter().any(|listed| [host, name].iter().any(|it| listed.eq_ignore_ascii_case(it)))
        {
            return Ok(());
        }
        let detail = format!(
            "the host '{}' is not one of this server's; it listens on loopback, and other names have to be listed in allowed_hosts",
            host.escape_debug()
        );
        Err(ApiError::protocol(StatusCode::MISDIRECTED_REQUEST, detail).closing())
    }

    fn check_origin(&self, parts: &Parts, host: Option<&str>) -> Result<Admitted, ApiError> {
        let mut origins = parts.headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(Admitted::Plain) };
        if origins.next().is_none() {
            if is_same_origin(origin, host) {
                return Ok(Admitted::Plain);
            }
            if self.lists(origin) {
                return Ok(Admitted::Listed(origin.clone()));
            }
        }
        let safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if safe && !parts.headers.contains_key(header::UPGRADE) {
            return Ok(Admitted::Foreign);
        }
        let detail = format!(
            "pages of the origin '{}' may not do this; list it in allowed_origins if they should",
            origin.as_bytes().escape_ascii()
        );
        Err(ApiError::new(Code::Forbidden, detail))
    }

    /// `null` is never listed: every sandboxed page has it.
    fn lists(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| {
            origin != "null" && self.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
        })
    }
}

fn check_size(parts: &Parts) -> Result<(), ApiError> {
    let uri = &parts.uri;
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits::URI_BYTES_MAX {
        let detail =
            format!("the request target has {target} bytes, at most {} are taken", limits::URI_BYTES_MAX);
        return Err(ApiError::protocol(StatusCode::URI_TOO_LONG, detail).closing());
    }
    // Per line: the name, the value, and four bytes of `: ` and CRLF.
    let head: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if head > limits::HEAD_BYTES_MAX {
        let detail = format!("the headers have {head} bytes, at most {} are taken", limits::HEAD_BYTES_MAX);
        return Err(ApiError::protocol(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail).closing());
    }
    Ok(())
}

fn check_protocol(parts: &Parts) -> Result<(), ApiError> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        let detail = format!("{} is not taken by this server", parts.method);
        return Err(ApiError::protocol(StatusCode::METHOD_NOT_ALLOWED, detail).closing());
    }
    match parts.headers.get(header::EXPECT) {
        Some(expect) if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            let detail = "the only expectation that can be met is 100-continue";
            Err(ApiError::protocol(StatusCode::EXPECTATION_FAILED, detail).closing())
        }
        _ => Ok(()),
    }
}

/// The authority that the request names: its target's, else its `Host`.
fn host_of(parts: &Parts) -> Result<Option<&str>, ApiError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            host.to_str().map_err(|_| ApiError::bad_request("the header Host is not ASCII").closing())?
        }
        (None, _) if parts.version < Version::HTTP_11 => return Ok(None),
        (None, _) => return Err(ApiError::bad_request("the header Host is missing").closing()),
        (Some(_), Some(_)) => return Err(ApiError::bad_request("there are two headers Host").closing()),
    };
    Ok(Some(parts.uri.authority().map_or(host, |authority| authority.as_str())))
}

/// Whether a name can only mean this machine.
fn is_loopback(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let last_label = bare.rsplit('.').next().unwrap_or_default();
    last_label.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `name:port` without the port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether a page of `origin` came from the host it now calls. The scheme is left out: behind a proxy that ends TLS
/// the page's is https while ours is http.
fn is_same_origin(origin: &HeaderValue, host: Option<&str>) -> bool {
    let (Ok(origin), Some(host)) = (origin.to_str(), host) else { return false };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let strip = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    strip(authority) == strip(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(
        rules: &GuardRules,
        on_loopback: bool,
        method: &str,
        headers: &[(&str, &str)],
    ) -> Result<Admitted, StatusCode> {
        let mut request = http::Request::builder().method(method).uri("/topics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        rules
            .admit(&parts, on_loopback)
            .map_err(|error| axum::response::IntoResponse::into_response(error).status())
    }

    #[test]
    fn a_loopback_listener_knows_its_names() {
        let rules = GuardRules::new(&["box.lan".into(), "other.lan:9".into()], &[]);
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "a.localhost",
            "box.lan:1",
            "other.lan:9",
        ] {
            assert_eq!(admit(&rules, true, "GET", &[("host", good)]), Ok(Admitted::Plain), "{good}");
        }
        for bad in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "other.lan:8",
            "",
        ] {
            assert_eq!(
                admit(&rules, true, "GET", &[("host", bad)]),
                Err(StatusCode::MISDIRECTED_REQUEST),
                "{bad}"
            );
        }
        assert_eq!(admit(&rules, false, "GET", &[("host", "evil.example")]), Ok(Admitted::Plain));
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        let rules = GuardRules::default();
        assert_eq!(admit(&rules, true, "GET", &[]), Err(StatusCode::BAD_REQUEST));
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(admit(&rules, true, "GET", &two), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn pages_of_other_origins_may_look_but_not_touch() {
        let rules = GuardRules::new(&[], &["https://app.example".into(), "null".into()]);
        let from =
            |method, origin| admit(&rules, true, method, &[("host", "localhost:8080"), ("origin", origin)]);
        assert_eq!(from("POST", "http://localhost:8080"), Ok(Admitted::Plain));
        assert_eq!(from("POST", "https://localhost:8080"), Ok(Admitted::Plain));
        assert!(matches!(from("POST", "https://app.example"), Ok(Admitted::Listed(_))));
        for foreign in ["null", "https://evil.example", "http://localhost:9999", "file://", "garbage"] {
            assert_eq!(from("POST", foreign), Err(StatusCode::FORBIDDEN), "{foreign}");
            assert_eq!(from("GET", foreign), Ok(Admitted::Foreign), "{foreign}");
        }
        let socket =
            [("host", "localhost:8080"), ("origin", "https://evil.example"), ("upgrade", "websocket")];
        assert_eq!(admit(&rules, true, "GET", &socket), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn a_get_that_moves_a_position_is_not_for_other_pages() {
        let rules = GuardRules::new(&[], &["https://app.example".into()]);
        let allows = |pairs: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
            for (name, value) in pairs {
                headers.insert(name, HeaderValue::from_static(value));
            }
            rules.refuse_other_pages(&headers).is_ok()
        };
        assert!(allows(&[]));
        assert!(allows(&[(FETCH_SITE, "same-origin")]));
        assert!(allows(&[(FETCH_SITE, "none")]));
        assert!(allows(&[(header::ORIGIN, "http://localhost:8080")]));
        assert!(allows(&[(header::ORIGIN, "https://app.example"), (FETCH_SITE, "cross-site")]));
        assert!(!allows(&[(FETCH_SITE, "cross-site")]));
        assert!(!allows(&[(FETCH_SITE, "same-site")]));
        assert!(!allows(&[(header::ORIGIN, "https://evil.example")]));
        assert!(!allows(&[(header::ORIGIN, "null")]));
    }
}
