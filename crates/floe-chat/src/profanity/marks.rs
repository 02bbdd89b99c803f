//! Which characters of a text are profanity: the one place that knows the crate `rustrict`.
//!
//! The crate finds look-alikes (digits, homoglyphs, spaced and repeated letters, accents) and knows thousands of words
//! that only contain a bad one. But what it gives out is a text of its own, without accents and without characters that
//! it dislikes. So it is given one plain character for each character of the text, or none for one that it would drop,
//! masks with a character that no text can bring along, and what comes back is read position by position.

use std::{collections::HashMap, ops::Range, sync::LazyLock};

use rustrict::{Censor, Trie, Type};
use unicode_normalization::char::is_combining_mark;

/// What the crate masks with. Private characters are among those that it drops, so in its output this one is a mask.
const MASK: char = '\u{E000}';
/// Characters that are looked at together. The crate keeps what may still become a match, so its time for a text that was
/// made for that purpose grows faster than the text; within a window it can't.
const WINDOW: usize = 1_024;
/// Characters by which windows overlap, so that what lies across the seam is whole in one of them.
const OVERLAP: usize = 256;
/// Characters beside a place that are looked at as parts of the words that it touches.
const WORD_REACH: usize = 64;

/// A list of words to look for, and how bad they have to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct WordList {
    /// None for the crate's own list.
    pub trie: Option<&'static Trie>,
    /// What is marked.
    pub threshold: Type,
}

impl WordList {
    /// The places of what was found, in order, without white space around them.
    pub(super) fn find(&self, characters: &[char]) -> Vec<Range<usize>> {
        let mut marks = Vec::with_capacity(characters.len());
        let mut start = 0;
        while marks.len() < characters.len() {
            let end = (start + WINDOW).min(characters.len());
            let window = self.window(&characters[start..end]);
            // Each window speaks for its part up to the middle of its overlap with the next one.
            let speaks_until = if end == characters.len() { end } else { end - OVERLAP / 2 };
            marks.extend_from_slice(&window[marks.len() - start..speaks_until - start]);
            start = end.saturating_sub(OVERLAP);
        }
        let found =
            places(characters, &marks).into_iter().filter(|place| is_word(&characters[place.clone()]));
        found.flat_map(|place| self.narrowed(characters, place)).collect()
    }

    /// What of a place is profanity when it is looked at by itself. The crate takes in neighbours that could be repeated
    /// or replaced letters (the s of "this shit", the brackets of `fuck</b>`), and parts of words behind a space
    /// or a bracket.
    fn narrowed(&self, characters: &[char], place: Range<usize>) -> Vec<Range<usize>> {
        let words = words(characters, &place);
        if words.len() == 1 {
            return vec![self.without_punctuation(characters, place)];
        }
        let alone: Vec<Range<usize>> =
            words.iter().flat_map(|word| self.places_within(characters, word)).collect();
        if !alone.is_empty() {
            return alone.into_iter().map(|place| self.without_punctuation(characters, place)).collect();
        }
        // Letters with spaces between them: those of whole words, where these are found by themselves.
        let mut whole = words.into_iter().filter(|word| place.start <= word.start && word.end <= place.end);
        let Some(first) = whole.next() else { return Vec::new() };
        let end = whole.next_back().map_or(first.end, |last| last.end);
        self.places_within(characters, &(first.start..end))
    }

    /// The place without what isn't a letter or digit around it, when it is profanity all the same.
    fn without_punctuation(&self, characters: &[char], place: Range<usize>) -> Range<usize> {
        let is_letter = |character: &char| character.is_alphanumeric() || plain(*character).is_none();
        let within = &characters[place.clone()];
        let (Some(first), Some(last)) =
            (within.iter().position(is_letter), within.iter().rposition(is_letter))
        else {
            return place;
        };
        let core = place.start + first..place.start + last + 1;
        if core == place || self.places_within(characters, &core) == [core.clone()] { core } else { place }
    }

    /// What is found in a part of a text that is looked at by itself.
    fn places_within(&self, characters: &[char], part: &Range<usize>) -> Vec<Range<usize>> {
        let part_characters = &characters[part.clone()];
        let found = places(part_characters, &self.window(part_characters));
        found.into_iter().map(|place| part.start + place.start..part.start + place.end).collect()
    }

    /// For each character of a window whether it is marked.
    fn window(&self, characters: &[char]) -> Vec<bool> {
        let mut seen = HashMap::new();
        let mut kept: Vec<(usize, char)> = Vec::with_capacity(characters.len());
        for (at, character) in characters.iter().enumerate() {
            let plain = if character.is_ascii() {
                Some(*character)
            } else {
                *seen.entry(*character).or_insert_with(|| plain(*character))
            };
            kept.extend(plain.map(|plain| (at, plain)));
        }
        let masked = self.masked(&kept).unwrap_or_else(|| {
            // Two characters became one after all, which only those of scripts without profanity here can do.
            kept.retain(|(_, plain)| plain.is_ascii());
            self.masked(&kept).unwrap_or_default()
        });
        let mut marks = vec![false; characters.len()];
        for ((at, _), masked) in kept.iter().zip(masked) {
            marks[*at] = masked;
        }
        // What the crate didn't see, such as an accent, belongs to the character before it.
        let mut unseen = kept.iter().map(|(at, _)| *at).peekable();
        for at in 0..marks.len() {
            if unseen.next_if_eq(&at).is_none() && at > 0 {
                marks[at] = marks[at - 1];
            }
        }
        marks
    }

