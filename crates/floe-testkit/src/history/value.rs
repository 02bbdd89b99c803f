//! Values that tell who sent them, and whether they arrived as they left.

/// A value's content: unique in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// Who sent it.
    pub process: u32,
    /// The sender's count: a later value has a higher one.
    pub counter: u32,
}

const HEAD_BYTES: usize = 16;

/// FNV-1a: told apart from the checksums of the code under test.
fn digest(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl Value {
    /// The value as bytes, at least 16 and else `length` of them.
    #[must_use]
    pub fn encode(self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length.max(HEAD_BYTES)];
        bytes[4..8].copy_from_slice(&self.process.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.counter.to_le_bytes());
        for (at, byte) in bytes.iter_mut().enumerate().skip(HEAD_BYTES) {
            *byte = (at as u32 ^ self.counter).to_le_bytes()[0];
        }
        let digest = digest(&bytes[4..]);
        bytes[..4].copy_from_slice(&digest.to_le_bytes());
        bytes
    }

    /// The value that bytes are; `None` when they aren't one as it was sent.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let value = Self { process: word(4)?, counter: word(8)? };
        (bytes.len() >= HEAD_BYTES && word(0)? == digest(&bytes[4..])).then_some(value)
    }
}
