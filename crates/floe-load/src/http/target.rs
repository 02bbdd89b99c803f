//! Where a server is: the parts of an `http://` address that a client needs.

use std::fmt;

/// A server's address, taken from a URL such as `http://127.0.0.1:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: String,
    host: String,
    port: u16,
    prefix: String,
}

/// Why a text is not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// TLS is not offered by this client.
    #[error("https is not offered by this client: use http, or a local proxy that speaks TLS")]
    Tls,
    /// The scheme is missing or unknown.
    #[error("'{0}' is not a URL of the form http://host:port")]
    Scheme(String),
    /// The host is missing or has characters that a host has not.
    #[error("'{0}' has no valid host: expected http://host:port")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("'{0}' has no valid port: expected http://host:port")]
    Port(String),
}

impl Target {
    /// Reads `http://host[:port][/prefix]`; the port is 80 when none is given.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let shown = || url.escape_debug().to_string();
        if url.starts_with("https://") {
            return Err(TargetError::Tls);
        }
        let rest = url.strip_prefix("http://").ok_or_else(|| TargetError::Scheme(shown()))?;
        let (authority, prefix) = match rest.find('/') {
            Some(slash) => (&rest[..slash], rest[slash..].trim_end_matches('/')),
            None => (rest, ""),
        };
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '?' | '#' | '\\');
        if authority.contains(bad) || prefix.contains(|c: char| bad(c) || !c.is_ascii()) {
            return Err(TargetError::Host(shown()));
        }
        let (host, port) = match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => {
                let port = authority[colon + 1..].parse().ok().filter(|port| *port != 0);
                (&authority[..colon], port.ok_or_else(|| TargetError::Port(shown()))?)
            }
            _ => (authority, 80),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(TargetError::Host(shown()));
        }
        Ok(Self { authority: authority.to_owned(), host: host.to_owned(), port, prefix: prefix.to_owned() })
    }

    /// What the `Host` header says.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The request target of `path` on this server.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

/// Percent-encodes `text` so that it is one segment of a path or one value of a query.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => {
                use fmt::Write;
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_parts() {
        let target = Target::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!((target.host(), target.port(), target.authority()), ("127.0.0.1", 8080, "127.0.0.1:8080"));
        let target = Target::parse("http://example.org/floe/").unwrap();
        assert_eq!((target.port(), target.path("/topics")), (80, "/floe/topics".to_owned()));
        let target = Target::parse("http://[::1]:9").unwrap();
        assert_eq!((target.host(), target.port(), target.authority()), ("::1", 9, "[::1]:9"));
        assert_eq!(Target::parse("http://[::1]").unwrap().port(), 80);
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        assert_eq!(Target::parse("https://x"), Err(TargetError::Tls));
        assert!(matches!(Target::parse("localhost:8080"), Err(TargetError::Scheme(_))));
        assert!(matches!(Target::parse("http://"), Err(TargetError::Host(_))));
        assert!(matches!(Target::parse("http://user@host"), Err(TargetError::Host(_))));
        assert!(matches!(Target::parse("http://a\r\nX: y"), Err(TargetError::Host(_))));
        assert!(matches!(Target::parse("http://host:0"), Err(TargetError::Port(_))));
        assert!(matches!(Target::parse("http://host:70000"), Err(TargetError::Port(_))));
    }

    #[test]
    fn names_become_one_segment() {
        assert_eq!(escape("a b/ü?&=%"), "a%20b%2F%C3%BC%3F%26%3D%25");
        assert_eq!(escape("A.b_c-9~"), "A.b_c-9~");
    }
}
