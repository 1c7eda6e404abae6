//! `usher-bench damage`: bytes of the samples' index are flipped and cut off; each damage must be refused when the index
//! is opened, naming the part, or change no answer.

pub mod live;

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use usher_index::checksum::checksum;
use usher_index::files::manifest_name;
use usher_index::image::{HEADER_BYTES, SECTION_ALIGNMENT, Section, TRAILER_BYTES};
use usher_index::{Bits, IdType, Key, Op, Snapshot, Tick, VisitorId};

use crate::questions::Town;
use crate::rng::Rng;
use crate::samples;
use crate::theatre::{SEED, feeds};
use crate::victim::{load, text};

/// The moment of the loads.
const NOW: &str = "1790000000";
/// File, source, and what the loader needs beside them.
const FEEDS: [(&str, &str, &[&str]); 4] = [
    ("citymag.csv", "citymag", &[]),
    ("seatfinder.jsonl", "seatfinder", &[]),
    ("cityguide.tsv.gz", "cityguide", &["--columns", "visitor,segment,ttl"]),
    ("spectators.csv", "crm", &[]),
];
/// Bytes of a section's row in the trailer: offset, length, checksum.
const ROW_BYTES: usize = 24;

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Flips and cuts that were refused when the index was opened.
    pub refused: u64,
    /// Flips that changed no answer.
    pub harmless: u64,
    /// Flips whose checksums were made to fit and that were refused all the same, here or at a question.
    pub forged_refused: u64,
    /// Such flips that gave some answer; never a panic.
    pub forged_answered: u64,
    /// What came of damage to the live state and the veils.
    pub live: live::Live,
}

