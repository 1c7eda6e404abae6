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
    // A moment of the years 2001 to 2286: nearly every one.
    if let Some((head, &[ninth, tenth])) = bytes.split_first_chunk()
        && let Some(head) = eight_digits(*head)
        && ninth.is_ascii_digit()
        && tenth.is_ascii_digit()
    {
        return Some(Some(head * 100 + i64::from(ninth - b'0') * 10 + i64::from(tenth - b'0')));
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

/// The number that eight digits spell, all at once; `None` when there is anything but digits.
#[inline]
fn eight_digits(bytes: [u8; 8]) -> Option<i64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGHER_HALVES: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    /// Added to a digit, it leaves the higher half of the byte as it is; added to `:` and what follows, it does not.
    const SIXES: u64 = 0x0606_0606_0606_0606;
    let text = u64::from_le_bytes(bytes);
    if text & HIGHER_HALVES != ZEROS || text.wrapping_add(SIXES) & HIGHER_HALVES != ZEROS {
        return None;
    }
    // Neighbours become one number: digits pairs, pairs fours, fours the whole. The first stands lowest.
    let digits = text & !HIGHER_HALVES;
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff) as i64)
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
    fn ten_bytes_are_read_as_any_others() {
        let slowly = |bytes: &[u8]| {
            let number = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok());
            number.filter(|_| bytes.iter().all(u8::is_ascii_digit)).map(|number| number as i64)
        };
        for digits in [b"0000000000", b"1777924800", b"4294967295", b"9876543210", b"9999999999"] {
            for at in 0..digits.len() {
                for byte in 0..=u8::MAX {
                    let mut bytes = *digits;
                    bytes[at] = byte;
                    assert_eq!(super::digits(&bytes).flatten(), slowly(&bytes), "{bytes:?}");
                    assert_eq!(super::digits(&bytes).is_some(), slowly(&bytes).is_some(), "{bytes:?}");
                }
            }
        }
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
