//! Where sentences end.

/// Where the text behind each sentence begins: the positions after the white space that follows a full stop, a question
/// mark or an exclamation mark. Abbreviations are taken for ends, too: a cut there does no harm.
pub(super) fn sentence_ends(text: &str) -> impl Iterator<Item = usize> + '_ {
    let mut ended = false;
    let mut before = ' ';
    text.char_indices().filter_map(move |(at, character)| {
        let begins = ended && before.is_whitespace() && !character.is_whitespace();
        if begins {
            ended = false;
        }
        ended = match character {
            '.' | '!' | '?' | '…' => true,
            '。' | '！' | '？' => true,
            // What closes the sentence, or separates it from the next.
            ')' | '"' | '”' | '\'' | '`' | '*' | ']' => ended,
            _ => ended && character.is_whitespace(),
        };
        before = character;
        begins.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<&str> {
        let mut start = 0;
        let ends: Vec<usize> = sentence_ends(text).chain([text.len()]).collect();
        ends.into_iter().map(|end| text[std::mem::replace(&mut start, end)..end].trim()).collect()
    }

    #[test]
    fn sentences_end_at_marks_that_white_space_follows() {
        assert_eq!(
            of("One. Two (yes!)  Three?\nv0.1.0 is `x.` Last"),
            ["One.", "Two (yes!)", "Three?", "v0.1.0 is `x.`", "Last"]
        );
    }

    #[test]
    fn a_text_without_marks_is_one_sentence() {
        assert_eq!(of("nothing ends here"), ["nothing ends here"]);
        assert_eq!(of(""), [""]);
    }
}
