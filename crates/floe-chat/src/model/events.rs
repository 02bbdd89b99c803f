//! Server-sent events, read from bytes as they come (WHATWG HTML, 9.2.6 "Interpreting an event stream").
//!
//! Only `data` matters here: `event`, `id`, `retry` and fields that nobody knows are passed over. An event that is not
//! followed by an empty line when the stream ends is dropped, as the standard says.

use super::limits::{EVENT_BYTES_MAX, LINE_BYTES_MAX, STREAM_BYTES_MAX};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Gathers events from the pieces of a stream, however they are cut.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    /// The line that is not at its end yet. Read as text only then, so that a character in two pieces stays whole.
    line: Vec<u8>,
    /// The lines of data since the last empty line, if there are any.
    data: Option<String>,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_return: bool,
    /// A byte order mark may only stand in front of everything.
    begun: bool,
    stream_bytes: usize,
}

/// A stream that is larger than anything that is meant to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Oversized {
    #[error("a line of the stream is longer than {LINE_BYTES_MAX} bytes")]
    Line,
    #[error("an event of the stream is larger than {EVENT_BYTES_MAX} bytes")]
    Event,
    #[error("the stream is longer than {STREAM_BYTES_MAX} bytes")]
    Stream,
}

impl EventParser {
    /// Takes the next bytes and hands on the data of each event that is complete by now.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<String>, Oversized> {
        self.stream_bytes = self.stream_bytes.saturating_add(bytes.len());
        if self.stream_bytes > STREAM_BYTES_MAX {
            return Err(Oversized::Stream);
        }
        let mut events = Vec::new();
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.line.len() + part.len() > LINE_BYTES_MAX {
                return Err(Oversized::Line);
            }
            self.line.extend_from_slice(part);
            bytes = rest;
            if let Some((ending, rest)) = rest.split_first() {
                self.after_return = *ending == b'\r';
                bytes = rest;
                events.extend(self.end_line()?);
            }
        }
        Ok(events)
    }

    /// Judges the gathered line; an empty one completes an event.
    fn end_line(&mut self) -> Result<Option<String>, Oversized> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.data.take());
        }
        // A line that begins with a colon is a comment: the field without a name, which is not `data`.
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = colon.map_or((line, &line[..0]), |colon| (&line[..colon], &line[colon + 1..]));
        if field != b"data" {
            return Ok(None);
        }
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match &mut self.data {
            None => self.data = Some(value.into_owned()),
            Some(data) if data.len() + value.len() >= EVENT_BYTES_MAX => return Err(Oversized::Event),
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream that comes in pieces of one size.
    fn events(stream: &[u8], piece_bytes: usize) -> Vec<String> {
        let mut parser = EventParser::default();
        stream.chunks(piece_bytes).flat_map(|piece| parser.push(piece).unwrap()).collect()
    }

    #[test]
    fn lines_end_in_any_way_and_pieces_are_cut_anywhere() {
        let lines = [
            "data: a",
            "",
            ": a comment",
            "data:b",
            "data:  ä€🦀",
            "",
            "id: 7",
            "event: x",
            "data",
            "",
            "",
            "",
        ];
        for ending in ["\n", "\r\n", "\r"] {
            let stream: String = lines.iter().flat_map(|line| [*line, ending]).collect();
            for piece_bytes in 1..=stream.len() {
                let found = events(stream.as_bytes(), piece_bytes);
                assert_eq!(found, ["a", "b\n ä€🦀", ""], "{ending:?} in pieces of {piece_bytes}");
            }
        }
    }

    #[test]
    fn an_event_without_its_empty_line_is_dropped() {
        assert_eq!(events(b"data: whole\n\ndata: begun\n", 5), ["whole"]);
        assert_eq!(events(b"data: whole\n\ndata: beg", 100), ["whole"]);
        assert!(events(b"\n\n\n: nothing\n\nevent: x\n\n", 1).is_empty());
    }

    #[test]
    fn a_byte_order_mark_may_stand_in_front_of_everything_only() {
        assert_eq!(events("\u{feff}data: a\n\n\u{feff}data: b\n\n".as_bytes(), 1), ["a"]);
    }

    #[test]
    fn what_is_not_text_is_replaced() {
        assert_eq!(events(b"data: a\xff\xe2\x82b\n\n", 1), ["a\u{fffd}\u{fffd}b"]);
    }

    #[test]
    fn fields_are_told_apart_by_their_whole_name() {
        assert!(events(b"database: a\nDATA: b\n data: c\n{\"error\":1}\n\n", 3).is_empty());
        assert_eq!(events(b"data:a:b\n\n", 3), ["a:b"]);
    }

    #[test]
    fn lines_events_and_streams_are_bounded() {
        let mut parser = EventParser::default();
        parser.push(b"data:").unwrap();
        parser.push(&vec![b'x'; LINE_BYTES_MAX - 5]).unwrap();
        assert_eq!(parser.push(b"x"), Err(Oversized::Line));

        let line = [b"data:".as_slice(), &vec![b'x'; EVENT_BYTES_MAX / 4], b"\n"].concat();
        let mut parser = EventParser::default();
        for _ in 0..3 {
            parser.push(&line).unwrap();
        }
        assert_eq!(parser.push(&line), Err(Oversized::Event));

        let comment = [b":".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
        let mut parser = EventParser::default();
        let taken = (0..100).take_while(|_| parser.push(&comment).is_ok()).count();
        assert_eq!(taken, STREAM_BYTES_MAX / comment.len());
        assert_eq!(parser.push(b"\n"), Err(Oversized::Stream));
    }
}
