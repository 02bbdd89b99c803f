//! What is sent: generated values, or the lines of a file.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::limits::{MAX_PAYLOAD_BYTES, MAX_PAYLOAD_FILE_BYTES};

/// Distinct generated values: enough that neither side profits from seeing one again.
const GENERATED_VARIANTS: usize = 256;

/// One record's content, as JSON text ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The key as JSON.
    pub key: Option<Box<str>>,
    /// The value as JSON.
    pub value: Box<str>,
    /// CRC-32C of the value's text.
    pub crc: u32,
}

/// All that a run sends, over and over when it sends more.
#[derive(Clone, Debug)]
pub struct Payloads {
    items: Vec<Payload>,
    from_file: bool,
}

/// A line that is a record rather than a bare value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl Payload {
    fn new(key: Option<&str>, value: &str) -> Self {
        Self { key: key.map(Into::into), value: value.into(), crc: crc32c::crc32c(value.as_bytes()) }
    }
}

impl Payloads {
    /// Generated values of exactly `bytes` bytes of JSON, with one of `keys` different keys if any.
    pub fn generated(bytes: usize, keys: Option<u32>) -> anyhow::Result<Self> {
        if bytes == 0 || bytes > MAX_PAYLOAD_BYTES {
            bail!("a payload has 1 to {MAX_PAYLOAD_BYTES} bytes, not {bytes}");
        }
        if keys == Some(0) {
            bail!("the number of keys must be at least 1");
        }
        let mut random = SplitMix(0x5eed);
        let variants = GENERATED_VARIANTS.max(keys.map_or(0, |keys| keys as usize));
        let variants =
            variants.min((MAX_PAYLOAD_BYTES / bytes).max(1)).max(keys.map_or(1, |keys| keys as usize));
        let items = (0..variants)
            .map(|at| {
                let key = keys.map(|keys| format!("\"key-{}\"", at as u64 % u64::from(keys)));
                Payload::new(key.as_deref(), &random.json_of(bytes))
            })
            .collect();
        Ok(Self { items, from_file: false })
    }

    /// The lines of an NDJSON file. A line `{"key":…,"value":…}` is a record, any other JSON the value of one;
    /// `key_field` (dots lead inwards) takes the key from the value.
    pub fn from_file(path: &Path, key_field: Option<&str>) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("cannot open the payload file {shown}"))?;
        let length = file.metadata().with_context(|| format!("cannot read the payload file {shown}"))?.len();
        if length > MAX_PAYLOAD_FILE_BYTES {
            bail!("the payload file {shown} has {length} bytes: at most {MAX_PAYLOAD_FILE_BYTES} are taken");
        }
        Self::from_lines(BufReader::new(file), key_field)
            .with_context(|| format!("cannot use the payload file {shown}"))
    }

    /// As [`Payloads::from_file`], from anything that has lines.
    pub fn from_lines(reader: impl BufRead, key_field: Option<&str>) -> anyhow::Result<Self> {
        let mut items = Vec::new();
        for (at, line) in reader.lines().enumerate() {
            let line = line.with_context(|| format!("line {} is not UTF-8 text", at + 1))?;
            let line = line.trim().trim_start_matches('\u{feff}');
            if line.is_empty() {
                continue;
            }
            items.push(record_of(line, key_field).with_context(|| format!("line {}", at + 1))?);
        }
        if items.is_empty() {
            bail!("there is no line in it");
        }
        Ok(Self { items, from_file: true })
    }

    /// How many there are before they repeat.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Never: there is at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether they are a file's lines, whose end is a natural end of the run.
    #[must_use]
    pub fn are_from_file(&self) -> bool {
        self.from_file
    }

    /// The payload of record `index` of the run.
    #[must_use]
    pub fn get(&self, index: u64) -> &Payload {
        &self.items[(index % self.items.len() as u64) as usize]
    }

    /// All of them, in order.
    #[must_use]
    pub fn all(&self) -> &[Payload] {
        &self.items
    }
}

