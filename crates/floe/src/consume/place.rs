//! Places in a partition as people write them: `start`, `end`, `42`, `+10`, `-10`, `@2026-01-31T10:00:00Z`.

use floe_load::{
    http::{CallError, Client, accept, escape},
    topic::{PartitionBounds, records_of},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A place in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The oldest record kept.
    Start,
    /// Behind the newest record.
    End,
    /// This offset.
    Offset(i64),
    /// So many records behind the oldest one kept.
    FromStart(i64),
    /// So many records before the end.
    BeforeEnd(i64),
    /// The first record at or after this time (RFC 3339).
    Time(String),
}

/// Reads a place; for clap.
pub(crate) fn parse(text: &str) -> Result<Place, String> {
    let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => digits.parse::<i64>().ok(),
        false => None,
    };
    let place = match text {
        "start" | "earliest" | "beginning" => Some(Place::Start),
        "end" | "latest" => Some(Place::End),
        _ => match text.split_at_checked(1) {
            Some(("+", rest)) => number(rest).map(Place::FromStart),
            Some(("-", rest)) => number(rest).map(Place::BeforeEnd),
            Some(("@", rest)) => return time(rest).map(Place::Time),
            _ => number(text).map(Place::Offset),
        },
    };
    place.ok_or_else(|| "expected start, end, an offset, +N, -N or @TIME".to_owned())
}

/// Reads a time, RFC 3339 or epoch milliseconds, and returns it as RFC 3339; for clap.
pub(crate) fn time(text: &str) -> Result<String, String> {
    let found = match text.parse::<i128>() {
        Ok(millis) => OffsetDateTime::from_unix_timestamp_nanos(millis.saturating_mul(1_000_000)).ok(),
        Err(_) => OffsetDateTime::parse(text, &Rfc3339).ok(),
    };
    found
        .and_then(|time| time.format(&Rfc3339).ok())
        .ok_or_else(|| "expected a time such as 2026-01-31T10:00:00Z, or milliseconds since 1970".to_owned())
}

/// The offset that a place stands for, within what the partition keeps.
pub(crate) async fn resolve(
    client: &mut Client,
    topic: &str,
    bound: PartitionBounds,
    place: &Place,
) -> Result<i64, CallError> {
    let PartitionBounds { partition, start, end } = bound;
    let offset = match place {
        Place::Start => start,
        Place::End => end,
        Place::Offset(offset) => *offset,
        Place::FromStart(records) => start.saturating_add(*records),
        Place::BeforeEnd(records) => end.saturating_sub(*records),
        Place::Time(time) => {
            let path = format!(
                "/topics/{}/records?partition={partition}&offset={}&limit=1",
                escape(topic),
                escape(time)
            );
            let page = accept(client.send("GET", &path, &[("Accept", "application/x-ndjson")], b"").await?)?;
            let records = records_of(&page.body)
                .map_err(|error| CallError::Unexpected { path, why: error.to_string() })?;
            records.first().map_or(end, |record| record.offset)
        }
    };
    Ok(offset.clamp(start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_other_tools_read_them() {
        for (text, place) in [
            ("start", Place::Start),
            ("end", Place::End),
            ("42", Place::Offset(42)),
            ("+10", Place::FromStart(10)),
            ("-10", Place::BeforeEnd(10)),
            ("@2026-01-31T10:00:00Z", Place::Time("2026-01-31T10:00:00Z".to_owned())),
            ("@1769853600000", Place::Time("2026-01-31T10:00:00Z".to_owned())),
        ] {
            assert_eq!(parse(text), Ok(place), "{text}");
        }
        for bad in
            ["", "+", "-", "@", "@yesterday", "--1", "+-1", "1e3", "99999999999999999999", "middle", "é"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
