//! Time as arguments: seconds, lives and ticks. Nothing in this crate reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;
/// The shortest tick, in seconds.
pub const MIN_TICK_SECS: u32 = MINUTE;
/// The longest tick, in seconds.
pub const MAX_TICK_SECS: u32 = DAY;

/// Why a life or a tick was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Not a span.
    #[error("expected a life such as `30d`, `12h`, `90m`, `15s` or seconds, found `{0}`")]
    BadSpan(String),
    /// Out of range for a tick.
    #[error("a tick lasts from one minute to one day, not {0} s")]
    BadTick(u32),
}

/// A moment: Unix seconds, 1970 to 2106.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u32);

impl Time {
    /// The moment at these Unix seconds; `None` before 1970 or after 2106.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Option<Self> {
        u32::try_from(seconds).ok().map(Self)
    }

    /// Unix seconds.
    #[must_use]
    pub fn unix(self) -> i64 {
        i64::from(self.0)
    }

    /// The moment `span` later; the end of time (2106) when that is later still.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long after `earlier`; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SpanText", into = "String")]
pub struct Span(u32);

impl Span {
    /// A span of these seconds.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds)
    }

    /// A span of these days; the longest span there is when they are too many.
    #[must_use]
    pub const fn from_days(days: u32) -> Self {
        Self(days.saturating_mul(DAY))
    }

    /// Seconds.
    #[must_use]
    pub const fn secs(self) -> u32 {
        self.0
    }

    /// Reads `30d`, `12h`, `90m`, `15s`, `2w` or bare seconds.
    ///
    /// # Errors
    /// On anything else, and beyond 136 years.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError::BadSpan(text.chars().take(40).collect());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match &text[digits..] {
            "" | "s" => 1,
            "m" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            "w" => 7 * DAY,
            _ => return Err(bad()),
        };
        let count: u32 = text[..digits].parse().map_err(|_| bad())?;
        count.checked_mul(unit).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")];
        match units.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, letter)) => write!(f, "{}{letter}", self.0 / unit),
            None => write!(f, "{}s", self.0),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

/// A span as files write it: text with a unit, or bare seconds.
#[derive(Deserialize)]
#[serde(untagged)]
enum SpanText {
    Text(String),
    Seconds(u32),
}

impl TryFrom<SpanText> for Span {
    type Error = TimeError;
    fn try_from(text: SpanText) -> Result<Self, TimeError> {
        match text {
            SpanText::Text(text) => Self::parse(&text),
            SpanText::Seconds(seconds) => Ok(Self(seconds)),
        }
    }
}

/// A whole number of ticks since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tick(u32);

impl Tick {
    /// The tick of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The index's time grain, fixed when it is created: one minute to one day, one hour by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Span", into = "Span")]
pub struct TickLength(u32);

impl TickLength {
    /// A tick of this length.
    ///
    /// # Errors
    /// When it is shorter than a minute or longer than a day.
    pub fn new(span: Span) -> Result<Self, TimeError> {
        if (MIN_TICK_SECS..=MAX_TICK_SECS).contains(&span.0) {
            Ok(Self(span.0))
        } else {
            Err(TimeError::BadTick(span.0))
        }
    }

    /// Seconds.
    #[must_use]
    pub const fn secs(self) -> u32 {
        self.0
    }

    /// The tick in which the moment lies (rounds down).
    #[must_use]
    pub const fn floor(self, time: Time) -> Tick {
        Tick(time.0 / self.0)
    }

    /// The first tick that begins later than `span` before the moment; the first of all when that is before 1970.
    #[must_use]
    pub const fn since(self, time: Time, span: Span) -> Tick {
        match time.0.checked_sub(span.0) {
            Some(seconds) => Tick(seconds / self.0 + 1),
            None => Tick(0),
        }
    }

    /// The moment at which the tick begins; the end of time (2106) when that is later still.
    #[must_use]
    pub const fn start(self, tick: Tick) -> Time {
        Time(tick.0.saturating_mul(self.0))
    }

    /// The moment at which the tick is over; the end of time (2106) when that is later still.
    #[must_use]
    pub const fn end(self, tick: Tick) -> Time {
        self.start(Tick(tick.0.saturating_add(1)))
    }
}

impl Default for TickLength {
    fn default() -> Self {
        Self(HOUR)
    }
}

impl TryFrom<Span> for TickLength {
    type Error = TimeError;
    fn try_from(span: Span) -> Result<Self, TimeError> {
        Self::new(span)
    }
}

impl From<TickLength> for Span {
    fn from(tick: TickLength) -> Self {
        Self(tick.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print() {
        for (text, seconds, printed) in [
            ("30d", 2_592_000, "30d"),
            ("12h", 43_200, "12h"),
            ("90m", 5_400, "90m"),
            ("15s", 15, "15s"),
            ("86400", 86_400, "1d"),
        ] {
            let span = Span::parse(text).expect("a span of the table");
            assert_eq!((span.secs(), span.to_string().as_str()), (seconds, printed));
        }
        for bad in ["", "d", "-1d", "1.5h", "30 d", "5000000000", "99999d", "1y"] {
            assert!(Span::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ticks_round_down() {
        let hour = TickLength::default();
        let at = |seconds| Time::from_unix(seconds).expect("in range");
        assert_eq!(hour.floor(at(7_199)), Tick::new(1));
        assert_eq!(hour.floor(at(7_200)), Tick::new(2));
        assert_eq!(hour.start(Tick::new(2)), at(7_200));
        assert!(TickLength::new(Span::from_secs(59)).is_err() && TickLength::new(Span::from_days(2)).is_err());
    }
}
