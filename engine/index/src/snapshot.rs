//! One generation of the index, open: what a question holds from its beginning to its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::breath::{BREATH_NAMES, Stride};
use crate::charter::Charter;
use crate::error::{FileError, ImageError, OpenError};
use crate::files::{Folder, charter_name, manifest_name};
use crate::id::Pid;
use crate::image::Image;
use crate::manifest::Manifest;
use crate::pseudonym::Key;
use crate::shard::Shard;
use crate::time::TickLength;
use crate::veils::Veils;

/// How often a generation that vanished while it was opened is looked for again.
const OPEN_ATTEMPTS: u32 = 5;

/// A segment, over all shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its name.
    pub name: Arc<str>,
    /// The source that brought it.
    pub source: Arc<str>,
    /// Visitors with an entry of life > 0, dead or not.
    pub memberships: u64,
}

/// An index at one generation.
pub struct Snapshot {
    folder: Folder,
    generation: u64,
    manifest: Option<Manifest>,
    charter: Charter,
    key: Option<Key>,
    shards: Vec<Shard>,
    segments: Vec<SegmentInfo>,
    veils: Arc<Veils>,
}

impl Snapshot {
    /// Opens the newest generation whose manifest and images all verify, else the one before. An empty or absent folder
    /// is generation 0, without shards. Without a key nothing can be asked about a visitor by id.
    ///
    /// # Errors
    /// When no generation verifies, or the key is not the index's.
    pub fn open(path: &Path, key: Option<Key>) -> Result<Self, OpenError> {
        Self::open_in(Folder::open(path)?, key)
    }

    /// [`Snapshot::open`] of a folder that is open.
    ///
    /// # Errors
    /// As [`Snapshot::open`].
    pub fn open_in(folder: Folder, key: Option<Key>) -> Result<Self, OpenError> {
        let mut generations = folder.generations()?;
        for attempt in 0.. {
            let mut newest = None;
            for &generation in &generations {
                match Self::open_generation(&folder, generation, key.clone()) {
                    Ok(snapshot) => return Ok(snapshot),
                    Err(wrong @ OpenError::WrongKey { .. }) => return Err(wrong),
                    Err(error) => _ = newest.get_or_insert(error),
                }
            }
            let Some(newest) = newest else { break };
            // A loader may have published and swept away what was being opened: look again.
            let now = folder.generations()?;
            if attempt == OPEN_ATTEMPTS || now == generations {
                return Err(OpenError::NoneVerifies { folder: folder.path().to_path_buf(), newest: Box::new(newest) });
            }
            generations = now;
        }
        let (shards, segments, charter) = (Vec::new(), Vec::new(), Charter::development());
        Ok(Self { folder, generation: 0, manifest: None, charter, key, shards, segments, veils: Arc::default() })
    }

    /// Opens exactly this generation and checks every checksum of its images.
    ///
    /// # Errors
    /// When it does not verify, or the key is not the index's.
    pub fn open_generation(folder: &Folder, generation: u64, key: Option<Key>) -> Result<Self, OpenError> {
        let path = folder.join(&manifest_name(generation));
        let bytes = std::fs::read(&path).map_err(FileError::new("read", &path))?;
        let manifest = Manifest::read(&path.display().to_string(), &bytes)?;
        if let Some(found) = key.as_ref().map(Key::check_value).filter(|found| *found != manifest.key_check) {
            return Err(OpenError::WrongKey {
                folder: folder.path().to_path_buf(),
                expected: manifest.key_check,
                found,
            });
        }
        let charter = read_charter(folder, &manifest)?;
        let veils = Arc::new(read_veils(folder, &manifest, key.as_ref())?);
        let mut shards = Vec::with_capacity(manifest.images.len());
        for (number, line) in manifest.images.iter().enumerate() {
            let path = folder.join(&line.file);
            let mut image = Image::open(&path)?;
            check_place(&image, number as u32, &manifest, line.bytes)?;
            image.check()?;
            if let Some(first) = shards.first().map(Shard::image) {
                image.share_gaps(first);
            }
            shards.push(Shard::new(image));
        }
        let segments = collect_segments(&shards);
        let (folder, manifest) = (folder.clone(), Some(manifest));
        Ok(Self { folder, generation, manifest, charter, key, shards, segments, veils })
    }

