//! Text of others' making, made fit for headers, logs and status: bounded, and without control characters.

/// The text with its control characters escaped, cut to `most` bytes.
pub(crate) fn of(text: &str, most: usize) -> String {
    let escaped: String = if text.contains(char::is_control) {
        let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        // more than `most` characters aren't needed to fill `most` bytes
        text.chars().take(most + 1).map(escape).collect()
    } else {
        text.chars().take(most + 1).collect()
    };
    if escaped.len() <= most {
        return escaped;
    }
    let end = escaped.floor_char_boundary(most.saturating_sub('…'.len_utf8()));
    format!("{}…", &escaped[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_and_harmless_stays() {
        assert_eq!(of("as it is: ä", 20), "as it is: ä");
        assert_eq!(of("", 20), "");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(of("a\nb\u{1b}[31m", 100), "a\\nb\\u{1b}[31m");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        for most in 4..40 {
            let cut = of(&"ä\n".repeat(50), most);
            assert!(cut.len() <= most && cut.ends_with('…'), "{most}: {cut}");
        }
    }
}
