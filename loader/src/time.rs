//! Moments as text: RFC 3339 or Unix seconds in, RFC 3339 out.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use thiserror::Error;
use usher_index::Time;

/// Digits of the longest Unix time in range, 4294967295.
const MAX_UNIX_DIGITS: usize = 10;

/// Why a text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimeTextError {
    /// Neither of the two forms.
    #[error("expected RFC 3339 with a zone, such as 2026-05-04T20:00:00Z, or Unix seconds")]
    Form,
    /// A moment outside the years that Usher keeps.
    #[error("expected a moment from 1970 to 2106 (Unix time is in seconds, not milliseconds)")]
    Range,
}

/// Reads RFC 3339 with a zone, or Unix seconds. Fractions of a second are cut off.
///
/// # Errors
/// On any other text, and for moments before 1970 or after 2106.
pub fn parse(text: &str) -> Result<Time, TimeTextError> {
    parse_bytes(text.as_bytes())
}

/// [`parse`] for bytes that nobody has checked yet.
///
/// # Errors
/// As [`parse`]; bytes that are not UTF-8 are no moment.
#[inline]
pub fn parse_bytes(bytes: &[u8]) -> Result<Time, TimeTextError> {
    match digits(bytes) {
        Some(seconds) => seconds.and_then(Time::from_unix).ok_or(TimeTextError::Range),
        None => parse_rfc3339(bytes),
    }
}

/// The number that the digits spell: `None` when there is anything but digits, `Some(None)` when there are too many.
#[inline]
fn digits(bytes: &[u8]) -> Option<Option<i64>> {
    if bytes.is_empty() {
        return None;
    }
    let mut seconds = 0i64;
    for &byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        // The bound below keeps every sum that is used from overflowing.
        seconds = seconds.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
    }
    Some((bytes.len() <= MAX_UNIX_DIGITS).then_some(seconds))
}

fn parse_rfc3339(bytes: &[u8]) -> Result<Time, TimeTextError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TimeTextError::Form)?;
    if is_negative_number(text) {
        return Err(TimeTextError::Range);
    }
    let moment: Timestamp = text.parse().map_err(|_| TimeTextError::Form)?;
    Time::from_unix(moment.as_second()).filter(|_| moment >= Timestamp::UNIX_EPOCH).ok_or(TimeTextError::Range)
}

fn is_negative_number(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// The moment as RFC 3339 in UTC, such as `2026-05-04T20:00:00Z`.
#[must_use]
pub fn format(time: Time) -> String {
    match Timestamp::from_second(time.unix()) {
        Ok(moment) => moment.to_string(),
        // Unreachable: every `Time` is within what a timestamp holds. The number is still true.
        Err(_) => time.unix().to_string(),
    }
}

/// The moment as HTTP writes it, such as `Mon, 04 May 2026 20:00:00 GMT`.
#[must_use]
pub fn http_date(time: Time) -> String {
    let moment = Timestamp::from_second(time.unix()).unwrap_or_default();
    DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).expect("every `Time` has four digits for its year")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> Result<i64, TimeTextError> {
        parse(text).map(Time::unix)
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(unix("0"), Ok(0));
        assert_eq!(unix("1777924800"), Ok(1_777_924_800));
        assert_eq!(unix("4294967295"), Ok(4_294_967_295));
        assert_eq!(unix("2026-05-04T20:00:00Z"), Ok(1_777_924_800));
        assert_eq!(unix("2026-05-04T22:00:00.999+02:00"), Ok(1_777_924_800));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in
            ["", "yesterday", "2026-05-04", "2026-05-04T20:00:00", "2026-13-04T20:00:00Z", "1.5", "12h", "-", "\u{661}"]
        {
            assert_eq!(unix(bad), Err(TimeTextError::Form), "{bad:?}");
        }
        for far in [
            "4294967296",
            "1777924800000",
            "99999999999999999999999",
            "-1",
            "1969-12-31T23:59:59Z",
            "1969-12-31T23:59:59.5Z",
            "2107-01-01T00:00:00Z",
        ] {
            assert_eq!(unix(far), Err(TimeTextError::Range), "{far:?}");
        }
        assert_eq!(parse_bytes(b"\xff"), Err(TimeTextError::Form));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in [0, 1_777_924_800, 4_294_967_295] {
            let time = Time::from_unix(seconds).expect("in range");
            assert_eq!(parse(&format(time)), Ok(time));
        }
        assert_eq!(format(Time::from_unix(1_777_924_800).expect("in range")), "2026-05-04T20:00:00Z");
        assert_eq!(http_date(Time::from_unix(1_777_924_800).expect("in range")), "Mon, 04 May 2026 20:00:00 GMT");
        assert_eq!(http_date(Time::from_unix(4_294_967_295).expect("in range")), "Sun, 07 Feb 2106 06:28:15 GMT");
    }
}
