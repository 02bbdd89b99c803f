//! Where the rows are.

use std::{fmt, path::PathBuf};

/// Where the rows are. `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file; made when it isn't there.
    Sqlite(PathBuf),
    /// `postgres://user:password@host:port/database?sslmode=…`
    Postgres(String),
}

impl DatabaseUrl {
    /// Reads `postgres://…`, `postgresql://…`, or `sqlite:` and a path. `Err` says what would be right, and doesn't
    /// repeat what was given: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(_) | None => Err("a database is postgres://user:password@host:port/database or \
                                   sqlite:path/to/file"
                .to_owned()),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Scheme, host and path: who logs in, and whatever parameters say, is left out.
pub(crate) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // A password may hold a bare '/', so the last '@' counts.
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for url in [
            "postgres://floe:canary@db:5432/events?sslmode=require",
            "postgres://floe:can/canary@db/events",
            "postgresql://db/events?user=floe&password=canary",
            "postgres://canary@db",
        ] {
            let read = DatabaseUrl::parse(url).expect("an address");
            assert!(!format!("{read} {read:?}").contains("canary"), "{read}");
            assert!(read.to_string().contains("db"), "{read}");
        }
    }

    #[test]
    fn a_wrong_address_is_refused_without_being_repeated() {
        for url in ["", "mysql://a:canary@b/c", "sqlite:", "canary"] {
            let refused = DatabaseUrl::parse(url).expect_err("no address");
            assert!(!refused.contains("canary") && refused.contains("postgres://"), "{refused}");
        }
        assert_eq!(DatabaseUrl::parse("sqlite:a/b"), Ok(DatabaseUrl::Sqlite("a/b".into())));
        assert_eq!(DatabaseUrl::parse("sqlite:///a/b"), Ok(DatabaseUrl::Sqlite("/a/b".into())));
    }
}
