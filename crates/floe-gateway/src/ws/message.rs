//! What clients say: JSON objects with a `type`. Whatever is wrong is told with the field's name.

use bytes::Bytes;
use floe_engine::{Header, NewRecord, TopicName, TopicStart};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::limits::{FILTER_BYTES_MAX, NAME_BYTES_MAX};
use crate::{
    cursor, json, json_text,
    problem::ApiError,
    records::{json_content_type, key_bytes, parse_headers},
    sse::start_of,
    timestamp,
};

/// The header that carries a message's id.
pub(crate) const ID_HEADER: &str = "id";
/// The header that says the value is JSON; it goes with every message.
const CONTENT_TYPE_HEADER: &str = "content-type";
/// A UUID as text, with its hyphens.
const UUID_CHARS: usize = 36;

/// A client's message.
#[derive(Debug)]
pub(crate) struct Message {
    /// Given back in the answer.
    pub(crate) request_id: Option<String>,
    /// What it asks for, or what is wrong with it.
    pub(crate) request: Result<Request, ApiError>,
}

/// What a client asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Watch a topic.
    Subscribe(Subscribe),
    /// Stop watching.
    Unsubscribe(Name),
    /// Store a message.
    Publish(Publish),
    /// Answer.
    Ping,
}

/// A subscription's name within its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The topic.
    pub(crate) topic: String,
    /// The client's own name for it.
    pub(crate) client_id: String,
}

/// A subscription to be made.
#[derive(Debug)]
pub(crate) struct Subscribe {
    /// Its name.
    pub(crate) name: Name,
    /// Where it starts.
    pub(crate) start: TopicStart,
    /// Which records it wants.
    pub(crate) filter: Option<Filter>,
}

/// Which records a subscription wants: those with this key and all of these headers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The key's bytes.
    pub(crate) key: Option<Bytes>,
    /// Headers that must be there, with these values.
    pub(crate) headers: Vec<Header>,
}

/// A message to be stored.
#[derive(Debug)]
pub(crate) struct Publish {
    /// The topic.
    pub(crate) topic: String,
    /// The record that it becomes.
    pub(crate) record: NewRecord,
}

/// A message's fields as JSON text.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    topic: Option<&'a RawValue>,
    #[serde(borrow)]
    client_id: Option<&'a RawValue>,
    #[serde(borrow)]
    last_n: Option<&'a RawValue>,
    #[serde(borrow)]
    from: Option<&'a RawValue>,
    #[serde(borrow)]
    filter: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow)]
    partition: Option<&'a RawValue>,
}

/// The message within a publish.
#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    /// Null is a payload too.
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct FilterFields<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct FromFields<'a> {
    #[serde(borrow)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
}

impl Message {
    /// Reads a message.
    pub(crate) fn parse(text: &Bytes) -> Self {
        let fields: Fields<'_> = match object(text) {
            Ok(fields) => fields,
            Err(error) => return Self { request_id: None, request: Err(error) },
        };
        match fields.request_id.map(|raw| name(raw, "request_id")).transpose() {
            Ok(request_id) => Self { request_id, request: fields.request(text) },
            Err(error) => Self { request_id: None, request: Err(error) },
        }
    }
}

impl Fields<'_> {
    fn request(&self, text: &Bytes) -> Result<Request, ApiError> {
        let kind = string(required(self.kind, "type")?, "type")?;
        match kind.as_str() {
            "subscribe" => self.subscribe(text).map(Request::Subscribe),
            "unsubscribe" => self.name().map(Request::Unsubscribe),
            "publish" => self.publish(text).map(Request::Publish),
            "ping" => Ok(Request::Ping),
            other => {
                let other: String = other.escape_debug().take(40).collect();
                let detail = format!("type: '{other}' is not one of subscribe, unsubscribe, publish, ping");
                Err(ApiError::bad_request(detail))
            }
        }
    }

    fn topic(&self) -> Result<String, ApiError> {
        let topic = string(required(self.topic, "topic")?, "topic")?;
        match TopicName::new(&topic) {
            Ok(_) => Ok(topic),
            Err(why) => Err(ApiError::bad_request(format!("topic: {why}"))),
        }
    }

    fn name(&self) -> Result<Name, ApiError> {
        let (topic, client_id) = (self.topic()?, name(required(self.client_id, "client_id")?, "client_id")?);
        if client_id.is_empty() {
            return Err(ApiError::bad_request("client_id: may not be empty"));
        }
        Ok(Name { topic, client_id })
    }

    fn subscribe(&self, text: &Bytes) -> Result<Subscribe, ApiError> {
        let name = self.name()?;
        let newest = self.last_n.map(|raw| whole::<u64>(raw, "last_n")).transpose()?;
        let from = self.from.map(from).transpose()?;
        let start = match (newest, from) {
            (None | Some(0), Some(start)) => start,
            (Some(_), Some(_)) => {
                return Err(ApiError::bad_request("from: can't go with last_n; send one or the other"));
            }
            // A number too large to count is cut to the topic's history like any other.
            (Some(newest), None) => TopicStart::Newest(usize::try_from(newest).unwrap_or(usize::MAX)),
            (None, None) => TopicStart::Latest,
        };
        let filter = self.filter.map(|raw| filter(text, raw)).transpose()?;
        Ok(Subscribe { name, start, filter })
    }

    fn publish(&self, text: &Bytes) -> Result<Publish, ApiError> {
        let topic = self.topic()?;
        let content: Content<'_> = object(required(self.message, "message")?.get().as_bytes())
            .map_err(|error| error.at("message"))?;
        let id = string(required(content.id, "message.id")?, "message.id")?;
        if id.len() != UUID_CHARS || uuid::Uuid::try_parse(&id).is_err() {
            return Err(ApiError::bad_request(
                "message.id: must be a UUID such as 550e8400-e29b-41d4-a716-446655440000",
            ));
        }
        let payload = required(content.payload, "message.payload")?;
        let key =
            self.key.map(|raw| key_bytes(text, raw.get())).transpose().map_err(|error| error.at("key"))?;
        let mut headers =
            vec![Header { name: ID_HEADER.into(), value: Some(id.into()) }, json_content_type()];
        if let Some(raw) = self.headers {
            headers.extend(own_headers(text, raw)?);
        }
        let record = NewRecord {
            key: key.flatten(),
            value: Some(text.slice_ref(payload.get().as_bytes())),
            headers,
            partition: self.partition.map(|raw| whole::<u32>(raw, "partition")).transpose()?,
            timestamp: None,
        };
        Ok(Publish { topic, record })
    }
}

