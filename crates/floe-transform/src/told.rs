//! Words about programs and values for people. Values themselves are not repeated: errors go to logs.

use crate::limits::TOLD_CHARS_MAX;

/// Cut to a bounded length, control characters escaped.
pub(crate) fn bounded(text: &str) -> String {
    let mut shown = String::new();
    for (at, char) in text.trim().chars().enumerate() {
        if at == TOLD_CHARS_MAX {
            shown.push('…');
            break;
        }
        match char {
            '"' | '\'' => shown.push(char),
            _ => shown.extend(char.escape_debug()),
        }
    }
    shown
}

/// Where a part of a text stands: `line 1, column 5`, both counted from 1 and in characters.
pub(crate) fn place(text: &str, byte: usize) -> String {
    let before = &text[..text.floor_char_boundary(byte)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    format!("line {line}, column {}", before[line_start..].chars().count() + 1)
}

/// An error of the interpreter, with the kinds of the values it names in their place. What a program says itself with
/// `error` stays.
pub(crate) fn of_program(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("cannot use ")
        && let Some((value, wanted)) = rest.rsplit_once(" as ")
    {
        return bounded(&format!("cannot use {} as {wanted}", kind(value)));
    }
    if let Some(rest) = message.strip_prefix("cannot index ") {
        return format!("cannot take that member of {}", kind(rest));
    }
    if let Some(rest) = message.strip_prefix("cannot calculate ") {
        return format!("cannot calculate with {} in that way", kind(rest));
    }
    bounded(message)
}

/// What kind of value a JSON text begins with.
fn kind(json: &str) -> &'static str {
    match json.bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_from_one() {
        assert_eq!(place(".a |\n  é + x", 0), "line 1, column 1");
        assert_eq!(place(".a |\n  é + x", ".a |\n  é + ".len()), "line 2, column 7");
        assert_eq!(place("", 9), "line 1, column 1");
    }

    #[test]
    fn values_are_not_repeated() {
        for (message, told) in [
            (r#"cannot use "secret as is" as number"#, "cannot use a string as number"),
            (r#"cannot index {"card":4242} with 1"#, "cannot take that member of an object"),
            (r#"cannot calculate 4242 + "x""#, "cannot calculate with a number in that way"),
            ("said by\tthe program", r"said by\tthe program"),
        ] {
            assert_eq!(of_program(message), told);
        }
        assert!(bounded(&"x".repeat(1_000)).chars().count() <= 201);
    }
}