    /// The highest generation that has a manifest in the folder, without opening it; 0 for none.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn newest_generation(path: &Path) -> Result<u64, OpenError> {
        Ok(Folder::open(path)?.generations()?.first().copied().unwrap_or(0))
    }

    /// Copies what every lookup reads into memory: some 60 bytes a visitor for thirty memberships each. For whoever answers
    /// lookups for a long time.
    ///
    /// # Errors
    /// When the system grants no memory; then lookups read the mapped files, as before.
    pub fn hold(&mut self) -> Result<(), FileError> {
        self.shards.iter_mut().try_for_each(Shard::hold)
    }

    /// The folder it came from.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Its number; 0 before the first build.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The manifest; `None` at generation 0.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The charter in force.
    #[must_use]
    pub fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Holds the questions of this snapshot to another charter. Nothing is written.
    pub fn set_charter(&mut self, charter: Charter) {
        self.charter = charter;
    }

    /// The time grain: that of the index, or what the charter asks for while there is none.
    #[must_use]
    pub fn tick(&self) -> TickLength {
        self.manifest.as_ref().map_or(self.charter.house().tick, |manifest| manifest.tick)
    }

    /// The pseudonym key, if one was given.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The veils of erasures; without a key there are none to be found.
    #[must_use]
    pub fn veils(&self) -> &Arc<Veils> {
        &self.veils
    }

    /// The shards; their number is a power of two, or none.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard that a pseudonym belongs to; `None` while there is none.
    #[inline]
    #[must_use]
    pub fn shard_of(&self, pid: Pid) -> Option<&Shard> {
        self.shards.get(self.shard_number(pid))
    }

    /// The number of the shard that a pseudonym belongs to.
    #[inline]
    #[must_use]
    pub fn shard_number(&self, pid: Pid) -> usize {
        pid.leading(self.shards.len().max(1).ilog2()) as usize
    }

    /// Every segment of all shards, by name.
    #[must_use]
    pub fn segments(&self) -> &[SegmentInfo] {
        &self.segments
    }

    /// The segment of this name.
    #[must_use]
    pub fn segment(&self, name: &str) -> Option<&SegmentInfo> {
        let place = self.segments.binary_search_by(|segment| (*segment.name).cmp(name));
        place.ok().map(|place| &self.segments[place])
    }

    /// Visitors of all shards, live or not.
    #[must_use]
    pub fn visitors(&self) -> u64 {
        self.shards.iter().map(|shard| u64::from(shard.visitors())).sum()
    }

    /// Entries of life > 0 of all shards, dead or not.
    #[must_use]
    pub fn memberships(&self) -> u64 {
        self.shards.iter().map(|shard| shard.image().header().memberships).sum()
    }

    /// Checks every checksum and every invariant of every image: about 20 ns a membership. `each` is told of each image.
    ///
    /// # Errors
    /// At the first that does not hold.
    pub fn verify(&self, mut each: impl FnMut(&Image)) -> Result<(), ImageError> {
        for shard in &self.shards {
            shard.image().verify()?;
            each(shard.image());
        }
        Ok(())
    }
}

fn read_charter(folder: &Folder, manifest: &Manifest) -> Result<Charter, OpenError> {
    let Some(digest) = &manifest.charter else { return Ok(Charter::development()) };
    let path = folder.join(&charter_name(digest));
    let file = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(FileError::new("read", &path))?;
    let found = crate::checksum::digest(text.as_bytes());
    if found != *digest {
        let (expected, section) = (format!("digest {digest}"), "charter");
        return Err(ImageError::Damaged { file, section, offset: 0, expected, found }.into());
    }
    Charter::parse(&text).map_err(|source| OpenError::Charter { file, source })
}

/// Reads the veils that the manifest names. Without a key their bytes are checked all the same.
fn read_veils(folder: &Folder, manifest: &Manifest, key: Option<&Key>) -> Result<Veils, OpenError> {
    let Some(line) = &manifest.veils else { return Ok(Veils::default()) };
    let path = folder.join(&line.file);
    let file = path.display().to_string();
    let bytes = std::fs::read(&path).map_err(FileError::new("read", &path))?;
    let found = (bytes.len() as u64, crate::checksum::digest(&bytes));
    if (found.0, &found.1) != (line.bytes, &line.digest) {
        let (expected, found) = (format!("{} bytes of digest {}", line.bytes, line.digest), format!("{found:?}"));
        return Err(ImageError::Damaged { file, section: "veils", offset: 0, expected, found }.into());
    }
    Ok(key.map_or(Ok(Veils::default()), |key| Veils::read(&file, &bytes, key))?)
}

/// An image must be the shard that the manifest takes it for.
fn check_place(image: &Image, shard: u32, manifest: &Manifest, bytes: u64) -> Result<(), ImageError> {
    let header = image.header();
    let expected = (shard, manifest.images.len().ilog2(), manifest.tick, bytes);
    let found = (header.shard, header.geometry.shard_bits, header.tick, image.len());
    if found == expected {
        return Ok(());
    }
    Err(ImageError::Damaged {
        file: image.file().to_owned(),
        section: "header",
        offset: 0,
        expected: format!("shard, shard bits, tick and bytes {expected:?}, as the manifest says"),
        found: format!("{found:?}"),
    })
}

fn collect_segments(shards: &[Shard]) -> Vec<SegmentInfo> {
    let mut segments: BTreeMap<&str, SegmentInfo> = BTreeMap::new();
    let mut stride = Stride::new(BREATH_NAMES);
    for shard in shards {
        let names = shard.image().names();
        for ((name, source), members) in names.names().iter().zip(names.sources()).zip(shard.image().members()) {
            stride.step();
            let fresh = || SegmentInfo { name: Arc::clone(name), source: Arc::clone(source), memberships: 0 };
            segments.entry(name).or_insert_with(fresh).memberships += u64::from(members);
        }
    }
    segments.into_values().collect()
}