impl Filter {
    /// Whether a record with this key and these headers is wanted.
    pub(crate) fn wants(&self, key: Option<&Bytes>, headers: &[Header]) -> bool {
        self.key.as_ref().is_none_or(|wanted| key == Some(wanted))
            && self.headers.iter().all(|wanted| headers.contains(wanted))
    }
}

/// A JSON object of known fields. Checked as every text of a client is: encoding, depth, doubled fields.
fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, ApiError> {
    json::require_object(text)?;
    json_text::inspect(text)?;
    serde_json::from_slice(text).map_err(|error| json::syntax(&error))
}

fn required<'a>(raw: Option<&'a RawValue>, field: &str) -> Result<&'a RawValue, ApiError> {
    raw.ok_or_else(|| ApiError::bad_request(format!("{field}: is missing")))
}

fn string(raw: &RawValue, field: &str) -> Result<String, ApiError> {
    serde_json::from_str(raw.get()).map_err(|_| ApiError::bad_request(format!("{field}: must be a string")))
}

/// A string that is kept while the socket lives, and therefore bounded.
fn name(raw: &RawValue, field: &str) -> Result<String, ApiError> {
    let text = string(raw, field)?;
    if text.len() > NAME_BYTES_MAX {
        return Err(ApiError::bad_request(format!("{field}: has at most {NAME_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn whole<T: std::str::FromStr>(raw: &RawValue, field: &str) -> Result<T, ApiError> {
    raw.get().parse().map_err(|_| {
        let shown: String = raw.get().chars().take(40).collect();
        ApiError::bad_request(format!("{field}: {shown} is not a whole number from 0 on"))
    })
}

/// `"earliest"`, `"latest"`, `{"cursor":"…"}` or `{"time":"…"}`; a bare string is understood as in the event
/// stream's `?from=`.
fn from(raw: &RawValue) -> Result<TopicStart, ApiError> {
    if raw.get().starts_with('"') {
        return start_of(&string(raw, "from")?).map_err(|error| error.at("from"));
    }
    let expected = "from: must be \"earliest\", \"latest\", {\"cursor\":\"…\"} or {\"time\":\"…\"}";
    let fields: FromFields<'_> = object(raw.get().as_bytes()).map_err(|_| ApiError::bad_request(expected))?;
    match (fields.cursor, fields.time) {
        (Some(raw), None) => {
            let token = string(raw, "from.cursor")?;
            cursor::parse(&token).map(TopicStart::After).map_err(|error| error.at("from.cursor"))
        }
        (None, Some(raw)) => {
            let text = string(raw, "from.time")?;
            timestamp::parse(&text).map(TopicStart::Time).ok_or_else(|| {
                ApiError::bad_request("from.time: must be an RFC 3339 time such as 2026-01-31T10:00:00.000Z")
            })
        }
        _ => Err(ApiError::bad_request(expected)),
    }
}

fn filter(text: &Bytes, raw: &RawValue) -> Result<Filter, ApiError> {
    if raw.get().len() > FILTER_BYTES_MAX {
        return Err(ApiError::bad_request(format!("filter: has at most {FILTER_BYTES_MAX} bytes")));
    }
    let fields: FilterFields<'_> = object(raw.get().as_bytes()).map_err(|error| error.at("filter"))?;
    let key = fields.key.map(|raw| key_bytes(text, raw.get())).transpose();
    let headers = fields.headers.map(|raw| parse_headers(text, raw)).transpose();
    let (key, headers) = (key.map_err(|e| e.at("filter"))?, headers.map_err(|e| e.at("filter"))?);
    // Copied: the filter lives as long as the subscription and must not keep the whole message alive.
    let copy = |bytes: Bytes| Bytes::copy_from_slice(&bytes);
    let copied = |header: Header| Header { value: header.value.map(copy), ..header };
    Ok(Filter {
        key: key.flatten().map(copy),
        headers: headers.unwrap_or_default().into_iter().map(copied).collect(),
    })
}

/// A client's own headers; those that a message always has are not its to set.
fn own_headers(text: &Bytes, raw: &RawValue) -> Result<Vec<Header>, ApiError> {
    let headers = parse_headers(text, raw)?;
    let taken = |header: &&Header| [ID_HEADER, CONTENT_TYPE_HEADER].contains(&header.name.as_ref());
    match headers.iter().find(taken) {
        Some(header) => {
            let detail = format!("headers.{}: is set by the server, from the message", header.name);
            Err(ApiError::bad_request(detail))
        }
        None => Ok(headers),
    }
}

#[cfg(test)]
mod tests;
