//! How the engine is.

/// The engine's state, for health, metrics and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineHealth {
    /// `embedded` or `kafka`.
    pub engine: &'static str,
    /// Whether it can write.
    pub storage: StorageState,
    /// Bytes that wait to be written.
    pub queued_bytes: usize,
    /// Bytes of the journal's segments on disk.
    pub stored_bytes: u64,
    /// Ranges found damaged, newest last, bounded.
    pub damage: Vec<Damage>,
}

/// Whether the engine can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageState {
    /// It can.
    Writable,
    /// No room; resumes by itself.
    Full,
    /// A write or sync failed; not before a restart.
    Failed,
    /// The log is elsewhere and can't be reached; resumes by itself.
    Unreachable,
    /// It is stopping.
    Stopping,
}

/// Bytes on disk that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// File name within the data directory.
    pub file: String,
    /// Byte position in the journal.
    pub position: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Topic, partition, first and last offset, when known.
    pub records: Option<(String, u32, i64, i64)>,
}
