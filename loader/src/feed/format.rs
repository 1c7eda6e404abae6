//! Which of the three formats a feed is in: said by flag, by the file's name or by its first line.

use std::fmt;

use super::FeedError;

/// Bytes at the start in which a zero byte shows that it is no text: 8 KiB.
const SNIFFED_BYTES: usize = 8 << 10;

/// A format of feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Fields between commas, quoted where they hold one.
    Csv,
    /// Fields between tabs, no quoting.
    Tsv,
    /// A JSON object a line.
    Jsonl,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
        })
    }
}

impl Format {
    /// What the name says, such as `feed.csv.gz`; `None` when it says nothing.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let plain =
            [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
        match plain.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }

    /// What the first line that is not empty says.
    pub(super) fn of_first_line(ahead: &[u8]) -> Result<Self, FeedError> {
        let text = ahead.trim_ascii_start();
        let line = &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())];
        let has = |byte| memchr::memchr(byte, line).is_some();
        match line.first() {
            None => Err(FeedError::NoRows),
            Some(b'{') => Ok(Self::Jsonl),
            Some(b'[') if text[1..].trim_ascii_start().first() == Some(&b'{') => Err(FeedError::JsonList),
            Some(_) if has(b'\t') => Ok(Self::Tsv),
            Some(_) if has(b',') => Ok(Self::Csv),
            Some(_) => Err(FeedError::UnknownFormat),
        }
    }
}

/// Refuses what no text feed begins with.
pub(super) fn refuse_binary(ahead: &[u8]) -> Result<(), FeedError> {
    if ahead.starts_with(b"\xff\xfe") || ahead.starts_with(b"\xfe\xff") {
        return Err(FeedError::Utf16);
    }
    match memchr::memchr(0, &ahead[..ahead.len().min(SNIFFED_BYTES)]) {
        Some(at) => Err(FeedError::Binary(at as u64)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_goes_before_the_first_line() {
        for (name, format) in [
            ("f.csv", Some(Format::Csv)),
            ("f.csv.GZ", Some(Format::Csv)),
            ("f.tsv", Some(Format::Tsv)),
            ("a.csv/f.tab.zst", Some(Format::Tsv)),
            ("f.jsonl", Some(Format::Jsonl)),
            ("f.ndjson.gzip", Some(Format::Jsonl)),
            ("f.txt", None),
            ("f.gz", None),
            ("-", None),
        ] {
            assert_eq!(Format::of_name(name), format, "{name}");
        }
    }
}
