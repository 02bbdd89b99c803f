//! The journal's identity file: which journal this directory is, and its segment size. Two copies, a block apart.

use crate::{
    OpenError, Storage,
    crc::crc,
    frame::{FORMAT, FrameHeader, HEADER_BYTES},
    segment,
};

pub(crate) const META_FILE: &str = "floe.journal";
const MAGIC: [u8; 8] = *b"FLOEJRNL";
const COPY_BYTES: usize = 32;
const COPY_DISTANCE: usize = 4096;

/// What identifies a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) journal_id: u64,
    pub(crate) segment_shift: u8,
}

impl Meta {
    pub(crate) fn segment_bytes(self) -> u64 {
        1 << self.segment_shift
    }

    fn encode(self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(COPY_BYTES);
        copy.extend_from_slice(&MAGIC);
        copy.extend_from_slice(&[FORMAT, self.segment_shift, 0, 0, 0, 0, 0, 0]);
        copy.extend_from_slice(&self.journal_id.to_le_bytes());
        let checksum = crc(&copy);
        copy.extend_from_slice(&checksum.to_le_bytes());
        copy.resize(COPY_BYTES, 0);
        let mut bytes = vec![0; COPY_DISTANCE + COPY_BYTES];
        bytes[..COPY_BYTES].copy_from_slice(&copy);
        bytes[COPY_DISTANCE..].copy_from_slice(&copy);
        bytes
    }

    fn decode(copy: &[u8]) -> Result<Option<Self>, OpenError> {
        if copy.len() < COPY_BYTES || copy[..8] != MAGIC || crc(&copy[..24]).to_le_bytes() != copy[24..28] {
            return Ok(None);
        }
        if copy[8] > FORMAT {
            return Err(OpenError::NewerFormat { found: copy[8], known: FORMAT });
        }
        let journal_id = u64::from_le_bytes(copy[16..24].try_into().expect("eight bytes"));
        Ok(Some(Self { journal_id, segment_shift: copy[9] }))
    }

    /// Writes the identity durably, under a temporary name first.
    pub(crate) fn store(self, storage: &dyn Storage) -> std::io::Result<()> {
        let temporary = format!("{META_FILE}.tmp");
        let file = storage.create(&temporary)?;
        file.write_at(&[&self.encode()], 0)?;
        file.sync()?;
        storage.rename(&temporary, META_FILE)?;
        storage.sync_directory()
    }

    /// Reads the identity: from the file's first good copy, else from the first readable frame. The second value says
    /// whether the file was intact. `None` when the directory holds no journal.
    pub(crate) fn load(
        storage: &dyn Storage,
        files: &[(String, u64)],
    ) -> Result<Option<(Self, bool)>, OpenError> {
        let io = |doing| move |source| OpenError::Io { doing, file: META_FILE.to_owned(), source };
        let mut damaged = false;
        if files.iter().any(|(name, _)| name == META_FILE) {
            let mut bytes = vec![0; COPY_DISTANCE + COPY_BYTES];
            let file = storage.open(META_FILE).map_err(io("opening"))?;
            let length = file.read_at(&mut bytes, 0).map_err(io("reading"))?;
            bytes.truncate(length);
            let first = Self::decode(&bytes)?;
            let second = bytes.get(COPY_DISTANCE..).map_or(Ok(None), Self::decode)?;
            if let Some(meta) = first.or(second) {
                return Ok(Some((meta, first.is_some() && second.is_some())));
            }
            damaged = true;
        }
        let mut segments: Vec<u64> = files.iter().filter_map(|(name, _)| segment::base_of(name)).collect();
        segments.sort_unstable();
        let mut written = false;
        for base in &segments {
            let (meta, empty) = Self::from_first_frame(storage, *base)?;
            if let Some(meta) = meta {
                return Ok(Some((meta, false)));
            }
            written |= !empty;
        }
        // prepared segments without anything in them hold nothing that could be mistaken
        if written || (damaged && !segments.is_empty()) {
            return Err(OpenError::Unidentified { file: META_FILE.to_owned() });
        }
        Ok(None)
    }

    /// What the frame at a segment's start says, with one flipped bit put right, and whether the place is empty. A
    /// recycled segment's start holds a frame of its former life, which was this journal's, too.
    fn from_first_frame(storage: &dyn Storage, base: u64) -> Result<(Option<Self>, bool), OpenError> {
        let name = segment::file_name(base);
        let io = |source| OpenError::Io { doing: "reading", file: segment::file_name(base), source };
        let mut start = vec![0; COPY_DISTANCE];
        let length = storage.open(&name).and_then(|file| file.read_at(&mut start, 0)).map_err(io)?;
        let empty = start.iter().all(|byte| *byte == 0);
        let header = start.first_chunk::<HEADER_BYTES>().filter(|_| length >= HEADER_BYTES);
        let frame = header.and_then(|header| FrameHeader::decode_repaired(header).ok());
        let frame = frame.filter(|frame| {
            (16..=30).contains(&frame.segment_shift)
                && frame.position.is_multiple_of(1 << frame.segment_shift)
        });
        let meta =
            frame.map(|frame| Self { journal_id: frame.journal_id, segment_shift: frame.segment_shift });
        Ok((meta, empty))
    }
}
