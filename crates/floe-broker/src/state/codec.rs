//! Numbers and texts as bytes: little-endian, lengths as u32 in front.

use std::collections::BTreeMap;

use crate::{
    group::PartitionKey,
    idempotency::{IdempotencyDecodeError, IdempotencyEntry},
};

/// Why bytes are not state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early, or too late.
    #[error("the length is wrong")]
    Length,
    /// A text isn't UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A kind of entry that this program doesn't know.
    #[error("unknown kind {tag}")]
    UnknownTag {
        /// The kind.
        tag: u8,
    },
    /// An idempotency entry is malformed.
    #[error("idempotency key: {0}")]
    Idempotency(#[from] IdempotencyDecodeError),
}

/// Appends values.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.u64(value.cast_unsigned())
    }

    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).expect("state is bounded far below 4 Gi entries"))
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(super) fn config(&mut self, config: &BTreeMap<String, String>) -> &mut Self {
        self.count(config.len());
        for (key, value) in config {
            self.text(key).text(value);
        }
        self
    }

    pub(super) fn positions(&mut self, positions: &[(PartitionKey, i64)]) -> &mut Self {
        self.count(positions.len());
        for ((topic_id, partition), offset) in positions {
            self.u64(*topic_id).u32(*partition).i64(*offset);
        }
        self
    }

    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes values.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Length)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (first, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Length)?;
        self.0 = rest;
        Ok(first)
    }

    pub(super) fn text(&mut self) -> Result<String, DecodeError> {
        let length = self.u32()? as usize;
        let bytes = self.bytes(length)?;
        Ok(std::str::from_utf8(bytes).map_err(|_| DecodeError::Text)?.to_owned())
    }

    pub(super) fn config(&mut self) -> Result<BTreeMap<String, String>, DecodeError> {
        let count = self.u32()?;
        (0..count).map(|_| Ok((self.text()?, self.text()?))).collect()
    }

    pub(super) fn positions(&mut self) -> Result<Vec<(PartitionKey, i64)>, DecodeError> {
        let count = self.u32()?;
        (0..count).map(|_| Ok(((self.u64()?, self.u32()?), self.i64()?))).collect()
    }

    pub(super) fn idempotency(&mut self) -> Result<(u64, String, IdempotencyEntry), DecodeError> {
        let (topic_id, key, entry) = IdempotencyEntry::decode(&mut self.0)?;
        Ok((topic_id, key.to_owned(), entry))
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Length) }
    }
}
