//! RFC 6455 frames, the server's side: client frames are masked, ours are not.
//!
//! Our own codec for two reasons. A server frame without mask is the same bytes for every client, so an event is
//! encoded once and shared; and a decoder that holds nothing while nothing arrives lets ten thousand idle sockets
//! cost next to nothing. It is strict: whatever the RFC calls an error ends the connection with the code it asks for,
//! and a length is judged by its header, before a byte is set aside for it.

use bytes::Bytes;

use super::limits::{FRAGMENTS_MAX, MESSAGE_BYTES_MAX};

/// The longest payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;
/// The longest header of a frame, without its mask: 2 and a length of 8.
const HEAD_BYTES_MAX: usize = 10;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// A close code of RFC 6455, section 7.4, or our own from the range for applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloseCode(pub(crate) u16);

impl CloseCode {
    /// The server is stopping.
    pub(crate) const GOING_AWAY: Self = Self(1001);
    /// The client broke the protocol.
    pub(crate) const PROTOCOL: Self = Self(1002);
    /// A binary message, on a door that talks JSON.
    pub(crate) const UNSUPPORTED: Self = Self(1003);
    /// Text that is not UTF-8.
    pub(crate) const NOT_UTF8: Self = Self(1007);
    /// The client broke a rule of ours.
    pub(crate) const POLICY: Self = Self(1008);
    /// A message over the limit.
    pub(crate) const TOO_BIG: Self = Self(1009);
    /// The client was too slow, and the topic's policy is to disconnect.
    pub(crate) const TOO_SLOW: Self = Self(4008);

    /// Whether a peer may send it: the codes that are registered, and those left to libraries and applications.
    fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// Why a connection must be closed, as code and reason of the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The code.
    pub(crate) code: CloseCode,
    /// For people.
    pub(crate) reason: &'static str,
}

