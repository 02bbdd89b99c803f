//! The name of each record of a run: which run, which connection, which of its records.

use std::fmt;

use uuid::Uuid;

/// The header that carries a record's id.
pub const ID_HEADER: &str = "floe-load-id";
/// The header that carries the CRC-32C of a record's value, as eight hexadecimal digits.
pub const CRC_HEADER: &str = "floe-load-crc";

/// One run, told apart from all others on the same topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(u32);

/// One record of one run. Its text has a fixed width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// The run.
    pub run: u32,
    /// The connection that sent it.
    pub connection: u16,
    /// The how-manieth of that connection, from 0.
    pub counter: u64,
}

impl RunId {
    /// A new run.
    #[must_use]
    pub fn random() -> Self {
        let (_, low) = Uuid::new_v4().as_u64_pair();
        Self(low as u32)
    }

    /// A record of this run.
    #[must_use]
    pub fn record(self, connection: u16, counter: u64) -> RecordId {
        RecordId { run: self.0, connection, counter }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl RecordId {
    /// The length of its text.
    pub const TEXT_BYTES: usize = 8 + 1 + 4 + 1 + 10;

    /// Reads the text that `Display` writes, and no other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.split('-');
        let (run, connection, counter) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || text.len() != Self::TEXT_BYTES || (run.len(), connection.len()) != (8, 4)
        {
            return None;
        }
        if !(hex(run) && hex(connection) && hex(counter)) {
            return None;
        }
        Some(Self {
            run: u32::from_str_radix(run, 16).ok()?,
            connection: u16::from_str_radix(connection, 16).ok()?,
            counter: u64::from_str_radix(counter, 16).ok()?,
        })
    }

    /// The same as a UUID, for the door that asks for one.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        let high = u128::from(self.run) << 96 | u128::from(self.connection) << 80;
        let bytes = (high | u128::from(self.counter)).to_be_bytes();
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    pub(crate) fn is_of(self, run: RunId) -> bool {
        self.run == run.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:04x}-{:010x}", self.run, self.connection, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_from_their_text() {
        for (connection, counter) in [(0, 0), (1, 2), (u16::MAX, 0xff_ffff_ffff)] {
            let id = RunId(0xdead_beef).record(connection, counter);
            assert_eq!(id.to_string().len(), RecordId::TEXT_BYTES);
            assert_eq!(RecordId::parse(&id.to_string()), Some(id));
        }
        for bad in ["", "deadbeef-0001-000000000", "DEADBEEF-0001-0000000002", "deadbeef-0001-+000000002"] {
            assert_eq!(RecordId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_record_has_a_uuid_of_its_own() {
        let run = RunId(7);
        let uuids: std::collections::HashSet<_> =
            (0..4).flat_map(|c| (0..5000).map(move |n| run.record(c, n).uuid())).collect();
        assert_eq!(uuids.len(), 20_000);
        assert_eq!(run.record(0, 0).uuid().get_version_num(), 8);
    }
}
