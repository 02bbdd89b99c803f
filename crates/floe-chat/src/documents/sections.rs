//! The sections of a document: what stands under which headings.

use std::ops::Range;

use super::limits::HEADING_BYTES_MAX;

/// Sections that any text may have.
const SECTIONS_FREE: usize = 1_000;
/// Bytes of text for each further section.
const SECTION_BYTES_MIN: usize = 100;

/// A stretch of a document under one heading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// The headings above it, outermost first: "Heading › Subheading". Empty before the first heading.
    pub path: String,
    /// Where its text lies in the document, in bytes.
    pub text: Range<usize>,
}

/// Cuts a text at its Markdown headings (`#` to `######`). A `#` within a fence of code is no heading. A heading that
/// has nothing under it, not even a deeper heading, is its own text. A text that consists of headings for the most part
/// is one section: a passage for each few bytes would take many times the text's memory.
pub(super) fn sections(content: &str) -> Vec<Section> {
    let mut outline = Outline::default();
    let mut fence: Option<Fence> = None;
    let mut at = 0;
    for line in content.split_inclusive('\n') {
        let end = at + line.len();
        if let Some(open) = &fence {
            if open.is_closed_by(line) {
                fence = None;
            }
        } else if let Some(opened) = Fence::opened_by(line) {
            fence = Some(opened);
        } else if let Some((level, heading)) = heading(line) {
            outline.close(content, at, level);
            outline.open(level, heading, at..end);
        }
        at = end;
    }
    outline.close(content, at, 0);
    if outline.sections.len() > SECTIONS_FREE + content.len() / SECTION_BYTES_MIN {
        return vec![Section { path: String::new(), text: 0..content.len() }];
    }
    outline.sections
}

/// The sections so far, and the headings that are open.
#[derive(Default)]
struct Outline {
    sections: Vec<Section>,
    headings: Vec<(usize, String)>,
    /// Where the innermost heading's own line lies; empty before the first heading.
    heading_line: Range<usize>,
}

impl Outline {
    /// Ends the section at `end`, where a heading of `next_level` follows; 0 stands for the document's end.
    fn close(&mut self, content: &str, end: usize, next_level: usize) {
        let text = self.heading_line.end..end;
        let is_blank = content[text.clone()].trim().is_empty();
        let is_leaf = self.headings.last().is_some_and(|(level, _)| next_level <= *level);
        let text = match (is_blank, is_leaf) {
            (false, _) => text,
            (true, true) => self.heading_line.clone(),
            (true, false) => return,
        };
        self.sections.push(Section { path: self.path(), text });
    }

    /// Begins a section with a heading.
    fn open(&mut self, level: usize, heading: &str, line: Range<usize>) {
        self.headings.retain(|(above, _)| *above < level);
        let end = heading.floor_char_boundary(HEADING_BYTES_MAX);
        self.headings.push((level, heading[..end].to_owned()));
        self.heading_line = line;
    }

    fn path(&self) -> String {
        self.headings.iter().map(|(_, heading)| heading.as_str()).collect::<Vec<_>>().join(" › ")
    }
}

/// A fence that has been opened: its character and how many of them.
struct Fence {
    character: char,
    length: usize,
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let text = indented(line)?;
        let character = text.chars().next().filter(|first| matches!(first, '`' | '~'))?;
        let length = text.len() - text.trim_start_matches(character).len();
        // Behind the three backticks of code within a line there are more of them.
        let is_inline = character == '`' && text[length..].contains('`');
        (length >= 3 && !is_inline).then_some(Self { character, length })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        indented(line).is_some_and(|text| {
            let behind = text.trim_start_matches(self.character);
            text.len() - behind.len() >= self.length && behind.trim().is_empty()
        })
    }
}

/// A heading's level and text.
fn heading(line: &str) -> Option<(usize, &str)> {
    let text = indented(line)?;
    let behind = text.trim_start_matches('#');
    let level = text.len() - behind.len();
    let is_heading =
        (1..=6).contains(&level) && (behind.is_empty() || behind.starts_with(char::is_whitespace));
    let heading = behind.trim();
    let closed = heading.trim_end_matches('#');
    let heading =
        if closed.is_empty() || closed.ends_with(char::is_whitespace) { closed.trim_end() } else { heading };
    is_heading.then_some((level, heading))
}

/// The line without its indentation of at most three spaces; with more it is code.
fn indented(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(' ');
    (line.len() - text.len() <= 3).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &str) -> Vec<(String, &str)> {
        sections(content).into_iter().map(|section| (section.path, content[section.text].trim())).collect()
    }

    #[test]
    fn text_stands_under_the_headings_above_it() {
        let found = of("before\n# One #\nfirst\n## Two\nsecond\n# C#\nthird");
        let expected = [("", "before"), ("One", "first"), ("One › Two", "second"), ("C#", "third")];
        assert_eq!(found, expected.map(|(path, text)| (path.to_owned(), text)));
    }

    #[test]
    fn a_hash_in_a_fence_of_code_is_no_heading() {
        let found = of("# One\n```sh\n# comment\n~~~\n```` \n#no heading\n# Two\nx");
        assert_eq!(found[0].1, "```sh\n# comment\n~~~\n```` \n#no heading");
        assert_eq!(found[1], ("Two".to_owned(), "x"));
    }

    #[test]
    fn a_heading_with_nothing_under_it_is_its_own_text() {
        let found = of("# Outer\n## Refunds within a week\n## Other\n");
        assert_eq!(found[0], ("Outer › Refunds within a week".to_owned(), "## Refunds within a week"));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_text_of_little_but_headings_is_one_section() {
        let content = "# h\nx\n".repeat(100_000);
        assert_eq!(sections(&content), [Section { path: String::new(), text: 0..content.len() }]);
        assert_eq!(sections(&content[..600 * 6]).len(), 600);
    }

    #[test]
    fn a_long_heading_loses_its_end_within_no_character() {
        let content = format!("# {}\ntext", "é".repeat(500_000));
        assert_eq!(of(&content)[0].0, "é".repeat(HEADING_BYTES_MAX / 2));
    }
}
