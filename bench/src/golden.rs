//! The golden index: a small index of every kind of container, kept for each format that was ever released.
//!
//! What is in it follows from a rule, so that any version can check what it reads.

use std::path::Path;

use anyhow::{Context, Result};
use usher_index::{Batch, FeedKey, IdType, Key, LedgerLine, NoProgress, Row, Span, Time, VisitorId, Writer};

/// How many visitors: enough for a bitmap.
pub const VISITORS: u32 = 9_000;
/// The moment of the build.
pub const NOW: i64 = 1_800_000_000;
/// The key's bytes.
pub const KEY: [u8; 32] = [0x5a; 32];
/// The one source.
pub const SOURCE: &str = "golden";

/// A segment of the golden index.
pub struct Rule {
    /// Its name.
    pub segment: &'static str,
    /// Every so-manieth visitor is a member.
    pub every: u32,
    /// So many hours of life; 0: a removal.
    pub hours: u32,
}

/// A bitmap, a sparse bitmap, an Elias-Fano code, an array, removals, and a name that needs care.
pub const RULES: [Rule; 6] = [
    Rule { segment: "every.visitor", every: 1, hours: 24 },
    Rule { segment: "every.fifth", every: 5, hours: 48 },
    Rule { segment: "every.thirtieth", every: 30, hours: 24 },
    Rule { segment: "every.three-hundredth", every: 300, hours: 72 },
    Rule { segment: "gone.every.seventh", every: 7, hours: 0 },
    Rule { segment: "Œuvres & \"guillemets\" (<=50%)", every: 1_000, hours: 2 },
];

/// The id of a visitor of the golden index.
#[must_use]
pub fn visitor(number: u32) -> String {
    format!("golden-{number}")
}

/// Builds the golden index in an empty folder, its key beside it.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(dir: &Path) -> Result<()> {
    let now = Time::from_unix(NOW).context("a moment before 2106")?;
    let writer = Writer::open(dir, Key::from_bytes(KEY))?;
    let mut admission = writer.admission(SOURCE, IdType::default(), Some(now), now)?;
    let mut batch = Batch::new(SOURCE);
    for number in 0..VISITORS {
        let id = visitor(number);
        for rule in RULES.iter().filter(|rule| number % rule.every == 0) {
            let row = Row {
                visitor: VisitorId::new(&id)?,
                segment: rule.segment.into(),
                id_type: None,
                observed: None,
                ttl: Some(Span::from_secs(rule.hours * 3_600)),
                expires: None,
                remove: rule.hours == 0,
            };
            let admitted = admission.admit(&row).map_err(|refusal| anyhow::anyhow!("refused: {refusal}"))?;
            batch.push(admitted.membership);
        }
    }
    batch.finish(admission.into_segments());
    let key = FeedKey { source: SOURCE.into(), digest: "0".repeat(32), options: "golden".into() };
    let line = LedgerLine { key, received: now, report: Default::default(), outcome: None };
    writer.load(vec![(batch, line)], now, &NoProgress)?;
    std::fs::write(dir.with_extension("key"), format!("{}\n", Key::from_bytes(KEY).to_hex()))?;
    Ok(())
}
