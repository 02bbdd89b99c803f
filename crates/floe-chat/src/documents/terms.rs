//! What a text is searched by: its words in lower case, reduced to their stems.
//!
//! A word is a run of letters and digits. Identifiers count whole and in parts, since people ask for both:
//! `KAFKA_BROKER_URL` is itself and "kafka", "broker" and "url"; `retention.ms`, `/v1/events` and `at-least-once` alike;
//! `WebSocket` is "websocket", "web" and "socket". English words are reduced by the Snowball stemmer, so that
//! "acknowledged" finds "acknowledge"; stop words are left out.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};

use super::{limits::TERM_BYTES_MAX, stop_words::is_stop_word};

/// Calls `visit` with each term of the text, in order; the parts of an identifier come before the whole.
pub(super) fn each_term(text: &str, visit: &mut impl FnMut(&str)) {
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        let run = &rest[start..];
        let end = run_end(run);
        identifier(&run[..end], visit);
        rest = &run[end..];
    }
}

/// The terms of a text, in order.
pub(super) fn terms(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    each_term(text, &mut |term| found.push(term.to_owned()));
    found
}

/// What joins the parts of an identifier, when it stands between letters or digits.
const fn joins(character: char) -> bool {
    matches!(character, '_' | '.' | '/' | '-')
}

/// Where a run of letters, digits and single joining characters between them ends.
fn run_end(run: &str) -> usize {
    let mut end = 0;
    let mut joined = false;
    for (at, character) in run.char_indices() {
        if character.is_alphanumeric() {
            end = at + character.len_utf8();
            joined = false;
        } else if joins(character) && !joined {
            joined = true;
        } else {
            break;
        }
    }
    end
}

/// Visits the parts of a run and, when it has several, the run itself.
fn identifier(run: &str, visit: &mut impl FnMut(&str)) {
    let mut parts = 0;
    for part in run.split(joins) {
        parts += 1;
        humps(part, visit);
        visit_word(part, visit);
    }
    if parts > 1 && run.len() <= TERM_BYTES_MAX {
        let whole = run.to_lowercase();
        if !is_stop_word(&whole) {
            visit(&whole);
        }
    }
}

/// Visits the humps of a word in camel case, when it has several. A hump of one letter says nothing.
fn humps(word: &str, visit: &mut impl FnMut(&str)) {
    let mut start = 0;
    let mut before: Option<char> = None;
    let mut characters = word.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next_is_lower = characters.peek().is_some_and(|(_, next)| next.is_lowercase());
        let begins = before.is_some_and(|before| {
            character.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && next_is_lower))
        });
        if begins {
            hump(&word[start..at], visit);
            start = at;
        }
        before = Some(character);
    }
    if start > 0 {
        hump(&word[start..], visit);
    }
}

/// Visits a hump of more than one letter.
fn hump(word: &str, visit: &mut impl FnMut(&str)) {
    if word.chars().nth(1).is_some() {
        visit_word(word, visit);
    }
}

/// Visits one word in lower case and reduced to its stem, unless it is a stop word.
fn visit_word(word: &str, visit: &mut impl FnMut(&str)) {
    let beginning = &word[..word.floor_char_boundary(TERM_BYTES_MAX)];
    let lower: Cow<'_, str> =
        if beginning.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            Cow::Borrowed(beginning)
        } else {
            Cow::Owned(beginning.to_lowercase())
        };
    if is_stop_word(&lower) {
        return;
    }
    // The stemmer knows English only; other words are kept as they are.
    if lower.bytes().all(|byte| byte.is_ascii_lowercase()) {
        visit(&Stemmer::create(Algorithm::English).stem(&lower));
    } else {
        visit(&lower);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_cased_stemmed_and_stop_words_left_out() {
        assert_eq!(terms("What was Acknowledged? The acknowledgements!"), ["acknowledg", "acknowledg"]);
    }

    #[test]
    fn identifiers_count_in_parts_and_whole() {
        assert_eq!(terms("`KAFKA_BROKER_URL`"), ["kafka", "broker", "url", "kafka_broker_url"]);
        assert_eq!(terms("/get_status"), ["status", "get_status"]);
        assert_eq!(terms("retention.ms"), ["retent", "ms", "retention.ms"]);
        assert_eq!(terms("read_committed"), ["read", "commit", "read_committed"]);
    }

    #[test]
    fn camel_case_counts_in_humps_and_whole() {
        assert_eq!(terms("maxMessageBytes"), ["max", "messag", "byte", "maxmessagebyt"]);
        assert_eq!(
            terms("HTTPServer WebSockets"),
            ["http", "server", "httpserver", "web", "socket", "websocket"]
        );
        assert_eq!(terms("KiB"), ["ki", "kib"]);
    }

    #[test]
    fn a_full_stop_at_the_end_of_a_sentence_joins_nothing() {
        assert_eq!(terms("to disk. Next ... a--b //x1//"), ["disk", "next", "x1"]);
    }

    #[test]
    fn other_scripts_are_lower_cased_and_kept() {
        assert_eq!(terms("Größe ΣΊΣΥΦΟΣ"), ["größe", "σίσυφος"]);
    }

    #[test]
    fn contractions_leave_nothing_behind() {
        assert_eq!(terms("doesn't won't I'll it’s"), Vec::<String>::new());
    }

    #[test]
    fn a_term_has_a_longest_length() {
        let long = "ä".repeat(1_000_000);
        let found = terms(&format!("{long} {}_b1", "x".repeat(200)));
        assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [64, 64, 2]);
    }
}
