//! The manifest: one file that names a consistent set of images, the charter in force and the ledger of feeds.
//!
//! A line of magic and version, a line with the checksum of the rest, then JSON.

use serde::{Deserialize, Serialize};

use crate::checksum::checksum;
use crate::error::ImageError;
use crate::time::{Span, TickLength, Time};

/// The version of manifests that is written here, and the newest that is read.
pub const MANIFEST_VERSION: u32 = 1;
const MAGIC: &str = "usher-manifest";
/// How long the ledger remembers a feed of a source that the charter does not name.
const FALLBACK_RETENTION: Span = Span::from_days(120);

/// What makes two deliveries the same: source, bytes, and the options that change their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedKey {
    /// The source.
    pub source: String,
    /// XXH3-128 of the bytes as sent, in hexadecimal.
    pub digest: String,
    /// Columns, format, id type, as-of and the like, as one canonical text.
    pub options: String,
}

/// How the taken rows of a feed changed the index: they sum to the rows taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The winning row of a (visitor, segment) of which nothing was kept.
    pub new: u64,
    /// The winning row that won over what was kept.
    pub renewed: u64,
    /// Every other row.
    pub unchanged: u64,
    /// The winning row that has no life.
    pub removed: u64,
}

/// A feed that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// What it was.
    pub key: FeedKey,
    /// When it came.
    pub received: Time,
    /// The report that its sender got.
    pub report: serde_json::Value,
    /// How it changed the index; completed when it is applied.
    pub outcome: Option<Outcome>,
}

/// An image, as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLine {
    /// The file's name.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// XXH3-128 of them, in hexadecimal.
    pub digest: String,
}

/// The file of veils, as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VeilsLine {
    /// The file's name.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// XXH3-128 of them, in hexadecimal.
    pub digest: String,
}

/// A generation of the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its number, from 1.
    pub generation: u64,
    /// The number before it, if that is kept.
    pub previous: Option<u64>,
    /// The time grain.
    pub tick: TickLength,
    /// What recognises the pseudonym key.
    pub key_check: String,
    /// The digest that names the charter's file; none: the development charter.
    pub charter: Option<String>,
    /// The newest moment the index has seen.
    pub newest: Time,
    /// The last batch of the live state whose changes the images hold.
    pub folded: u64,
    /// The veils of erasures; none: there are none.
    pub veils: Option<VeilsLine>,
    /// The images, by shard; their number is a power of two, or none.
    pub images: Vec<ImageLine>,
    /// The feeds taken, oldest first.
    pub ledger: Vec<LedgerLine>,
}

impl Manifest {
    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with text keys and numbers only: serialisation cannot fail.
        let body = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{MAGIC} {MANIFEST_VERSION}\nxxh3 {:016x}\n{body}\n", checksum(body.as_bytes())).into_bytes()
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// When it is damaged or newer.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        let damaged = |section, expected: &str, found: String| ImageError::Damaged {
            file: file.to_owned(),
            section,
            offset: 0,
            expected: expected.to_owned(),
            found,
        };
        let text = std::str::from_utf8(bytes).map_err(|e| damaged("manifest", "UTF-8", e.to_string()))?;
        let mut lines = text.splitn(3, '\n');
        let first = lines.next().unwrap_or("");
        let version = first.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' ')?.parse::<u32>().ok());
        match version {
            Some(found) if found > MANIFEST_VERSION => {
                return Err(ImageError::Newer { file: file.to_owned(), found, known: MANIFEST_VERSION });
            }
            Some(MANIFEST_VERSION) => {}
            _ => return Err(damaged("first line", &format!("`{MAGIC} {MANIFEST_VERSION}`"), format!("{first:?}"))),
        }
        let sum = lines.next().unwrap_or("");
        let body = lines.next().and_then(|body| body.strip_suffix('\n')).unwrap_or("");
        let expected = format!("xxh3 {:016x}", checksum(body.as_bytes()));
        if sum != expected {
            return Err(damaged("checksum", &expected, format!("{sum:?}")));
        }
        let manifest: Self = serde_json::from_str(body).map_err(|e| damaged("body", "a manifest", e.to_string()))?;
        let count = manifest.images.len();
        if count > 0 && !count.is_power_of_two() {
            return Err(damaged("images", "a power of two", format!("{count}")));
        }
        Ok(manifest)
    }

    /// The ledger's line of a feed.
    #[must_use]
    pub fn delivered(&self, key: &FeedKey) -> Option<&LedgerLine> {
        self.ledger.iter().rev().find(|line| line.key == *key)
    }

    /// Forgets the feeds whose memberships are all past their source's longest retention.
    pub fn forget_old_feeds(&mut self, charter: &crate::charter::Charter, now: Time) {
        let retention = |name: &str| charter.source(name).map_or(FALLBACK_RETENTION, |source| source.max_retention);
        self.ledger.retain(|line| line.received.plus(retention(&line.key.source)) > now);
    }
}

#[cfg(test)]
impl Manifest {
    /// Of an index without anything, for tests.
    pub(crate) fn empty(key: &crate::pseudonym::Key) -> Self {
        Self {
            generation: 1,
            previous: None,
            tick: TickLength::default(),
            key_check: key.check_value(),
            charter: None,
            newest: Time::from_unix(0).expect("in range"),
            folded: 0,
            veils: None,
            images: Vec::new(),
            ledger: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let now = Time::from_unix(1_800_000_000).expect("in range");
        let key = FeedKey { source: "mag".into(), digest: "ab".into(), options: "tsv".into() };
        let line = LedgerLine {
            key,
            received: now,
            report: serde_json::json!({"received": 3}),
            outcome: Some(Outcome::default()),
        };
        let image = ImageLine { file: "img.1.0.ab".into(), bytes: 7, digest: "ab".into() };
        Manifest {
            generation: 1,
            previous: None,
            tick: TickLength::default(),
            key_check: "00".into(),
            charter: None,
            newest: now,
            folded: 7,
            veils: Some(VeilsLine { file: "veils.1".into(), bytes: 3, digest: "ab".into() }),
            images: vec![image],
            ledger: vec![line],
        }
    }

    #[test]
    fn every_flipped_byte_is_caught() {
        let manifest = manifest();
        let bytes = manifest.to_bytes();
        assert_eq!(Manifest::read("m", &bytes).expect("sound"), manifest);
        for at in 0..bytes.len() {
            for flip in [1u8, 0x20, 0x80] {
                let mut wrong = bytes.clone();
                wrong[at] ^= flip;
                assert!(Manifest::read("m", &wrong).is_err(), "byte {at} ^ {flip:02x}");
            }
        }
        (0..bytes.len()).for_each(|cut| assert!(Manifest::read("m", &bytes[..cut]).is_err()));
    }

    #[test]
    fn the_ledger_forgets_after_the_retention() {
        let mut manifest = manifest();
        let (key, received) = (manifest.ledger[0].key.clone(), manifest.newest);
        let charter = crate::charter::Charter::development();
        manifest.forget_old_feeds(&charter, received.plus(Span::from_days(119)));
        assert!(manifest.delivered(&key).is_some());
        manifest.forget_old_feeds(&charter, received.plus(Span::from_days(120)));
        assert!(manifest.delivered(&key).is_none());
    }
}
