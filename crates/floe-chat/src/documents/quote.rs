//! The few words of a passage that answer a question best, as they stand there.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    limits::{QUESTION_BYTES_MAX, QUESTION_TERMS_MAX, QUOTE_BYTES_MAX},
    sentences::sentence_ends,
    terms::{each_term, terms},
};

/// The sentence, row of a table or item of a list in `passage_text` that holds most of the question; two neighbouring
/// sentences when both hold some of it and fit. White space is collapsed, all else is verbatim; at most
/// [`QUOTE_BYTES_MAX`] bytes. A passage that holds nothing of the question is quoted from its beginning.
#[must_use]
pub fn quote(question: &str, passage_text: &str) -> String {
    let units = units(passage_text);
    let asked = asked(question);
    let held: Vec<BTreeSet<usize>> = units.iter().map(|unit| held(&asked, unit.text)).collect();
    let weight = |of: &BTreeSet<usize>| -> f32 {
        of.iter()
            .map(|term| rarity(held.iter().filter(|unit| unit.contains(term)).count(), units.len()))
            .sum()
    };
    let mut best = (0.0, String::new());
    for (at, unit) in units.iter().enumerate() {
        let alone = weight(&held[at]);
        if alone > best.0 || best.1.is_empty() {
            best = (alone, clipped(unit.text, &asked));
        }
        let Some(next) = units.get(at + 1).filter(|next| next.block == unit.block) else { continue };
        let both: BTreeSet<usize> = held[at].union(&held[at + 1]).copied().collect();
        let together = weight(&both);
        let text = collapsed(&passage_text[unit.start..next.start + next.text.len()]);
        let enough = best.0.max(weight(&held[at + 1])) + SECOND_SENTENCE_WEIGHT_MIN;
        if together > enough && text.len() <= QUOTE_BYTES_MAX {
            best = (together, text);
        }
    }
    best.1
}

/// What a second sentence has to add to be quoted with the first: about a term that every other unit has.
const SECOND_SENTENCE_WEIGHT_MIN: f32 = 1.0;

/// A piece of a passage that can be quoted by itself.
#[derive(Debug)]
struct Unit<'a> {
    /// The number of the row, item or paragraph that it is of.
    block: usize,
    start: usize,
    text: &'a str,
}

/// The pieces of a passage: rows, items, lines of code, and the sentences of all else.
fn units(text: &str) -> Vec<Unit<'_>> {
    let mut units = Vec::new();
    for (number, (start, block)) in blocks(text).into_iter().enumerate() {
        let is_row = block.starts_with('|');
        let mut from = 0;
        for end in sentence_ends(block).filter(|_| !is_row).chain([block.len()]) {
            let piece = &block[from..end];
            let lead = piece.len() - without_marker(piece).len();
            let text = piece[lead..].trim_end();
            if text.chars().any(char::is_alphanumeric) {
                units.push(Unit { block: number, start: start + from + lead, text });
            }
            from = end;
        }
    }
    units
}

/// The blocks of a passage with their places: a row of a table, a line of code, an item of a list, a paragraph.
fn blocks(text: &str) -> Vec<(usize, &str)> {
    let mut blocks = Vec::new();
    let mut in_code = false;
    let mut start = 0;
    let mut at = 0;
    let mut close = |start: usize, end: usize| {
        let block = &text[start..end];
        let lead = block.len() - block.trim_start().len();
        if !block.trim().is_empty() {
            blocks.push((start + lead, block.trim()));
        }
    };
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        let is_fence = content.starts_with("```") || content.starts_with("~~~");
        let stands_alone = in_code || is_fence || content.starts_with('|') || content.is_empty();
        if stands_alone || without_marker(content).len() < content.len() {
            close(start, at);
            start = at;
        }
        at += line.len();
        if stands_alone {
            if !is_fence {
                close(start, at);
            }
            start = at;
        }
        in_code ^= is_fence;
    }
    close(start, at);
    blocks
}

/// The text without white space and the marker of a list's item, a quotation or a heading before it.
fn without_marker(text: &str) -> &str {
    let text = text.trim_start();
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let marker = match text.as_bytes().get(digits) {
        Some(b'.' | b')') if (1..=3).contains(&digits) => digits + 1,
        Some(b'-' | b'*' | b'+' | b'>') if digits == 0 => 1,
        Some(b'#') if digits == 0 => text.len() - text.trim_start_matches('#').len(),
        _ => return text,
    };
    if text[marker..].starts_with(char::is_whitespace) { text[marker..].trim_start() } else { text }
}