/// The samples' index, one generation, in files that may be written.
struct Site {
    dir: TempDir,
    key: Key,
    visitors: Vec<String>,
    image: PathBuf,
    bytes: Vec<u8>,
    ranges: Vec<(&'static str, Range<usize>)>,
    expected: u64,
}

/// Flips every bit of the manifest, of the image's header and trailer, a bit of every byte of the directory, of `flips`
/// other places, cuts the image at every section and at random places, and flips `flips` places with checksums that fit.
///
/// # Errors
/// At the first panic, wrong answer or message that does not name the part; or when files cannot be written.
pub fn run(flips: u32, seed: u64, out: &mut dyn Write) -> Result<Tally> {
    let site = Site::new()?;
    let mut rng = Rng::new(seed);
    let mut tally = Tally::default();
    let context = || format!("violation: seed {seed}");
    let size = site.bytes.len();
    site.flip_manifest(&mut tally).with_context(context)?;
    let manifest = tally.refused;
    let exhaustive = [0..HEADER_BYTES, size - TRAILER_BYTES..size];
    for at in exhaustive.into_iter().flatten() {
        (0..8).try_for_each(|bit| site.flip(at, 1 << bit, &mut tally)).with_context(context)?;
    }
    for at in site.range(Section::Directory) {
        site.flip(at, 1 << rng.below(8), &mut tally).with_context(context)?;
    }
    let certain = tally.clone();
    for _ in 0..flips {
        let at = HEADER_BYTES + rng.index(size - HEADER_BYTES - TRAILER_BYTES);
        site.flip(at, 1 << rng.below(8), &mut tally).with_context(context)?;
    }
    let random = tally.clone();
    let cuts = site.cut(&mut rng, flips / 10, &mut tally).with_context(context)?;
    for _ in 0..flips {
        site.forge(rng.index(size), 1 << rng.below(8), &mut tally).with_context(context)?;
    }
    writeln!(out, "seed {seed}; an image of {size} bytes")?;
    writeln!(out, "every bit of the manifest: {manifest} flips, all refused")?;
    let directory = site.range(Section::Directory).len();
    writeln!(
        out,
        "every bit of header and trailer, every byte of the directory ({directory}): {} refused, {} harmless",
        certain.refused - manifest,
        certain.harmless
    )?;
    let (refused, harmless) = (random.refused - certain.refused, random.harmless - certain.harmless);
    writeln!(out, "random places of the body: {refused} refused, {harmless} harmless (padding)")?;
    writeln!(out, "cut or lengthened: {cuts}, all refused")?;
    let Tally { forged_refused, forged_answered, .. } = tally;
    writeln!(out, "with checksums that fit: {forged_refused} refused, {forged_answered} answered, 0 panics")?;
    writeln!(out, "wrong answers: 0; panics: 0")?;
    tally.live = live::run(flips, seed, out).with_context(context)?;
    Ok(tally)
}

/// The samples loaded into `dir/data`, four generations, of which two are kept.
///
/// # Errors
/// When the loader fails.
pub fn load_samples(dir: &Path) -> Result<PathBuf> {
    let data = dir.join("data");
    samples::write(SEED, dir, &mut std::io::sink())?;
    let charter = dir.join("charter.toml");
    for (file, source, more) in FEEDS {
        let file = dir.join(file);
        let args = ["load", text(&file)?, "--data", text(&data)?, "--source", source, "--now", NOW];
        load(&[&args, ["--charter", text(&charter)?].as_slice(), more].concat())?;
    }
    Ok(data)
}

impl Site {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("usher-damage-").tempdir()?;
        let data = load_samples(dir.path())?;
        let key = Key::from_hex(fs::read_to_string(data.with_extension("key"))?.trim())?;
        let generation = Snapshot::newest_generation(&data)?;
        let snapshot = Snapshot::open(&data, None)?;
        let [line] = &*snapshot.manifest().map_or(Vec::new(), |manifest| manifest.images.clone()) else {
            bail!("expected one image");
        };
        let image = data.join(&line.file);
        // Nothing to fall back to: what is refused must be an error.
        fs::remove_file(data.join(manifest_name(generation - 1)))?;
        for path in [&image, &data.join(manifest_name(generation))] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o640))?;
        }
        let bytes = fs::read(&image)?;
        let ranges = ranges(&bytes)?;
        let feeds = feeds(SEED);
        let visitors = Town::admit(&feeds).everyone().iter().map(|visitor| (*visitor).to_owned()).collect();
        let mut site = Self { dir, key, visitors, image, bytes, ranges, expected: 0 };
        site.expected = site.answers(&snapshot)?;
        Ok(site)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn range(&self, section: Section) -> Range<usize> {
        self.ranges.iter().find(|(name, _)| *name == section.name()).map_or(0..0, |(_, range)| range.clone())
    }

    /// A digest of all lookups, and of the members of every segment at three moments.
    fn answers(&self, snapshot: &Snapshot) -> Result<u64> {
        let mut seen = Vec::new();
        for visitor in self.visitors.iter().map(String::as_str).chain(["nobody", "somebody"]) {
            let pid = self.key.pid(&IdType::default(), VisitorId::new(visitor)?);
            let Some(shard) = snapshot.shard_of(pid) else { continue };
            let known = shard.lookup(pid, |rank, entry| {
                seen.extend(rank.to_le_bytes());
                seen.extend(entry.observed.get().to_le_bytes());
                seen.extend(entry.expiry.get().to_le_bytes());
            })?;
            seen.push(u8::from(known));
        }
        for segment in snapshot.segments() {
            seen.extend(segment.name.as_bytes());
            seen.extend(segment.memberships.to_le_bytes());
        }
        for shard in snapshot.shards() {
            let base = shard.image().header().time_base.get();
            for ahead in [0, 24 * 10, 24 * 45] {
                let sweep = shard.at(Tick::new(base.saturating_add(ahead)))?;
                for (block, rank) in
                    (0..shard.blocks()).flat_map(|block| (0..shard.names().len()).map(move |r| (block, r)))
                {
                    let mut bits = Bits::empty();
                    shard.members(block, rank as u32, &sweep, &mut bits, Op::Or)?;
                    seen.extend(bits.count().to_le_bytes());
                }
            }
        }
        Ok(checksum(&seen))
    }

    /// What an index that is damaged now says: `Some(message)` when it is refused, `None` when all answers are right.
    fn judge(&self) -> Result<Option<String>> {
        let seen = catch_unwind(AssertUnwindSafe(|| match Snapshot::open(&self.data(), Some(self.key.clone())) {
            Ok(snapshot) => self.answers(&snapshot).map(|answers| (answers != self.expected).then_some(None)),
            Err(error) => Ok(Some(Some(error.to_string()))),
        }));
        match seen {
            Err(_) => bail!("a panic"),
            Ok(Err(error)) => Err(error.context("opened, and a question failed")),
            Ok(Ok(Some(None))) => bail!("opened, and an answer is wrong"),
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Ok(None),
        }
    }

    fn flip_manifest(&self, tally: &mut Tally) -> Result<()> {
        let path = self.data().join(manifest_name(Snapshot::newest_generation(&self.data())?));
        let (bytes, file) = (fs::read(&path)?, File::options().write(true).open(&path)?);
        for (at, byte) in bytes.iter().enumerate() {
            for bit in 0..8 {
                file.write_all_at(&[byte ^ 1 << bit], at as u64)?;
                let message = self.judge().with_context(|| format!("bit {bit} of byte {at} of the manifest"))?;
                let message = message.with_context(|| format!("byte {at} of the manifest went unnoticed"))?;
                let said = message.contains("damaged") || message.contains("format");
                ensure!(said && message.contains("manifest."), "byte {at} of the manifest: {message}");
                tally.refused += 1;
            }
            file.write_all_at(&[*byte], at as u64)?;
        }
        Ok(())
    }

    /// The part of the image that a byte belongs to; `None` for padding.
    fn part(&self, at: usize) -> Option<&'static str> {
        match at {
            _ if at < HEADER_BYTES => Some("header"),
            _ if at >= self.bytes.len() - TRAILER_BYTES => Some("trailer"),
            _ => self.ranges.iter().find(|(_, range)| range.contains(&at)).map(|(name, _)| *name),
        }
    }

    fn flip(&self, at: usize, mask: u8, tally: &mut Tally) -> Result<()> {
        let file = File::options().write(true).open(&self.image)?;
        file.write_all_at(&[self.bytes[at] ^ mask], at as u64)?;
        let judged = self.judge().with_context(|| format!("byte {at} ^ {mask:#04x}, {:?}", self.part(at)));
        file.write_all_at(&[self.bytes[at]], at as u64)?;
        match (judged?, self.part(at)) {
            (None, None) => tally.harmless += 1,
            (Some(message), Some(part)) => {
                let newer = part == "header" && message.contains("is of format");
                ensure!(newer || message.contains(&format!("is damaged: {part}")), "byte {at} of {part}: {message}");
                tally.refused += 1;
            }
            (Some(message), None) => bail!("byte {at} is padding: {message}"),
            (None, Some(part)) => bail!("byte {at} of {part} went unnoticed"),
        }
        Ok(())
    }

    /// Cuts at every boundary and at random places, and lengthens by one and by a whole section's alignment.
    fn cut(&self, rng: &mut Rng, random: u32, tally: &mut Tally) -> Result<u64> {
        let size = self.bytes.len();
        let mut lengths = vec![0, 1, HEADER_BYTES - 1, HEADER_BYTES, size - TRAILER_BYTES, size - 1, size + 1];
        lengths.extend(self.ranges.iter().flat_map(|(_, range)| [range.start, range.end]).filter(|cut| *cut < size));
        lengths.push(size + SECTION_ALIGNMENT);
        lengths.extend((0..random).map(|_| rng.index(size)));
        for &length in &lengths {
            let mut bytes = self.bytes.clone();
            bytes.resize(length, 0);
            fs::write(&self.image, &bytes)?;
            let judged = self.judge().with_context(|| format!("cut to {length} bytes"));
            fs::write(&self.image, &self.bytes)?;
            let message = judged?.with_context(|| format!("a cut to {length} of {size} bytes went unnoticed"))?;
            ensure!(message.contains("damaged"), "cut to {length} bytes: {message}");
            tally.refused += 1;
        }
        Ok(lengths.len() as u64)
    }

    /// A flip whose checksums are made to fit. Such bytes may answer anything, but nothing may panic.
    fn forge(&self, at: usize, mask: u8, tally: &mut Tally) -> Result<()> {
        let mut bytes = self.bytes.clone();
        bytes[at] ^= mask;
        let (header_sum, trailer) = (HEADER_BYTES - 8, bytes.len() - TRAILER_BYTES);
        let sum = checksum(&bytes[..header_sum]).to_le_bytes();
        bytes[header_sum..HEADER_BYTES].copy_from_slice(&sum);
        for (number, (_, range)) in self.ranges.iter().enumerate() {
            let (sum, row) = (checksum(&bytes[range.clone()]).to_le_bytes(), trailer + number * ROW_BYTES);
            bytes[row + 16..row + ROW_BYTES].copy_from_slice(&sum);
        }
        let table = trailer + self.ranges.len() * ROW_BYTES;
        let sum = checksum(&bytes[trailer..table]).to_le_bytes();
        bytes[table..table + 8].copy_from_slice(&sum);
        fs::write(&self.image, &bytes)?;
        let seen = catch_unwind(AssertUnwindSafe(|| {
            let snapshot = Snapshot::open(&self.data(), Some(self.key.clone()))?;
            let (verified, answered) = (snapshot.verify(|_| {}).is_ok(), self.answers(&snapshot));
            answered.map(|_| verified)
        }));
        fs::write(&self.image, &self.bytes)?;
        match seen {
            Err(_) => bail!("a panic at byte {at} ^ {mask:#04x}, {:?}, with checksums that fit", self.part(at)),
            Ok(Err(_)) => tally.forged_refused += 1,
            Ok(Ok(_)) => tally.forged_answered += 1,
        }
        Ok(())
    }
}

/// Where the sections lie, as the trailer of FORMAT.md says.
fn ranges(image: &[u8]) -> Result<Vec<(&'static str, Range<usize>)>> {
    let start = image.len().checked_sub(TRAILER_BYTES).context("an image without a trailer")?;
    let number = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 8).context("a cut trailer")?;
        Ok(usize::try_from(u64::from_le_bytes(bytes.try_into()?))?)
    };
    let range = |(row, section): (usize, &Section)| {
        let at = start + row * ROW_BYTES;
        let (offset, length) = (number(at)?, number(at + 8)?);
        Ok((section.name(), offset..offset + length))
    };
    Section::ALL.iter().enumerate().map(range).collect()
}
