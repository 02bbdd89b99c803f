//! The words that a configuration adds and allows.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use super::marks::plain;

/// Characters of a word that a configuration adds or allows.
pub const WORD_CHARACTERS_MAX: usize = 64;
/// Words that a configuration adds, and as many that it allows.
pub const WORDS_MAX: usize = 10_000;

/// Why a configuration's words can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableWord {
    /// A word without a letter would be found everywhere or nowhere.
    #[error("word {word:?} of the profanity filter has no letter or digit")]
    Empty {
        /// The word.
        word: String,
    },
    /// A word is longer than any word.
    #[error("word {word:?} of the profanity filter has more than {WORD_CHARACTERS_MAX} characters")]
    TooLong {
        /// The word's beginning.
        word: String,
    },
    /// There are more words than can be looked for in a short time.
    #[error("the profanity filter has {count} words of a kind, more than {WORDS_MAX}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

/// Words as they are looked for: in lower case, without accents, without white space around them.
pub(super) fn usable(words: &[String]) -> Result<Vec<String>, UnusableWord> {
    if words.len() > WORDS_MAX {
        return Err(UnusableWord::TooMany { count: words.len() });
    }
    words.iter().map(|word| usable_word(word)).collect()
}

fn usable_word(word: &str) -> Result<String, UnusableWord> {
    let word = word.trim();
    if word.chars().nth(WORD_CHARACTERS_MAX).is_some() {
        return Err(UnusableWord::TooLong { word: word.chars().take(WORD_CHARACTERS_MAX).collect() });
    }
    let plain = plain_word(word.chars());
    if plain.chars().any(char::is_alphanumeric) {
        Ok(plain)
    } else {
        Err(UnusableWord::Empty { word: word.to_owned() })
    }
}

/// Whether the characters of `range` are words of their own: no letter or digit is beside them.
pub(super) fn stands_alone(characters: &[char], range: &Range<usize>) -> bool {
    let is_open =
        |at: Option<usize>| at.and_then(|at| characters.get(at)).is_none_or(|other| !other.is_alphanumeric());
    is_open(range.start.checked_sub(1)) && is_open(Some(range.end))
}

/// Words that pass, by their length in characters: so what is looked at for one place depends on how many lengths there
/// are, not on how many words.
#[derive(Debug, Default)]
pub(super) struct AllowedWords(BTreeMap<usize, HashSet<String>>);

impl AllowedWords {
    pub(super) fn new(words: &[String]) -> Result<Self, UnusableWord> {
        let mut by_length: BTreeMap<usize, HashSet<String>> = BTreeMap::new();
        for word in usable(words)? {
            by_length.entry(word.chars().count()).or_default().insert(word);
        }
        Ok(Self(by_length))
    }

    /// Whether one of the words stands in the text so that `range` lies within it.
    pub(super) fn hold(&self, characters: &[char], range: &Range<usize>) -> bool {
        self.0.range(range.len()..).any(|(length, words)| {
            let first = range.end.saturating_sub(*length);
            let last = range.start.min(characters.len().saturating_sub(*length));
            (first..=last).map(|start| start..start + length).any(|word| {
                word.end <= characters.len()
                    && stands_alone(characters, &word)
                    && words.contains(&plain_word(characters[word].iter().copied()))
            })
        })
    }
}

/// Characters in lower case and without accents.
fn plain_word(characters: impl Iterator<Item = char>) -> String {
    characters.filter_map(plain).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_used_in_lower_case_and_without_accents() {
        assert_eq!(
            usable(&[" Crème ".to_owned(), "two words".to_owned()]),
            Ok(vec!["creme".into(), "two words".into()])
        );
    }

    #[test]
    fn words_that_cannot_be_looked_for_are_refused() {
        let empty = UnusableWord::Empty { word: "!".into() };
        assert_eq!(usable(&["!".to_owned()]), Err(empty.clone()));
        assert_eq!(empty.to_string(), "word \"!\" of the profanity filter has no letter or digit");
        let too_long = UnusableWord::TooLong { word: "x".repeat(WORD_CHARACTERS_MAX) };
        assert_eq!(usable(&["x".repeat(65)]), Err(too_long));
        let count = WORDS_MAX + 1;
        assert_eq!(usable(&vec!["x".to_owned(); count]), Err(UnusableWord::TooMany { count }));
    }

    #[test]
    fn an_allowed_word_allows_what_lies_within_it_only() {
        let text: Vec<char> = "a Dick Van Dyke show".chars().collect();
        let allowed = |word: &str| AllowedWords::new(&[word.to_owned()]).unwrap();
        assert!(allowed("dick van dyke").hold(&text, &(2..6)));
        assert!(!allowed("dick van dyke").hold(&text, &(2..18)));
        assert!(!allowed("ick").hold(&text, &(3..6)));
    }
}