    /// For each plain character whether the crate masks it; none when it gives out another number of characters.
    fn masked(&self, plain: &[(usize, char)]) -> Option<Vec<bool>> {
        let mut censor = Censor::new(plain.iter().map(|(_, character)| *character));
        censor
            .with_censor_threshold(self.threshold)
            .with_censor_first_character_threshold(Type::ANY)
            .with_censor_replacement(MASK);
        if let Some(trie) = self.trie {
            censor.with_trie(trie);
        }
        let masked: Vec<bool> = censor.map(|character| character == MASK).collect();
        (masked.len() == plain.len()).then_some(masked)
    }
}

/// The character as the crate sees it: without accents; none when it drops it or might join it with its neighbours.
pub(super) fn plain(character: char) -> Option<char> {
    static NO_WORDS: LazyLock<Trie> = LazyLock::new(Trie::new);
    if character.is_ascii() {
        return Some(character);
    }
    let is_joined = is_combining_mark(character) || matches!(character, '\u{1160}'..='\u{11FF}');
    if is_joined {
        return None;
    }
    let mut censor = Censor::new(std::iter::once(character));
    censor.with_trie(&NO_WORDS);
    censor.next()
}

/// Whether what was found can be a word: figures, times and tables are full of digits that could be letters.
fn is_word(characters: &[char]) -> bool {
    let digits = characters.iter().filter(|character| character.is_numeric()).count();
    let letters = characters.iter().filter(|character| character.is_alphabetic()).count();
    digits == 0 || letters >= digits.max(2)
}

/// Whether a character ends a word: white space, and what markup is made of.
fn ends_word(character: &char) -> bool {
    character.is_whitespace()
        || matches!(character, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '|' | '/' | '"' | '`')
}

/// The words that a place touches, whole as far as they aren't very long.
fn words(characters: &[char], place: &Range<usize>) -> Vec<Range<usize>> {
    let before = &characters[place.start.saturating_sub(WORD_REACH)..place.start];
    let behind = &characters[place.end..(place.end + WORD_REACH).min(characters.len())];
    let start = place.start - before.iter().rev().position(ends_word).unwrap_or(before.len());
    let end = place.end + behind.iter().position(ends_word).unwrap_or(behind.len());
    let mut at = start;
    let words = characters[start..end].split(ends_word).map(|word| {
        let from = at;
        at += word.len() + 1;
        from..from + word.len()
    });
    words.filter(|word| !word.is_empty()).collect()
}

/// The places of marked characters: each run, with the repeated last letter that may follow it, without white space.
fn places(characters: &[char], marks: &[bool]) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < marks.len() {
        if !marks[at] || characters[at].is_whitespace() {
            at += 1;
            continue;
        }
        let mut end = at;
        while end < marks.len() && marks[end] {
            end += 1;
        }
        while characters[end - 1].is_whitespace() {
            end -= 1;
        }
        while end < marks.len() && is_same_letter(characters[end - 1], characters[end]) {
            end += 1;
        }
        places.push(at..end);
        at = end;
    }
    places
}

fn is_same_letter(left: char, right: char) -> bool {
    left.is_alphabetic() && left.to_lowercase().eq(right.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_character_has_no_accent_and_what_is_dropped_is_none() {
        assert_eq!(plain('é'), Some('e'));
        assert_eq!(plain('한'), Some('한'));
        assert_eq!(plain('🙂'), Some('🙂'));
        assert_eq!(plain('\u{301}'), None);
        assert_eq!(plain(MASK), None);
    }

    #[test]
    fn every_character_of_unicode_keeps_its_position_beside_every_kind_of_neighbour() {
        let list = WordList { trie: None, threshold: Type::INAPPROPRIATE };
        let every: Vec<char> = ('\u{80}'..='\u{1FFFF}').collect();
        for neighbours in ["", "か", "\u{9c7}"] {
            for part in every.chunks(500) {
                let text = part.iter().flat_map(|character| neighbours.chars().chain([*character]));
                let kept: Vec<(usize, char)> = text.filter_map(plain).enumerate().collect();
                let is_aligned = list.masked(&kept).is_some();
                // The one letter of Unicode 16 that joins a letter and is no mark.
                assert!(is_aligned || part.contains(&'\u{16D67}'), "{neighbours} {:?}", part[0]);
            }
        }
    }
}
