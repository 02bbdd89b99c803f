//! Times as they are written in our JSON: RFC 3339, UTC, milliseconds. Inside they are epoch milliseconds.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::limits::TIMESTAMP_MS_MAX;

const MS_PER_DAY: i64 = 86_400_000;

/// Appends `"2026-01-31T10:00:00.000Z"`, or `null` for a time that RFC 3339 can't write (Kafka clients may send any).
pub(crate) fn write_json(out: &mut Vec<u8>, ms: i64) {
    match text(ms) {
        None => out.extend_from_slice(b"null"),
        Some(text) => {
            out.push(b'"');
            out.extend_from_slice(&text);
            out.push(b'"');
        }
    }
}

/// The time as text; `None` outside the years 1970 to 9999.
pub(crate) fn format(ms: i64) -> Option<String> {
    text(ms).and_then(|text| String::from_utf8(text.to_vec()).ok())
}

/// The time so many milliseconds ago, as text.
pub(crate) fn ago(ms: u64) -> Option<String> {
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    i64::try_from(now - i128::from(ms)).ok().and_then(format)
}

/// The time that an RFC 3339 text stands for; finer parts than milliseconds are cut.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000))
        .ok()
        .filter(|ms| (0..=TIMESTAMP_MS_MAX).contains(ms))
}

fn text(ms: i64) -> Option<[u8; 24]> {
    if !(0..=TIMESTAMP_MS_MAX).contains(&ms) {
        return None;
    }
    let (days, ms_of_day) = (ms / MS_PER_DAY, ms % MS_PER_DAY);
    let (year, month, day) = civil(days);
    let mut out = *b"0000-00-00T00:00:00.000Z";
    digits(&mut out[0..4], year);
    digits(&mut out[5..7], month);
    digits(&mut out[8..10], day);
    digits(&mut out[11..13], ms_of_day / 3_600_000);
    digits(&mut out[14..16], ms_of_day / 60_000 % 60);
    digits(&mut out[17..19], ms_of_day / 1000 % 60);
    digits(&mut out[20..23], ms_of_day % 1000);
    Some(out)
}

fn digits(out: &mut [u8], mut number: i64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Counts in eras of 400 years that begin in
/// March, so that the leap day is the last of its year; much cheaper per record than the general library.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library_on_every_day_to_9999() {
        for day in (0..=TIMESTAMP_MS_MAX / MS_PER_DAY).step_by(13) {
            let ms = day * MS_PER_DAY + (day * 7_919_777) % MS_PER_DAY;
            let library = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap();
            let ours = format(ms).unwrap();
            assert_eq!(OffsetDateTime::parse(&ours, &Rfc3339).unwrap(), library, "{ours}");
            assert_eq!(parse(&ours), Some(ms));
        }
    }

    #[test]
    fn reads_offsets_and_refuses_the_rest() {
        assert_eq!(format(1_769_853_600_000).as_deref(), Some("2026-01-31T10:00:00.000Z"));
        assert_eq!(parse("2026-01-31T11:00:00+01:00"), Some(1_769_853_600_000));
        assert_eq!(parse("2026-01-31T10:00:00.0009Z"), Some(1_769_853_600_000));
        for bad in ["", "2026-01-31", "2026-01-31 10:00", "1969-12-31T23:59:59Z", "2026-02-30T00:00:00Z"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(format(-1), None);
        assert_eq!(format(i64::MAX), None);
    }
}
