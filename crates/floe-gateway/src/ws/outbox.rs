//! Frames on their way out of one socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    time::{Duration, Instant},
};

use bytes::Bytes;
use floe_live::Blocked;
use tokio::net::TcpStream;

use super::limits::WRITE_FRAMES;

/// Frames that the kernel has not taken yet, in order. Who fills it keeps it bounded: events come when it is empty,
/// and requests are read while it is small.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Bytes>,
    /// Bytes of the first frame that are sent.
    sent: usize,
    unsent_bytes: usize,
    /// Since when the socket has been full.
    full_since: Option<Instant>,
    /// How long it was full before that.
    full_for: Duration,
}

impl Outbox {
    /// Adds a frame.
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.unsent_bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Whether everything is sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What is not sent.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// How long the socket has been full in all.
    pub(crate) fn blocked(&self) -> Blocked {
        Blocked(self.full_for + self.full_since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Sends until all is sent or the socket is full; many frames at a time.
    pub(crate) fn flush(&mut self, socket: &TcpStream) -> io::Result<()> {
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
            let count = self.gather(&mut slices);
            match socket.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => self.note_sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.full_since.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(since) = self.full_since.take() {
            self.full_for += since.elapsed();
        }
        Ok(())
    }

    /// Gives back what an idle socket doesn't need.
    pub(crate) fn shrink(&mut self) {
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }

    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; WRITE_FRAMES]) -> usize {
        let mut skip = self.sent;
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(&frame[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    fn note_sent(&mut self, mut sent: usize) {
        self.unsent_bytes -= sent;
        sent += self.sent;
        while let Some(frame) = self.frames.front()
            && frame.len() <= sent
        {
            sent -= frame.len();
            self.frames.pop_front();
        }
        self.sent = sent;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn frames_arrive_whole_and_in_order_through_a_full_socket() {
        let (server, mut client) = pair().await;
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for n in 0..20_000u32 {
            let frame = n.to_be_bytes().repeat(1 + n as usize % 300);
            expected.extend_from_slice(&frame);
            outbox.push(frame.into());
        }
        assert_eq!(outbox.unsent_bytes(), expected.len());
        outbox.flush(&server).unwrap();
        assert!(!outbox.is_empty(), "the kernel doesn't take megabytes");
        assert!(outbox.full_since.is_some());

        let mut received = vec![0; expected.len()];
        let read = client.read_exact(&mut received);
        let write = async {
            while !outbox.is_empty() {
                server.writable().await.unwrap();
                outbox.flush(&server).unwrap();
            }
        };
        let (read, ()) = tokio::join!(read, write);
        read.unwrap();
        assert!(received == expected);
        assert_eq!((outbox.unsent_bytes(), outbox.sent), (0, 0));
        assert!(outbox.blocked().0 > Duration::ZERO);
        assert!(outbox.full_since.is_none());
        outbox.shrink();
        assert_eq!(outbox.frames.capacity(), 0);
    }
}
