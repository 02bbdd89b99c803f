//! English words that say nothing about what a text is about.

/// In order, so that they can be searched. Among them is what is left of a contraction where its apostrophe separates
/// ("doesn", "ll").
const STOP_WORDS: &[&str] = &[
    "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "aren", "as", "at", "be",
    "because", "been", "before", "being", "but", "by", "can", "cannot", "could", "couldn", "did", "didn",
    "do", "does", "doesn", "doing", "don", "done", "e.g", "each", "either", "else", "etc", "ever", "every",
    "for", "from", "get", "gets", "getting", "give", "gives", "go", "goes", "got", "had", "hadn", "happen",
    "happens", "has", "hasn", "have", "haven", "having", "he", "her", "here", "hers", "him", "his", "how",
    "i.e", "if", "in", "into", "is", "isn", "it", "its", "just", "let", "ll", "make", "makes", "may", "me",
    "might", "must", "my", "no", "nor", "not", "of", "off", "on", "or", "other", "our", "ours", "out",
    "please", "re", "shall", "she", "should", "shouldn", "so", "some", "such", "tell", "than", "that", "the",
    "their", "theirs", "them", "then", "there", "these", "they", "this", "those", "to", "too", "us", "ve",
    "very", "want", "was", "wasn", "we", "were", "weren", "what", "when", "where", "whether", "which",
    "while", "who", "whom", "whose", "why", "will", "with", "won", "would", "wouldn", "you", "your", "yours",
];

/// Whether a word, in lower case, carries no meaning for a search. A single letter of ASCII is such a word, too.
pub(super) fn is_stop_word(word: &str) -> bool {
    (word.len() == 1 && word.as_bytes()[0].is_ascii_alphabetic()) || STOP_WORDS.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn small_words_stop_and_meaningful_ones_do_not() {
        assert!(["the", "what", "yours", "about", "s"].into_iter().all(is_stop_word));
        assert!(!["topic", "7", "ms", ""].into_iter().any(is_stop_word));
    }
}
