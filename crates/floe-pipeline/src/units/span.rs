//! Spans of time as people write them: `250ms`, `30s`, `5m`, `2h`, `7d`.

use std::time::Duration;

/// What a span of time may look like.
pub const ACCEPTED: &str = "a span of time with its unit: 250ms, 30s, 5m, 2h or 7d";

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a span of time. A bare number is refused: it could be seconds or milliseconds.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = (text[..digits].parse::<u64>().ok()?, text[digits..].trim_start());
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor).map(Duration::from_millis)
}

/// Writes a span of time so that it reads back as the same.
pub fn write(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let unit = UNITS.iter().rev().find(|(_, factor)| millis > 0 && millis.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{millis}ms"), |(name, factor)| format!("{}{name}", millis / factor))
}

/// For clap: as [`parse`], with the accepted form as the error.
pub fn from_flag(text: &str) -> Result<Duration, String> {
    parse(text).ok_or_else(|| format!("expected {ACCEPTED}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(parse(&write(Duration::from_millis(millis))), Some(Duration::from_millis(millis)));
        }
        for bad in [
            "",
            "30",
            "-1s",
            "1.5s",
            "1e3s",
            "s",
            "5min",
            "30 seconds",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(write(Duration::from_secs(90)), "90s");
    }
}
