//! What a server says in one piece of JSON: a chunk of a stream, or a whole answer.

use serde::Deserialize;
use serde_json::Value;

/// The data of the event that ends a stream.
const LAST: &str = "[DONE]";
/// The status that stands for an error which names itself a mistake in the request.
const BAD_REQUEST: u16 = 400;

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The stream is over.
    Last,
    /// Nothing comes of it.
    Failed(Failure),
    /// A part of the answer, or news about it.
    Part(Part),
}

/// An error where an answer was to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// An HTTP status, if the error has one.
    pub(super) status: Option<u16>,
    /// The server's words, as they are.
    pub(super) words: String,
}

/// A part of the answer, or news about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) content: String,
    /// The model thinks: a token, but not one of the answer.
    pub(super) thinks: bool,
    /// Why the answer ends with this part, if it does.
    pub(super) finish: Option<String>,
    /// There was no choice in it: an account of use, say.
    pub(super) is_empty: bool,
}

#[derive(Deserialize)]
struct Body {
    choices: Option<Vec<Choice>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Text>,
    message: Option<Text>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
}

/// Reads the data of one event, or a whole body.
pub(super) fn read(data: &str) -> Result<Said, serde_json::Error> {
    if data.trim() == LAST {
        return Ok(Said::Last);
    }
    let body: Body = serde_json::from_str(data)?;
    if let Some(error) = body.error {
        return Ok(Said::Failed(failure(&error)));
    }
    let Some(choice) = body.choices.unwrap_or_default().into_iter().next() else {
        return Ok(Said::Part(Part { is_empty: true, ..Part::default() }));
    };
    let mut part = Part { finish: choice.finish_reason, ..Part::default() };
    if let Some(text) = choice.delta.or(choice.message) {
        let thoughts = [text.reasoning_content, text.reasoning];
        part.thinks = thoughts.iter().flatten().any(|thought| !thought.is_empty());
        part.content = text.content.unwrap_or_default();
    }
    Ok(Said::Part(part))
}

/// An error's status and words: `{"message", "code", "type"}`, `{"detail"}`, or a text.
pub(super) fn failure(error: &Value) -> Failure {
    let words = ["message", "detail"].iter().find_map(|name| error.get(name)?.as_str());
    let words = words.or_else(|| error.as_str()).map_or_else(|| error.to_string(), str::to_owned);
    let code = error.get("code").and_then(|code| match code {
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    let mistaken = error.get("type").and_then(Value::as_str) == Some("invalid_request_error");
    let status = code.filter(|code| (400..600).contains(code)).or(mistaken.then_some(BAD_REQUEST));
    Failure { status, words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(data: &str) -> Part {
        match read(data).unwrap() {
            Said::Part(part) => part,
            other => panic!("{other:?}"),
        }
    }

    fn failed(data: &str) -> (Option<u16>, String) {
        match read(data).unwrap() {
            Said::Failed(failure) => (failure.status, failure.words),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_are_read_as_servers_send_them() {
        assert_eq!(part(r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#), Part::default());
        assert_eq!(part(r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#).content, "a");
        assert_eq!(part(r#"{"choices":[{"message":{"content":"whole"}}],"error":null}"#).content, "whole");
        assert_eq!(part(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#).finish.unwrap(), "stop");
        assert!(part(r#"{"choices":[{"delta":{"content":"","reasoning_content":"hm"}}]}"#).thinks);
        assert!(part(r#"{"choices":[],"usage":{"total_tokens":3}}"#).is_empty);
        assert_eq!(read(" [DONE] ").unwrap(), Said::Last);
        assert!(read("{\"choices\":[{\"delta\"").is_err() && read("[1]").is_err() && read("so").is_err());
    }

    #[test]
    fn errors_are_read_in_all_their_forms() {
        assert_eq!(failed(r#"{"error":"out of memory"}"#), (None, "out of memory".to_owned()));
        assert_eq!(
            failed(r#"{"error":{"message":"full","code":503},"choices":[]}"#),
            (Some(503), "full".to_owned())
        );
        assert_eq!(failed(r#"{"error":{"message":"slow","code":"429"}}"#), (Some(429), "slow".to_owned()));
        let mistaken = r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context"}}"#;
        assert_eq!(failed(mistaken), (Some(BAD_REQUEST), "too long".to_owned()));
        assert_eq!(failed(r#"{"error":{"odd":1}}"#), (None, r#"{"odd":1}"#.to_owned()));
        assert_eq!(failed(r#"{"error":{"message":"x","code":7}}"#).0, None);
    }
}