const fn protocol(reason: &'static str) -> Violation {
    Violation { code: CloseCode::PROTOCOL, reason }
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole message: UTF-8.
    Text(Bytes),
    /// A ping, to be answered with the same bytes.
    Ping(Vec<u8>),
    /// An answer to a ping.
    Pong,
    /// The client closes; the code to echo, if it gave one.
    Close(Option<CloseCode>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(byte: u8) -> Result<Self, Violation> {
        match byte & 0x0f {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => {
                Err(Violation { code: CloseCode::UNSUPPORTED, reason: "binary messages are not taken here" })
            }
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            _ => Err(protocol("unknown opcode")),
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A client frame's header.
#[derive(Clone, Copy, Debug)]
struct Head {
    opcode: Opcode,
    is_final: bool,
    length: usize,
}

/// Where the decoder is within a frame.
#[derive(Debug)]
enum At {
    /// In its header, of which this much is here.
    Head { bytes: [u8; HEAD_BYTES_MAX], have: usize },
    /// In its mask; the header was judged without waiting for it.
    Mask { head: Head, bytes: [u8; 4], have: usize },
    /// In its payload, of which this much has come.
    Payload { head: Head, mask: [u8; 4], come: usize },
}

impl At {
    const START: Self = Self::Head { bytes: [0; HEAD_BYTES_MAX], have: 0 };
}

/// Takes client bytes as they arrive and gives messages. Holds only what of a message has really come.
#[derive(Debug)]
pub(crate) struct Decoder {
    at: At,
    /// The message so far, unmasked.
    message: Vec<u8>,
    /// The control frame so far, unmasked; it may stand between a message's fragments.
    control: Vec<u8>,
    /// Frames of the message so far; 0 between messages.
    fragments: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { at: At::START, message: Vec::new(), control: Vec::new(), fragments: 0 }
    }
}

impl Decoder {
    /// Takes bytes off the front of `input` up to the end of the next message or control frame. `None`: all of `input`
    /// was taken, and more is needed.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Violation> {
        loop {
            match &mut self.at {
                At::Head { bytes, have } => {
                    let Some(head) = read_head(bytes, have, input)? else { return Ok(None) };
                    self.admit(head)?;
                    self.at = At::Mask { head, bytes: [0; 4], have: 0 };
                }
                At::Mask { head, bytes, have } => {
                    if !fill(bytes, have, input) {
                        return Ok(None);
                    }
                    self.at = At::Payload { head: *head, mask: *bytes, come: 0 };
                }
                At::Payload { head, mask, come } => {
                    let (head, part) = (*head, input.len().min(head.length - *come));
                    let (bytes, rest) = input.split_at(part);
                    *input = rest;
                    let target = if head.opcode.is_control() { &mut self.control } else { &mut self.message };
                    append_unmasked(target, bytes, *mask, *come);
                    *come += part;
                    if *come < head.length {
                        return Ok(None);
                    }
                    self.at = At::START;
                    if let Some(incoming) = self.finish(head)? {
                        return Ok(Some(incoming));
                    }
                }
            }
        }
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn is_within_message(&self) -> bool {
        self.fragments > 0 || !matches!(self.at, At::Head { have: 0, .. })
    }

    /// Judges a frame by its header and by what came before it.
    fn admit(&mut self, head: Head) -> Result<(), Violation> {
        if head.opcode.is_control() {
            if !head.is_final {
                return Err(protocol("a control frame may not be fragmented"));
            }
            if head.length > CONTROL_BYTES_MAX {
                return Err(protocol("a control frame has at most 125 bytes"));
            }
            return Ok(());
        }
        match (head.opcode, self.fragments) {
            (Opcode::Continuation, 0) => {
                return Err(protocol("a continuation without a message to continue"));
            }
            (Opcode::Continuation, _) | (_, 0) => {}
            (_, _) => return Err(protocol("a new message before the last one was finished")),
        }
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX {
            return Err(Violation {
                code: CloseCode::TOO_BIG,
                reason: "the message comes in too many fragments",
            });
        }
        if head.length > MESSAGE_BYTES_MAX - self.message.len().min(MESSAGE_BYTES_MAX) {
            return Err(Violation {
                code: CloseCode::TOO_BIG,
                reason: "a message has at most 1048576 bytes",
            });
        }
        Ok(())
    }

    /// A frame is complete.
    fn finish(&mut self, head: Head) -> Result<Option<Incoming>, Violation> {
        match head.opcode {
            Opcode::Text | Opcode::Continuation if !head.is_final => Ok(None),
            Opcode::Text | Opcode::Continuation => {
                self.fragments = 0;
                let message = std::mem::take(&mut self.message);
                match std::str::from_utf8(&message) {
                    Ok(_) => Ok(Some(Incoming::Text(message.into()))),
                    Err(_) => Err(Violation { code: CloseCode::NOT_UTF8, reason: "the text is not UTF-8" }),
                }
            }
            Opcode::Ping => Ok(Some(Incoming::Ping(std::mem::take(&mut self.control)))),
            Opcode::Pong => {
                self.control = Vec::new();
                Ok(Some(Incoming::Pong))
            }
            Opcode::Close => {
                parse_close(&std::mem::take(&mut self.control)).map(|code| Some(Incoming::Close(code)))
            }
        }
    }
}

/// Reads a header, without the mask behind it. Each part is judged as soon as it is here.
fn read_head(
    bytes: &mut [u8; HEAD_BYTES_MAX],
    have: &mut usize,
    input: &mut &[u8],
) -> Result<Option<Head>, Violation> {
    if !fill(&mut bytes[..2], have, input) {
        return Ok(None);
    }
    let (first, second) = (bytes[0], bytes[1]);
    if first & RESERVED != 0 {
        return Err(protocol("a reserved bit is set, and no extension was agreed on"));
    }
    let opcode = Opcode::of(first)?;
    if second & MASKED == 0 {
        return Err(protocol("a client's frames must be masked"));
    }
    let end = match second & !MASKED {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    if !fill(&mut bytes[..end], have, input) {
        return Ok(None);
    }
    let long = bytes[2..end].iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
    let length = match end {
        4 if long < 126 => return Err(protocol("the length is not written the shortest way")),
        10 if long <= 0xffff => return Err(protocol("the length is not written the shortest way")),
        10 if long >> 63 != 0 => return Err(protocol("the length's highest bit is set")),
        2 => u64::from(second & !MASKED),
        _ => long,
    };
    // A length that this machine can't count is over every limit.
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(Some(Head { opcode, is_final: first & FIN != 0, length }))
}

/// Moves bytes off the front of `input` until `target`, of which `have` are there, is full; answers whether it is.
fn fill(target: &mut [u8], have: &mut usize, input: &mut &[u8]) -> bool {
    let missing = target.get_mut(*have..).unwrap_or_default();
    let part = input.len().min(missing.len());
    let (taken, rest) = input.split_at(part);
    missing[..part].copy_from_slice(taken);
    *have += part;
    *input = rest;
    *have >= target.len()
}

fn parse_close(payload: &[u8]) -> Result<Option<CloseCode>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(protocol("a close frame of one byte")) };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(protocol("the close code may not be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation { code: CloseCode::NOT_UTF8, reason: "the close reason is not UTF-8" });
    }
    Ok(Some(code))
}

/// Appends `bytes` unmasked; `come` bytes of the same frame came before them.
fn append_unmasked(target: &mut Vec<u8>, bytes: &[u8], mut mask: [u8; 4], come: usize) {
    mask.rotate_left(come % 4);
    let start = target.len();
    target.extend_from_slice(bytes);
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (chunks, rest) = target[start..].as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

/// A text frame in the making: room for its header is kept in front, so that it is one piece of memory.
#[derive(Debug)]
pub(crate) struct TextFrame(Vec<u8>);

impl TextFrame {
    /// An empty one, with room for about this much text.
    pub(crate) fn with_capacity(text_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES_MAX + text_bytes);
        bytes.resize(HEAD_BYTES_MAX, 0);
        Self(bytes)
    }

    /// The text, to be appended to.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The frame as it is sent.
    pub(crate) fn finish(mut self) -> Bytes {
        let (head, length) = server_head(0x1, self.0.len() - HEAD_BYTES_MAX);
        let start = HEAD_BYTES_MAX - length;
        self.0[start..HEAD_BYTES_MAX].copy_from_slice(&head[..length]);
        Bytes::from(self.0).slice(start..)
    }
}

/// The header of a text frame whose text goes out behind it, from wherever it is.
pub(crate) fn text_head(text_bytes: usize) -> Bytes {
    let (head, length) = server_head(0x1, text_bytes);
    Bytes::copy_from_slice(&head[..length])
}

/// A ping without payload.
pub(crate) const fn ping() -> Bytes {
    Bytes::from_static(&[FIN | 0x9, 0])
}

/// The answer to a ping; its payload has at most 125 bytes, as a decoded ping's has.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    control(0xa, payload)
}

/// A close frame. A reason is cut to what fits.
pub(crate) fn close(code: Option<CloseCode>, reason: &str) -> Bytes {
    let Some(code) = code else { return control(0x8, &[]) };
    let mut payload = code.0.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)]);
    control(0x8, &payload)
}

fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    let (head, length) = server_head(opcode, payload.len());
    [&head[..length], payload].concat().into()
}

/// The header of an unfragmented server frame, and how long it is.
fn server_head(opcode: u8, payload: usize) -> ([u8; HEAD_BYTES_MAX], usize) {
    let mut head = [0; HEAD_BYTES_MAX];
    head[0] = FIN | opcode;
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(short @ 0..126), _) => {
            head[1] = short;
            (head, 2)
        }
        (_, Ok(medium)) => {
            head[1] = 126;
            head[2..4].copy_from_slice(&medium.to_be_bytes());
            (head, 4)
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            (head, HEAD_BYTES_MAX)
        }
    }
}

#[cfg(test)]
mod tests;
