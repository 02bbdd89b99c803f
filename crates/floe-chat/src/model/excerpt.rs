//! Words of a server made fit for an error: without the key, on one line, bounded.

use floe_pipeline::sinks::fields::Secret;

use super::limits::TOLD_BYTES_MAX;

/// What stands in place of no words at all.
const NOTHING: &str = "without a reason";

/// The words without the key, their control characters and runs of blanks as one blank each, cut between characters.
pub(super) fn of(words: &str, key: Option<&Secret>) -> String {
    let words = without(words, key.map(Secret::expose).unwrap_or_default());
    let mut line = String::new();
    for word in words.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > TOLD_BYTES_MAX {
            let end = line.floor_char_boundary(TOLD_BYTES_MAX - '…'.len_utf8());
            line.truncate(end);
            line.push('…');
            break;
        }
    }
    if line.is_empty() { NOTHING.to_owned() } else { line }
}

/// The words without the key, should they have repeated it.
fn without(words: &str, key: &str) -> String {
    if key.is_empty() { words.to_owned() } else { words.replace(key, "***") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_as_one_line() {
        assert_eq!(of(" not\r\n  so\u{1b}[31m fast \0", None), "not so [31m fast");
        assert_eq!(of(" \n", None), NOTHING);
    }

    #[test]
    fn many_words_are_cut_between_characters() {
        for words in ["ä".repeat(4_000), "ö ".repeat(4_000), "a".repeat(4_000)] {
            let cut = of(&words, None);
            assert!(cut.len() <= TOLD_BYTES_MAX && cut.ends_with('…'), "{cut}");
        }
    }

    #[test]
    fn the_key_is_taken_out_before_words_are_cut() {
        let key = Secret::new("sk-".to_owned() + &"k".repeat(40));
        for before in TOLD_BYTES_MAX - 50..TOLD_BYTES_MAX + 1 {
            let told = of(&format!("{}{}", "x".repeat(before), key.expose()), Some(&key));
            assert!(!told.contains("sk"), "{told}");
        }
    }
}