fn record_of(line: &str, key_field: Option<&str>) -> anyhow::Result<Payload> {
    let (key, value) = match serde_json::from_str::<RecordLine<'_>>(line) {
        Ok(record) => (record.key.map(RawValue::get).filter(|key| *key != "null"), record.value.get()),
        Err(_) => (None, line),
    };
    let parsed: Value = serde_json::from_str(value).context("it is not JSON")?;
    let Some(field) = key_field else { return Ok(Payload::new(key, value)) };
    let found = field.split('.').try_fold(&parsed, |value, name| value.get(name));
    match found {
        Some(found) if !found.is_null() => Ok(Payload::new(Some(&found.to_string()), value)),
        _ => bail!("its value has no field '{}' to take the key from", field.escape_debug()),
    }
}

/// A small generator of well-spread numbers; the same run of numbers each time.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// JSON of exactly `bytes` bytes: an object where there is room for one.
    fn json_of(&mut self, bytes: usize) -> String {
        let (before, after) = match bytes {
            1 => return "7".to_owned(),
            2..=8 => ("\"", "\""),
            _ => ("{\"data\":\"", "\"}"),
        };
        let (before, after) = if bytes < before.len() + after.len() { ("\"", "\"") } else { (before, after) };
        let filling = bytes - before.len() - after.len();
        let mut json = String::with_capacity(bytes);
        json.push_str(before);
        for _ in 0..filling {
            const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            json.push(char::from(LETTERS[(self.next() >> 58) as usize]));
        }
        json.push_str(after);
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, key_field: Option<&str>) -> anyhow::Result<Payloads> {
        Payloads::from_lines(text.as_bytes(), key_field)
    }

    #[test]
    fn generated_values_are_json_of_the_size_asked_for() {
        for bytes in [1, 2, 7, 8, 9, 10, 11, 12, 200, 4096] {
            for payload in Payloads::generated(bytes, None).unwrap().all() {
                assert_eq!(payload.value.len(), bytes);
                serde_json::from_str::<Value>(&payload.value).unwrap();
            }
        }
        assert!(Payloads::generated(0, None).is_err());
        let keyed = Payloads::generated(20, Some(3)).unwrap();
        assert_eq!(keyed.get(4).key.as_deref(), Some("\"key-1\""));
    }

    #[test]
    fn a_line_is_a_record_or_a_value() {
        let payloads = lines(
            "{\"key\":\"DTW\",\"value\":{\"a\" : 1}}\n\n{\"value\":2,\"more\":3}\n{\"key\":null,\"value\":[]}\n\"x\"\n",
            None,
        )
        .unwrap();
        let found: Vec<_> = payloads.all().iter().map(|p| (p.key.as_deref(), &*p.value)).collect();
        assert_eq!(
            found,
            [
                (Some("\"DTW\""), "{\"a\" : 1}"),
                (None, "{\"value\":2,\"more\":3}"),
                (None, "[]"),
                (None, "\"x\"")
            ]
        );
        assert_eq!(payloads.get(4), payloads.get(0));
    }

    #[test]
    fn the_key_may_come_from_a_field() {
        let payloads = lines("{\"a\":{\"b\":\"k\"}}\n{\"value\":{\"a\":{\"b\":7}}}", Some("a.b")).unwrap();
        let keys: Vec<_> = payloads.all().iter().map(|p| p.key.as_deref()).collect();
        assert_eq!(keys, [Some("\"k\""), Some("7")]);
        let error = format!("{:#}", lines("{\"a\":1}\n{\"b\":2}", Some("a")).unwrap_err());
        assert!(error.contains("line 2") && error.contains("'a'"), "{error}");
    }

    #[test]
    fn a_line_that_is_no_json_is_named() {
        let error = format!("{:#}", lines("{}\n{oops\n", None).unwrap_err());
        assert!(error.contains("line 2"), "{error}");
        assert!(lines("\n\n", None).is_err());
    }
}