/// The different terms of a question with their numbers.
fn asked(question: &str) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for term in terms(&question[..question.floor_char_boundary(QUESTION_BYTES_MAX)]) {
        let next = asked.len();
        if next == QUESTION_TERMS_MAX {
            break;
        }
        asked.entry(term).or_insert(next);
    }
    asked
}

/// The question's terms that a text holds.
fn held(asked: &BTreeMap<String, usize>, text: &str) -> BTreeSet<usize> {
    let mut held = BTreeSet::new();
    each_term(text, &mut |term| held.extend(asked.get(term)));
    held
}

/// What a term weighs that so many of the units hold: what all of them hold tells them apart no more.
fn rarity(holding: usize, units: usize) -> f32 {
    1.0 + (units as f32 / holding.max(1) as f32).ln()
}

/// The text with its white space collapsed and within the bound: from its beginning, or from the first word that was
/// asked for when that lies further behind.
fn clipped(text: &str, asked: &BTreeMap<String, usize>) -> String {
    let text = collapsed(text);
    if text.len() <= QUOTE_BYTES_MAX {
        return text;
    }
    let is_asked = |word: &str| !held(asked, word).is_empty();
    let words = text.split(' ').scan(0, |at, word| {
        let start = *at;
        *at += word.len() + 1;
        Some((start, word))
    });
    let first = words.filter(|(_, word)| is_asked(word)).map(|(start, _)| start).next().unwrap_or(0);
    let start = if first + QUOTE_BYTES_MAX / 2 > QUOTE_BYTES_MAX { first } else { 0 };
    let rest = &text[start..];
    if rest.len() <= QUOTE_BYTES_MAX {
        return rest.to_owned();
    }
    let end = rest.floor_char_boundary(QUOTE_BYTES_MAX);
    let end = if rest[end..].starts_with(' ') { end } else { rest[..end].rfind(' ').unwrap_or(end) };
    rest[..end].to_owned()
}

/// The text with each run of white space as one space.
fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_that_holds_most_of_the_question_is_quoted() {
        let text = "A topic has partitions. Records are kept for\n  seven days. A group has members.";
        assert_eq!(quote("How long are records kept?", text), "Records are kept for seven days.");
    }

    #[test]
    fn a_neighbour_that_brings_more_is_quoted_with_it() {
        let text =
            "Topics have names. Records are kept for a week. Change it by retention.ms there. Groups read.";
        let quoted = quote("how long are records kept, and how do I change the retention", text);
        assert_eq!(quoted, "Records are kept for a week. Change it by retention.ms there.");
    }

    #[test]
    fn a_row_of_a_table_is_quoted_by_itself() {
        let text =
            "| what | lost |\n|---|---|\n| the disk is full | nothing |\n| the disk is gone | everything |";
        assert_eq!(quote("what is lost when the disk is gone", text), "| the disk is gone | everything |");
    }

    #[test]
    fn an_item_of_a_list_is_quoted_without_its_marker() {
        let text =
            "Two things:\n- The first one is about apples\n  and pears.\n- The second is about cherries.";
        assert_eq!(quote("pears", text), "The first one is about apples and pears.");
        assert_eq!(quote("carrots", "1. Peas.\n2. Carrots"), "Carrots");
    }

    #[test]
    fn a_line_of_code_is_quoted_by_itself() {
        let text = "Start it:\n```sh\nfloe serve\nfloe topic list\n```\nThat is all.";
        assert_eq!(quote("list topics", text), "floe topic list");
    }

    #[test]
    fn a_long_sentence_is_quoted_from_what_was_asked_for() {
        let text = format!("{}the needle is here {}", "hay ".repeat(200), "straw ".repeat(200));
        let quoted = quote("needle", &text);
        assert!(
            quoted.starts_with("needle is here straw")
                && quoted.len() <= QUOTE_BYTES_MAX
                && quoted.ends_with("straw")
        );
        let solid = quote("x", &"é".repeat(700));
        assert_eq!(solid, "é".repeat(QUOTE_BYTES_MAX / 2));
    }

    #[test]
    fn what_has_nothing_to_quote_gives_nothing() {
        assert_eq!(quote("anything", ""), "");
        assert_eq!(quote("anything", "---\n| |"), "");
        assert_eq!(quote("", "Some text. More."), "Some text.");
    }
}
