//! Query parameters: every one is known, given once and within its range, or the request is refused by name.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use axum::extract::{FromRequestParts, Path};
use floe_engine::{Acks, EngineError, OffsetSpec, TopicName};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::{problem::ApiError, timestamp};

/// The parameters in a request's path, their %-escapes undone.
#[derive(Debug)]
pub(crate) struct InPath<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(params)) => Ok(Self(params)),
            Err(why) => {
                Err(ApiError::bad_request(format!("the path is not as expected: {}", why.body_text())))
            }
        }
    }
}

/// The topic in a request's path; its name follows the rule, whether or not there is such a topic.
#[derive(Debug)]
pub(crate) struct TopicInPath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for TopicInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let InPath(topic) = InPath::<String>::from_request_parts(parts, state).await?;
        check_topic(&topic)?;
        Ok(Self(topic))
    }
}

/// Refuses what can't be a topic's name, so that it is never taken for a topic that doesn't exist.
pub(crate) fn check_topic(topic: &str) -> Result<(), ApiError> {
    match TopicName::new(topic) {
        Ok(_) => Ok(()),
        Err(why) => Err(EngineError::InvalidTopicName { topic: topic.to_owned(), why }.into()),
    }
}

/// Refuses what is no name of a client's own topic.
pub(crate) fn check_client_topic(topic: &str) -> Result<(), ApiError> {
    match TopicName::new(topic) {
        Ok(name) if name.is_internal() => Err(EngineError::InternalTopic { topic: topic.to_owned() }.into()),
        Ok(_) => Ok(()),
        Err(why) => Err(EngineError::InvalidTopicName { topic: topic.to_owned(), why }.into()),
    }
}

/// The failure of a write to a topic. A name that no client's topic can have is told from one that isn't there; looked
/// at only then, since on the hottest path nearly every name is right.
pub(crate) fn write_failure(error: EngineError) -> ApiError {
    match &error {
        EngineError::TopicNotFound { topic } => {
            check_client_topic(topic).err().unwrap_or_else(|| error.into())
        }
        _ => error.into(),
    }
}

/// A request's query, not yet looked at.
#[derive(Debug)]
pub(crate) struct RawParams(Option<String>);

impl<S: Sync> FromRequestParts<S> for RawParams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(parts.uri.query().map(str::to_owned)))
    }
}

impl RawParams {
    /// Takes the query apart; refuses what isn't named in `allowed` and what is given twice.
    pub(crate) fn only(self, allowed: &'static [&'static str]) -> Result<Params, ApiError> {
        Params::parse(self.0.as_deref(), allowed)
    }
}

/// A request's query with only known names in it, each once.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(&'static str, String)>);

impl Params {
    pub(crate) fn parse(query: Option<&str>, allowed: &'static [&'static str]) -> Result<Self, ApiError> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let Some(name) = allowed.iter().find(|known| **known == name) else {
                return Err(unknown(&name, allowed));
            };
            if found.iter().any(|(earlier, _)| earlier == name) {
                return Err(ApiError::bad_request(format!("the query parameter '{name}' is given twice")));
            }
            found.push((name, decode(value)?));
        }
        Ok(Self(found))
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    /// A number within a range.
    pub(crate) fn number<T>(&self, name: &str, range: RangeInclusive<T>) -> Result<Option<T>, ApiError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse::<T>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(ApiError::bad_request(format!(
                "{name}={} is not a whole number from {} to {}",
                text.escape_debug(),
                range.start(),
                range.end()
            ))),
        }
    }

    /// `acks=all|1|0`; absent leaves it to the topic.
    pub(crate) fn acks(&self) -> Result<Option<Acks>, ApiError> {
        match self.text("acks") {
            None => Ok(None),
            Some("all") => Ok(Some(Acks::Durable)),
            Some("1") => Ok(Some(Acks::Written)),
            Some("0") => Ok(Some(Acks::None)),
            Some(other) => {
                Err(ApiError::bad_request(format!("acks={} is not one of all, 1, 0", other.escape_debug())))
            }
        }
    }

    /// A place in a partition.
    pub(crate) fn place(&self, name: &str) -> Result<Option<OffsetSpec>, ApiError> {
        self.text(name).map(|text| parse_place(name, text)).transpose()
    }
}

/// `earliest`, `latest`, an offset, or an RFC 3339 time.
pub(crate) fn parse_place(name: &str, text: &str) -> Result<OffsetSpec, ApiError> {
    match text {
        "earliest" => return Ok(OffsetSpec::Earliest),
        "latest" => return Ok(OffsetSpec::Latest),
        _ => {}
    }
    if !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && let Ok(offset) = text.parse::<i64>()
    {
        return Ok(OffsetSpec::Offset(offset));
    }
    timestamp::parse(text).map(OffsetSpec::Time).ok_or_else(|| {
        ApiError::bad_request(format!(
            "{name}={} is none of: earliest, latest, an offset from 0 to {}, an RFC 3339 time",
            text.escape_debug(),
            i64::MAX
        ))
    })
}

/// A wait of `wait_ms`, at most [`crate::limits::WAIT_MS_MAX`].
pub(crate) fn wait_of(ms: Option<u64>) -> std::time::Duration {
    std::time::Duration::from_millis(ms.unwrap_or(0))
}

fn decode(text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(ApiError::bad_request("the query is not UTF-8 once its %-escapes are undone")),
    }
}

fn unknown(name: &str, allowed: &[&str]) -> ApiError {
    let name = name.escape_debug();
    ApiError::bad_request(if allowed.is_empty() {
        format!("unknown query parameter '{name}'; this path takes none")
    } else {
        format!("unknown query parameter '{name}'; known here: {}", allowed.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_repeated_names_are_refused_by_name() {
        let detail = |query| Params::parse(Some(query), &["limit", "acks"]).unwrap_err().detail().to_owned();
        assert_eq!(detail("limt=1"), "unknown query parameter 'limt'; known here: limit, acks");
        assert_eq!(detail("limit=1&limit=1"), "the query parameter 'limit' is given twice");
        assert_eq!(detail("limit=%ff"), "the query is not UTF-8 once its %-escapes are undone");
    }

    #[test]
    fn numbers_name_their_range() {
        for bad in ["-1", "9223372036854775808", "abc", "1e3", "0", "10001", "1.0", ""] {
            let query = format!("limit={bad}");
            let params = Params::parse(Some(&query), &["limit"]).unwrap();
            let error = params.number("limit", 1..=10_000usize).unwrap_err();
            assert_eq!(error.detail(), format!("limit={bad} is not a whole number from 1 to 10000"));
        }
        let params = Params::parse(Some("limit=7&"), &["limit"]).unwrap();
        assert_eq!(params.number("limit", 1..=10_000usize).unwrap(), Some(7));
    }

    #[test]
    fn places_are_words_offsets_or_times() {
        assert_eq!(parse_place("to", "earliest").unwrap(), OffsetSpec::Earliest);
        assert_eq!(parse_place("to", "latest").unwrap(), OffsetSpec::Latest);
        assert_eq!(parse_place("to", "42").unwrap(), OffsetSpec::Offset(42));
        assert_eq!(parse_place("to", "1970-01-01T00:00:01Z").unwrap(), OffsetSpec::Time(1000));
        for bad in ["", "-1", "1e3", "9223372036854775808", "yesterday"] {
            assert!(parse_place("to", bad).is_err(), "{bad}");
        }
    }
}
