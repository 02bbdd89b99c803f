//! Standard output is data: written with care for closed pipes, and for terminals that obey what they are shown.

use std::io::{self, IsTerminal, StdoutLock, Write};

/// Standard output of one command.
#[derive(Debug)]
pub(crate) struct Output {
    out: StdoutLock<'static>,
    escape: Escape,
}

/// Whether control characters are shown or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// Shown as `\u{1b}`: the reader is a terminal.
    Controls,
    /// Sent: the reader is a program.
    Nothing,
}

impl Output {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        let out = io::stdout().lock();
        let escape = if out.is_terminal() { Escape::Controls } else { Escape::Nothing };
        Self { out, escape }
    }

    /// Writes bytes that came from elsewhere: as they are into a pipe or file, with control bytes shown on a terminal.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.escape {
            Escape::Nothing => self.out.write_all(bytes),
            Escape::Controls => {
                self.out.write_all(visible(&String::from_utf8_lossy(bytes), Keep::LineFeeds).as_bytes())
            }
        }
    }

    /// Writes a line of our own making, in which anything from elsewhere has been escaped.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.out.write_all(line.as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// Makes sure that everything written so far is on its way.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes rows in columns; the first row is the heading.
    pub(crate) fn table(&mut self, rows: &[Vec<String>]) -> io::Result<()> {
        for line in columns(rows) {
            self.line(&line)?;
        }
        Ok(())
    }
}

/// Which control characters stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    LineFeeds,
    None,
}

/// Tells people something, on standard error; nobody may be listening there.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", shown(line));
}

/// A text from elsewhere in one line that no terminal obeys.
pub(crate) fn shown(text: &str) -> String {
    visible(text, Keep::None)
}

fn visible(text: &str, keep: Keep) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        // Beside the control characters, those that turn the direction of what follows.
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
        if keep == Keep::LineFeeds && matches!(c, '\n' | '\t') {
            visible.push(c);
        } else if c.is_control() || turns {
            visible.extend(c.escape_default());
        } else {
            visible.push(c);
        }
    }
    visible
}

fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_terminal_obeys_what_it_is_shown() {
        assert_eq!(shown("a\x1b[31m\r\nb\u{9b}c\u{202e}"), "a\\u{1b}[31m\\r\\nb\\u{9b}c\\u{202e}");
        assert_eq!(visible("a\n\tb\x07", Keep::LineFeeds), "a\n\tb\\u{7}");
        assert_eq!(shown("Zürich 東京"), "Zürich 東京");
    }

    #[test]
    fn tables_have_straight_columns() {
        let rows = [vec!["NAME".to_owned(), "N".to_owned()], vec!["a\x1b".to_owned(), "12".to_owned()]];
        assert_eq!(columns(&rows), ["NAME     N", "a\\u{1b}  12"]);
    }
}
