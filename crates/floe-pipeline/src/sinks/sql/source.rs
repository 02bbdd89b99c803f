//! Where a column's value comes from.

use std::fmt;

use bytes::Bytes;
use floe_store::PositionKey;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::sinks::Outgoing;

/// Members within members that a path may name.
const DEPTH_MAX: usize = 16;

/// Where a column's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A member of the value, by the names on the way; none is the value itself.
    Path(Vec<String>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    /// The value's bytes, whatever they are.
    Value,
    Header(String),
}

/// What was found there.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Nothing,
    Json(&'a RawValue),
    Text(&'a str),
    Integer(i64),
    Time(i64),
    Bytes(&'a Bytes),
}

impl Source {
    pub(super) fn parse(from: &str) -> Result<Self, String> {
        if let Some(path) = from.strip_prefix('.') {
            let names: Vec<_> =
                if path.is_empty() { Vec::new() } else { path.split('.').map(str::to_owned).collect() };
            if names.iter().any(String::is_empty) || names.len() > DEPTH_MAX {
                return Err(format!("'{from}' is no path; a path is .a.b with at most {DEPTH_MAX} names"));
            }
            return Ok(Self::Path(names));
        }
        Ok(match from {
            "$topic" => Self::Topic,
            "$partition" => Self::Partition,
            "$offset" => Self::Offset,
            "$timestamp" => Self::Timestamp,
            "$key" => Self::Key,
            "$value" => Self::Value,
            _ => match from.strip_prefix("$header.") {
                Some(name) if !name.is_empty() => Self::Header(name.to_owned()),
                Some(_) | None => {
                    return Err(format!(
                        "'{from}' is neither a path (.a.b) nor one of $topic, $partition, $offset, $timestamp, $key, \
                         $value, $header.name"
                    ));
                }
            },
        })
    }

    /// What a source other than a path has in this record.
    fn of_record<'a>(&self, key: &'a PositionKey, record: &'a Outgoing) -> Found<'a> {
        let bytes = |bytes: Option<&'a Bytes>| bytes.map_or(Found::Nothing, Found::Bytes);
        match self {
            Self::Path(_) => Found::Nothing,
            Self::Topic => Found::Text(&key.topic),
            Self::Partition => Found::Integer(i64::from(key.partition)),
            Self::Offset => Found::Integer(record.offset),
            Self::Timestamp => Found::Time(record.timestamp),
            Self::Key => bytes(record.key.as_ref()),
            Self::Value => bytes(record.value.as_ref()),
            Self::Header(name) => {
                let header = record.headers.iter().rev().find(|header| header.name == *name);
                bytes(header.and_then(|header| header.value.as_ref()))
            }
        }
    }
}

/// The paths of all columns as one tree, so that a value is read once for all of them.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: Vec<Source>,
    paths: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// The columns that want what is here.
    columns: Vec<usize>,
    members: Vec<(String, Node)>,
}

impl Sources {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        let mut paths = Node::default();
        for (column, source) in sources.iter().enumerate() {
            if let Source::Path(names) = source {
                paths.add(names, column);
            }
        }
        Self { sources, paths }
    }

    /// What the record has for each column. `Err` if its value isn't JSON though a column needs that.
    pub(super) fn find<'a>(
        &self,
        key: &'a PositionKey,
        record: &'a Outgoing,
    ) -> Result<Vec<Found<'a>>, String> {
        let mut found: Vec<_> = self.sources.iter().map(|source| source.of_record(key, record)).collect();
        let wanted = !self.paths.columns.is_empty() || !self.paths.members.is_empty();
        if let (true, Some(value)) = (wanted, &record.value) {
            let text = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8 and so not JSON")?;
            let json: &RawValue = serde_json::from_str(text).map_err(|error| {
                format!("the value is not JSON (line {}, column {})", error.line(), error.column())
            })?;
            self.paths.fill(json, &mut found);
        }
        Ok(found)
    }
}

impl Node {
    fn add(&mut self, names: &[String], column: usize) {
        let Some((name, deeper)) = names.split_first() else {
            self.columns.push(column);
            return;
        };
        let place = self.members.iter().position(|(member, _)| member == name).unwrap_or_else(|| {
            self.members.push((name.clone(), Self::default()));
            self.members.len() - 1
        });
        self.members[place].1.add(deeper, column);
    }

    fn fill<'a>(&self, json: &'a RawValue, found: &mut [Found<'a>]) {
        for column in &self.columns {
            found[*column] = Found::Json(json);
        }
        if !self.members.is_empty() && json.get().starts_with('{') {
            // It was read as JSON before, so it can be read again.
            let mut reader = serde_json::Deserializer::from_str(json.get());
            let _ = reader.deserialize_map(Members { node: self, found });
        }
    }
}

/// Goes through an object's members and follows those that somebody wants.
struct Members<'n, 'f, 'a> {
    node: &'n Node,
    found: &'f mut [Found<'a>],
}

impl<'de> Visitor<'de> for Members<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key_seed(Name(self.node))? {
            match member {
                Some(node) => node.fill(map.next_value()?, self.found),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A member's name, looked up without being copied.
struct Name<'n>(&'n Node);

impl<'de, 'n> DeserializeSeed<'de> for Name<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Name<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.members.iter().find(|(member, _)| member == name).map(|(_, node)| node))
    }
}
