//! Snapshots of the broker's state, so that start-up reads the tail and not the whole journal.

use std::io;

use crate::{
    OpenError, Position, Storage,
    crc::crc,
    damage::{Damage, DamageKind, DamageLog},
    frame::FORMAT,
    limits::SNAPSHOTS_KEPT,
};

const MAGIC: [u8; 8] = *b"FLOESNAP";
const SUFFIX: &str = ".snapshot";
const HEADER_BYTES: usize = 48;

/// The state at one position of the journal, and the segments that were there then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) position: Position,
    pub(crate) segments: Vec<Position>,
    pub(crate) state: Vec<u8>,
}

fn file_name(position: Position) -> String {
    format!("{position:020}{SUFFIX}")
}

/// The position that a file name stands for, if it is a snapshot's.
pub(crate) fn position_of(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

impl Snapshot {
    fn encode(&self, journal_id: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.segments.len() * 8 + self.state.len() + 4);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FORMAT, 0, 0, 0, 0, 0, 0, 0]);
        for word in [journal_id, self.position, self.segments.len() as u64, self.state.len() as u64] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for base in &self.segments {
            out.extend_from_slice(&base.to_le_bytes());
        }
        out.extend_from_slice(&self.state);
        let checksum = crc(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], journal_id: u64) -> Result<Option<Self>, u8> {
        let Some((content, checksum)) = bytes.split_last_chunk::<4>() else { return Ok(None) };
        if content.len() < HEADER_BYTES || content[..8] != MAGIC || crc(content).to_le_bytes() != *checksum {
            return Ok(None);
        }
        if content[8] > FORMAT {
            return Err(content[8]);
        }
        let word = |at: usize| u64::from_le_bytes(content[at..at + 8].try_into().expect("eight bytes"));
        let rest = &content[HEADER_BYTES..];
        let lengths = usize::try_from(word(32))
            .ok()
            .and_then(|count| count.checked_mul(8))
            .zip(usize::try_from(word(40)).ok());
        let Some((segments, state)) = lengths else { return Ok(None) };
        if word(16) != journal_id || segments.checked_add(state) != Some(rest.len()) {
            return Ok(None);
        }
        Ok(Some(Self {
            position: word(24),
            segments: rest[..segments]
                .chunks_exact(8)
                .map(|base| u64::from_le_bytes(base.try_into().expect("eight bytes")))
                .collect(),
            state: rest[segments..].to_vec(),
        }))
    }

    /// Writes it durably under its own name, then removes all but the newest few. Answers the position of the one before.
    pub(crate) fn store(&self, storage: &dyn Storage, journal_id: u64) -> io::Result<Position> {
        let name = file_name(self.position);
        let temporary = format!("{name}.tmp");
        let file = storage.create(&temporary)?;
        file.write_at(&[&self.encode(journal_id)], 0)?;
        file.sync()?;
        storage.rename(&temporary, &name)?;
        storage.sync_directory()?;
        let files = storage.list()?;
        let before = Self::second_newest(&files, self.position);
        let mut positions = positions(&files);
        positions.retain(|position| *position <= self.position);
        for old in positions.iter().rev().skip(SNAPSHOTS_KEPT) {
            storage.remove(&file_name(*old))?;
        }
        Ok(before)
    }

    /// The position that a start can rely on even if the newest snapshot turns out to be unreadable: that of the one
    /// before; 0 when there is none.
    pub(crate) fn second_newest(files: &[(String, u64)], newest: Position) -> Position {
        positions(files).into_iter().rev().find(|position| *position < newest).unwrap_or(0)
    }

    /// The newest snapshot that is intact; damaged ones are reported and left alone.
    pub(crate) fn newest(
        storage: &dyn Storage,
        files: &[(String, u64)],
        journal_id: u64,
        damage: &DamageLog,
    ) -> Result<Option<Self>, OpenError> {
        for position in positions(files).into_iter().rev() {
            let name = file_name(position);
            let bytes = read_all(storage, &name).map_err(|source| OpenError::Io {
                doing: "reading",
                file: name.clone(),
                source,
            })?;
            match Self::decode(&bytes, journal_id) {
                Ok(Some(snapshot)) if snapshot.position == position => return Ok(Some(snapshot)),
                Ok(_) => damage.report(Damage {
                    file: name,
                    position: 0,
                    bytes: bytes.len() as u64,
                    kind: DamageKind::Snapshot,
                }),
                Err(found) => {
                    return Err(OpenError::NewerFormat { found, known: FORMAT });
                }
            }
        }
        Ok(None)
    }
}

fn positions(files: &[(String, u64)]) -> Vec<Position> {
    let mut positions: Vec<Position> = files.iter().filter_map(|(name, _)| position_of(name)).collect();
    positions.sort_unstable();
    positions
}

fn read_all(storage: &dyn Storage, name: &str) -> io::Result<Vec<u8>> {
    let file = storage.open(name)?;
    file.drop_cache()?;
    let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
