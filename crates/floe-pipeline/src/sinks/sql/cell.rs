//! What was found for a column, as a value of its type.

use bytes::Bytes;
use floe_store::{Cell, ColumnType};
use serde_json::value::RawValue;

use super::source::Found;
use crate::sinks::events::rfc3339_ms;

/// Whole numbers that a floating-point number holds exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Makes the cell; `Err` says what would fit and what was there instead, without showing it.
pub(super) fn make(of: ColumnType, found: &Found<'_>) -> Result<Cell, String> {
    let cell = match found {
        Found::Nothing => Some(Cell::Null),
        Found::Json(json) if json.get() == "null" => Some(Cell::Null),
        Found::Json(json) => from_json(of, json),
        Found::Text(text) => from_text(of, text),
        Found::Integer(value) => from_integer(of, *value),
        Found::Time(ms) => match of {
            ColumnType::Timestamp => Some(Cell::Timestamp(*ms)),
            _ => from_integer(of, *ms),
        },
        Found::Bytes(bytes) => match of {
            ColumnType::Bytes => Some(Cell::Bytes(Bytes::clone(bytes))),
            _ => std::str::from_utf8(bytes).ok().and_then(|text| from_text(of, text)),
        },
    };
    cell.ok_or_else(|| format!("it takes {}, and there is {}", wanted(of), kind(found)))
}

fn wanted(of: ColumnType) -> &'static str {
    match of {
        ColumnType::Text => "text",
        ColumnType::Integer => "a whole number of 64 bits",
        ColumnType::Real => "a number",
        ColumnType::Boolean => "true or false",
        ColumnType::Timestamp => "an RFC 3339 time or milliseconds since 1970",
        ColumnType::Json => "JSON",
        ColumnType::Bytes => "bytes",
    }
}

fn kind(found: &Found<'_>) -> &'static str {
    match found {
        Found::Nothing => "nothing",
        Found::Json(json) => match json.get().as_bytes().first() {
            Some(b'"') => "a string that is not one",
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b't' | b'f') => "a boolean",
            Some(_) | None => "a number that does not fit",
        },
        Found::Text(_) => "text that is not one",
        Found::Integer(_) | Found::Time(_) => "a number",
        Found::Bytes(_) => "something else in the record's bytes",
    }
}

fn from_json(of: ColumnType, json: &RawValue) -> Option<Cell> {
    let text = json.get();
    let is_string = text.starts_with('"');
    match of {
        ColumnType::Json => Some(Cell::Json(Bytes::copy_from_slice(text.as_bytes()))),
        ColumnType::Text if !is_string => Some(Cell::Text(text.to_owned())),
        ColumnType::Text => serde_json::from_str(text).ok().map(Cell::Text),
        ColumnType::Integer => integer(text).map(Cell::Integer),
        ColumnType::Real => {
            serde_json::from_str(text).ok().filter(|value: &f64| value.is_finite()).map(Cell::Real)
        }
        ColumnType::Boolean => serde_json::from_str(text).ok().map(Cell::Boolean),
        ColumnType::Timestamp if is_string => {
            rfc3339_ms(&serde_json::from_str::<String>(text).ok()?).map(Cell::Timestamp)
        }
        ColumnType::Timestamp => integer(text).map(Cell::Timestamp),
        ColumnType::Bytes if is_string => {
            serde_json::from_str::<String>(text).ok().map(|text| Cell::Bytes(text.into_bytes().into()))
        }
        ColumnType::Bytes => None,
    }
}

/// A whole number, also when it is written as `3.0` or `3e2`.
fn integer(json: &str) -> Option<i64> {
    if let Ok(value) = serde_json::from_str::<i64>(json) {
        return Some(value);
    }
    let value = serde_json::from_str::<f64>(json).ok()?;
    let whole = value.fract() == 0.0 && value.abs() <= EXACT_MAX;
    // Printed without a fraction, so that no cast has to be trusted.
    whole.then(|| format!("{value:.0}").parse().ok())?
}

fn from_text(of: ColumnType, text: &str) -> Option<Cell> {
    match of {
        ColumnType::Text => Some(Cell::Text(text.to_owned())),
        ColumnType::Integer => text.parse().ok().map(Cell::Integer),
        ColumnType::Real => text.parse().ok().filter(|value: &f64| value.is_finite()).map(Cell::Real),
        ColumnType::Boolean => text.parse().ok().map(Cell::Boolean),
        ColumnType::Timestamp => rfc3339_ms(text).or_else(|| text.parse().ok()).map(Cell::Timestamp),
        ColumnType::Json => {
            let json = serde_json::from_str::<&RawValue>(text).ok()?;
            Some(Cell::Json(Bytes::copy_from_slice(json.get().as_bytes())))
        }
        ColumnType::Bytes => Some(Cell::Bytes(Bytes::copy_from_slice(text.as_bytes()))),
    }
}

fn from_integer(of: ColumnType, value: i64) -> Option<Cell> {
    match of {
        ColumnType::Integer => Some(Cell::Integer(value)),
        ColumnType::Timestamp => Some(Cell::Timestamp(value)),
        ColumnType::Text => Some(Cell::Text(value.to_string())),
        ColumnType::Json => Some(Cell::Json(value.to_string().into())),
        ColumnType::Real => value.to_string().parse().ok().map(Cell::Real),
        ColumnType::Boolean | ColumnType::Bytes => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(of: ColumnType, text: &str) -> Result<Cell, String> {
        let raw: &RawValue = serde_json::from_str(text).expect("JSON");
        make(of, &Found::Json(raw))
    }

    #[test]
    fn values_that_fit_are_taken() {
        use ColumnType as Of;
        for (of, text, cell) in [
            (Of::Integer, "3.0", Cell::Integer(3)),
            (Of::Integer, "-9223372036854775808", Cell::Integer(i64::MIN)),
            (Of::Integer, "2e3", Cell::Integer(2_000)),
            (Of::Real, "3", Cell::Real(3.0)),
            (Of::Text, "\"a\\u0041\"", Cell::Text("aA".into())),
            (Of::Text, "12.50", Cell::Text("12.50".into())),
            (Of::Text, "null", Cell::Null),
            (Of::Boolean, "true", Cell::Boolean(true)),
            (Of::Timestamp, "\"2026-01-31T10:00:00Z\"", Cell::Timestamp(1_769_853_600_000)),
            (Of::Timestamp, "1769853600000", Cell::Timestamp(1_769_853_600_000)),
            (Of::Json, "[1, 2]", Cell::Json(Bytes::from_static(b"[1, 2]"))),
            (Of::Bytes, "\"x\"", Cell::Bytes(Bytes::from_static(b"x"))),
        ] {
            assert_eq!(json(of, text), Ok(cell), "{text}");
        }
    }

    #[test]
    fn values_that_do_not_fit_are_told_and_not_shown() {
        use ColumnType as Of;
        for (of, text) in [
            (Of::Integer, "\"secret\""),
            (Of::Integer, "1.5"),
            (Of::Integer, "9223372036854775808"),
            (Of::Real, "\"1\""),
            (Of::Boolean, "1"),
            (Of::Timestamp, "\"secret\""),
            (Of::Bytes, "{\"secret\":1}"),
        ] {
            let why = json(of, text).expect_err("no fit");
            assert!(why.starts_with("it takes ") && !why.contains("secret"), "{why}");
        }
    }
}
