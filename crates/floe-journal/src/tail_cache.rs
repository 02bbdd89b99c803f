//! The newest frames' bodies, kept so that readers at the tail never touch the disk.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::Position;

/// A bounded window over the journal's end; the oldest bytes go first.
#[derive(Debug)]
pub(crate) struct TailCache {
    limit_bytes: usize,
    window: RwLock<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// Bodies by the position of their first byte, rising.
    bodies: VecDeque<(Position, Bytes)>,
    bytes: usize,
}

impl TailCache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, window: RwLock::default() }
    }

    /// Adds the bodies of the newest frame.
    pub(crate) fn push(&self, position: Position, bodies: Bytes) {
        if bodies.is_empty() || bodies.len() > self.limit_bytes {
            return;
        }
        let mut window = self.window.write();
        window.bytes += bodies.len();
        window.bodies.push_back((position, bodies));
        while window.bytes > self.limit_bytes {
            let Some((_, oldest)) = window.bodies.pop_front() else { break };
            window.bytes -= oldest.len();
        }
    }

    /// The bytes at a position, if they are still here.
    pub(crate) fn get(&self, position: Position, length: usize) -> Option<Bytes> {
        let window = self.window.read();
        let at = window.bodies.partition_point(|(start, _)| *start <= position).checked_sub(1)?;
        let (start, bodies) = &window.bodies[at];
        let from = usize::try_from(position - start).ok()?;
        (from + length <= bodies.len()).then(|| bodies.slice(from..from + length))
    }
}
