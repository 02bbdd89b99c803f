//! Sizes as people write them: `10MiB`, `10MB`, or plain bytes.

/// What a size may look like.
pub const ACCEPTED: &str = "a size such as 10MiB (1024-based), 10MB (1000-based) or a whole number of bytes";

const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads a size in bytes.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.replace('_', "").parse().ok()?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Writes a size so that it reads back as the same number.
pub fn write(bytes: u64) -> String {
    let unit = UNITS.iter().take(4).rev().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(name, factor)| format!("{}{name}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_and_decimal_units_differ() {
        for (text, bytes) in [
            ("10MiB", 10_485_760),
            ("10MB", 10_000_000),
            ("10485760", 10_485_760),
            ("1_000", 1_000),
            ("64 KiB", 65_536),
            ("0", 0),
            ("7B", 7),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for bad in [
            "",
            "-1",
            "+1",
            "1e9",
            "1.5MiB",
            "10M",
            "10mb",
            "MiB",
            "_1",
            "16777216TiB",
            "99999999999999999999",
            "10MiB x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_written_size_reads_back() {
        for bytes in [0, 1, 1023, 1024, 10_000_000, 128 << 20, 3 << 40] {
            assert_eq!(parse(&write(bytes)), Some(bytes));
        }
        assert_eq!(write(128 << 20), "128MiB");
    }
}
