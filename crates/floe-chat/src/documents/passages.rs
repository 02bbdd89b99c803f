//! Cuts a document into passages: the pieces that are found, shown and quoted.
//!
//! A passage never spans two sections. A long section is cut near [`PASSAGE_BYTES_TARGET`] where it hurts least: between
//! paragraphs, else between lines (so tables and lists keep their rows whole), else between sentences, words and at last
//! characters. Each cut looks at one window of the text only, so any document takes linear time.

use std::sync::Arc;

use super::{
    document::Document,
    limits::{PASSAGE_BYTES_MAX, PASSAGE_BYTES_TARGET},
    sections::sections,
    sentences::sentence_ends,
};

/// Bytes before which no cut is made as long as there is a place for one behind: pieces that are too small say nothing.
const PASSAGE_BYTES_MIN: usize = PASSAGE_BYTES_TARGET / 3;

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The document's id.
    pub document: Arc<str>,
    /// The document's title.
    pub title: Arc<str>,
    /// The headings above it, outermost first: "Heading › Subheading". Empty before the first heading.
    pub section: Arc<str>,
    /// Its number in the document, from 0.
    pub number: u32,
    /// The text as it stands in the document, without white space around it; at most [`PASSAGE_BYTES_MAX`] bytes.
    pub text: Arc<str>,
}

/// The passages of a document, in order. A document without text has none.
#[must_use]
pub fn passages(document: &Document) -> Vec<Passage> {
    let id: Arc<str> = document.id.as_str().into();
    let title: Arc<str> = document.title.as_str().into();
    let mut found = Vec::new();
    for section in sections(&document.content) {
        let path: Arc<str> = section.path.into();
        for text in Pieces(&document.content[section.text]) {
            found.push(Passage {
                document: Arc::clone(&id),
                title: Arc::clone(&title),
                section: Arc::clone(&path),
                number: u32::try_from(found.len()).unwrap_or(u32::MAX),
                text: text.into(),
            });
        }
    }
    found
}

/// The pieces of a section that is left.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = without_blank_lines(self.0);
        if rest.is_empty() {
            self.0 = rest;
            return None;
        }
        let (piece, rest) = rest.split_at(cut(rest));
        self.0 = rest;
        Some(piece.trim_end())
    }
}

/// The text from its first line that isn't blank, which keeps its indentation unless that alone is long.
fn without_blank_lines(text: &str) -> &str {
    let trimmed = text.trim_start();
    let blank = text.len() - trimmed.len();
    let line = text[..blank].rfind('\n').map_or(0, |at| at + 1);
    if blank - line < PASSAGE_BYTES_MIN { &text[line..] } else { trimmed }
}

/// Where the text's first piece ends; more than 0 unless the text is empty.
fn cut(text: &str) -> usize {
    if text.len() <= PASSAGE_BYTES_TARGET {
        return text.len();
    }
    let window = &text[..text.floor_char_boundary(PASSAGE_BYTES_MAX)];
    if let Some(end) = best(paragraph_ends(window)) {
        return end;
    }
    if window.len() == text.len() {
        return text.len();
    }
    best(line_ends(window))
        .or_else(|| best(sentence_ends(window)))
        .or_else(|| best(word_ends(window)))
        .unwrap_or_else(|| text.floor_char_boundary(PASSAGE_BYTES_TARGET))
}

/// The last place up to the target length, else the first behind it; none that leaves too small a piece.
fn best(places: impl Iterator<Item = usize>) -> Option<usize> {
    let mut within = None;
    for place in places.filter(|place| *place >= PASSAGE_BYTES_MIN) {
        if place > PASSAGE_BYTES_TARGET {
            return within.or(Some(place));
        }
        within = Some(place);
    }
    within
}

/// The places behind blank lines.
fn paragraph_ends(window: &str) -> impl Iterator<Item = usize> + '_ {
    line_ends(window).filter(|end| {
        let before = &window[..end - 1];
        before.rfind('\n').is_some_and(|line| before[line..].trim().is_empty())
    })
}

/// The places behind line breaks.
fn line_ends(window: &str) -> impl Iterator<Item = usize> + '_ {
    window.match_indices('\n').map(|(at, _)| at + 1)
}

/// The places behind white space.
fn word_ends(window: &str) -> impl Iterator<Item = usize> + '_ {
    window
        .char_indices()
        .filter(|(_, character)| character.is_whitespace())
        .map(|(at, character)| at + character.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &str) -> Vec<Passage> {
        passages(&Document { id: "id".into(), title: "Title".into(), content: content.into() })
    }

    fn texts(content: &str) -> Vec<String> {
        of(content).iter().map(|passage| passage.text.to_string()).collect()
    }

    #[test]
    fn a_document_without_text_has_no_passages() {
        assert_eq!(of(""), []);
        assert_eq!(of(" \n\t\n  "), []);
    }

    #[test]
    fn passages_know_their_document_section_and_number() {
        let found = of("# One\nfirst\n\n## Two\nsecond\n");
        assert_eq!(found[1].document.as_ref(), "id");
        assert_eq!(found[1].title.as_ref(), "Title");
        assert_eq!(found[1].section.as_ref(), "One › Two");
        assert_eq!(found[1].number, 1);
        assert_eq!(found[1].text.as_ref(), "second");
    }

    #[test]
    fn long_sections_are_cut_between_paragraphs() {
        let paragraph = "word ".repeat(80);
        let found = texts(&format!("{paragraph}\n\n{paragraph}\n \n{paragraph}"));
        let two = format!("{paragraph}\n\n{}", paragraph.trim_end());
        assert_eq!(found, [two.as_str(), paragraph.trim_end()]);
    }

    #[test]
    fn tables_are_cut_between_rows() {
        let found = texts(&"| a cell. Of two sentences | another |\n".repeat(200));
        assert!(found.len() > 5);
        assert!(found.iter().all(|text| text.starts_with("| a") && text.ends_with("r |")));
    }

    #[test]
    fn one_long_line_is_cut_between_sentences_and_then_words() {
        let sentences = texts(&"A sentence of some words ends here. ".repeat(100));
        assert!(sentences.iter().all(|text| text.starts_with("A ") && text.ends_with("here.")));
        let words = texts(&"word ".repeat(1_000));
        assert!(words.iter().all(|text| text.starts_with("word") && text.ends_with("word")));
    }

    #[test]
    fn no_passage_is_too_long_and_nothing_is_lost_or_cut_within_a_character() {
        let contents =
            ["é".repeat(500_000), "🧊x".repeat(3_000), "a\u{a0}".repeat(5_000), "x\n\n".repeat(4_000)];
        for content in contents {
            let found = texts(&content);
            assert!(found.iter().all(|text| text.len() <= PASSAGE_BYTES_MAX && !text.is_empty()));
            let solid =
                |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
            assert_eq!(solid(&found.concat()), solid(&content));
        }
    }

    #[test]
    fn large_documents_of_anything_take_linear_time() {
        let started = std::time::Instant::now();
        for unit in ["x", "\n", " ", "# h\n", "a. ", "```\n", "- item\n", "\n\na"] {
            let _ = of(&unit.repeat(1_000_000 / unit.len()));
        }
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    }
}
