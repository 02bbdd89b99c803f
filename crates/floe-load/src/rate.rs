//! How fast: `10000/min`, `200/s`, `max`, and the instants at which such a rate asks for records.

use std::{fmt, num::NonZeroU64, str::FromStr, time::Duration};

/// A rate of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As fast as the answers come.
    Max,
    /// So many records in each period, evenly spread.
    Every {
        /// Records in a period.
        records: NonZeroU64,
        /// The period.
        period: Period,
    },
}

/// What a rate is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// `/s`
    Second,
    /// `/min`
    Minute,
    /// `/h`
    Hour,
}

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a rate: expected a whole number of records per unit, such as 10000/min or 200/s, or max"
)]
pub struct RateError(String);

/// More records in a second than any machine sends: keeps the arithmetic of instants far from overflow.
const MAX_RECORDS_PER_SECOND: u64 = 1_000_000_000;

impl Period {
    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

impl Rate {
    /// When record `index` (from 0) is to be sent, counted from the start; `None` without a schedule.
    #[must_use]
    pub fn due_at(self, index: u64) -> Option<Duration> {
        let Self::Every { records, period } = self else { return None };
        let nanos =
            u128::from(index) * u128::from(period.seconds()) * 1_000_000_000 / u128::from(records.get());
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// How many records are to be sent by `elapsed`; `None` without a schedule.
    #[must_use]
    pub fn due_by(self, elapsed: Duration) -> Option<u64> {
        let Self::Every { records, period } = self else { return None };
        let whole =
            elapsed.as_nanos() * u128::from(records.get()) / (u128::from(period.seconds()) * 1_000_000_000);
        Some(u64::try_from(whole).map_or(u64::MAX, |whole| whole.saturating_add(1)))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || RateError(text.escape_debug().to_string());
        let text = text.trim();
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        let (records, unit) = text.split_once('/').ok_or_else(error)?;
        let period = match unit.trim() {
            "s" | "sec" | "second" => Period::Second,
            "m" | "min" | "minute" => Period::Minute,
            "h" | "hour" => Period::Hour,
            _ => return Err(error()),
        };
        let records: NonZeroU64 = records.trim().replace('_', "").parse().map_err(|_| error())?;
        if records.get() / period.seconds() > MAX_RECORDS_PER_SECOND {
            return Err(error());
        }
        Ok(Self::Every { records, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Every { records, period } => {
                let unit = match period {
                    Period::Second => "s",
                    Period::Minute => "min",
                    Period::Hour => "h",
                };
                write!(f, "{records}/{unit}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn rates_are_read_and_written_alike() {
        for text in ["10000/min", "200/s", "1/h", "max"] {
            assert_eq!(rate(text).to_string(), text);
        }
        assert_eq!(rate(" 10_000 / minute ").to_string(), "10000/min");
        assert_eq!(rate("MAX"), Rate::Max);
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for bad in [
            "",
            "10",
            "0/s",
            "-1/s",
            "1.5/s",
            "1e9/s",
            "10/day",
            "/s",
            "99999999999999999999/s",
            "9999999999999/s",
        ] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
        assert!("10 000".parse::<Rate>().unwrap_err().to_string().contains("10000/min"));
    }

    #[test]
    fn records_are_spread_evenly_and_never_before_they_are_due() {
        let rate = rate("10000/min");
        assert_eq!(rate.due_at(0), Some(Duration::ZERO));
        assert_eq!(rate.due_at(10_000), Some(Duration::from_secs(60)));
        for index in [1, 7, 9_999, 123_456_789] {
            let at = rate.due_at(index).unwrap();
            assert!(rate.due_by(at).unwrap() <= index + 1);
            assert!(rate.due_by(at + Duration::from_nanos(1)).unwrap() > index);
        }
        assert_eq!(Rate::Max.due_at(5), None);
    }
}
