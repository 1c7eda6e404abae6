//! The one who changes an index: holds the build lock from reading the base to the rename.

mod kept;

use std::path::Path;
use std::sync::Arc;

use crate::bars::Bars;
use crate::build::{
    Batch, DEFAULT_MEMORY_BYTES, Input, Memory, Progress, Purge, Ranking, Rows, Settled, freeze, survey,
};
use crate::charter::Charter;
use crate::containers::Policy;
use crate::error::WriteError;
use crate::files::{Draft, Folder, NamedLock, charter_name, image_name, manifest_name};
use crate::fold::{Folding, oldest_tick, veil};
use crate::id::IdType;
use crate::image::{Image, MAX_SHARD_VISITORS, Shared};
use crate::manifest::{FeedKey, ImageLine, LedgerLine, Manifest, Outcome};
use crate::membership::{Admission, Circumstances};
use crate::pseudonym::Key;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::time::{Span, TickLength, Time};

pub use kept::sweep_left;

use kept::files_of;

/// How far `now` may be from the newest time the index has seen before an explicit build wants it confirmed.
pub const MAX_CLOCK_JUMP: Span = Span::from_days(1);

/// A generation that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub generation: u64,
    /// How each feed changed the index, in the order in which they were given.
    pub outcomes: Vec<Outcome>,
    /// Visitors, live or not.
    pub visitors: u64,
    /// Entries of life > 0, dead or not.
    pub memberships: u64,
    /// Bytes of all images.
    pub bytes: u64,
    /// Entries that left: the dead that no row can lose to, and those of visitors who must stay out.
    pub purged: u64,
    /// The last batch of the live state that is in the images.
    pub folded: u64,
    /// Erasures that became veils.
    pub erasures: u64,
}

/// What others are told of a writer that did not say who it is.
const SOME_BUILD: &str = "a build";

/// Holds `LOCK.build`; dropped without a publication, it leaves the index as it was.
pub struct Writer {
    snapshot: Snapshot,
    key: Key,
    charter: Option<Charter>,
    shard_visitors: u32,
    policy: Option<Policy>,
    memory: Arc<Memory>,
    bars: Bars,
    folding: Option<Folding>,
    _lock: NamedLock,
}

impl Writer {
    /// Opens an index to change it; an absent or empty folder becomes one.
    ///
    /// # Errors
    /// When another process builds, the key is another's, it is of a newer format, or the folder cannot be written.
    pub fn open(path: &Path, key: Key) -> Result<Self, WriteError> {
        Self::open_as(path, key, SOME_BUILD)
    }

    /// [`Writer::open`]; `holder` is what others are told who want to build meanwhile, such as `usher-loader load`.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn open_as(path: &Path, key: Key, holder: &str) -> Result<Self, WriteError> {
        Self::open_with(Folder::open(path)?, key, holder)
    }

    /// [`Writer::open`] of a folder that is open.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn open_in(folder: Folder, key: Key) -> Result<Self, WriteError> {
        Self::open_with(folder, key, SOME_BUILD)
    }

    fn open_with(folder: Folder, key: Key, holder: &str) -> Result<Self, WriteError> {
        folder.create()?;
        let lock = folder.lock_build(holder)?;
        let memory = Arc::new(Memory::new(folder.path(), DEFAULT_MEMORY_BYTES));
        let snapshot = Snapshot::open_in(folder, Some(key.clone()))?;
        kept::sweep(&snapshot)?;
        let bars = Bars::new(Arc::clone(snapshot.veils()));
        let (charter, folding, policy, shard_visitors) = (None, None, None, MAX_SHARD_VISITORS);
        Ok(Self { snapshot, key, charter, shard_visitors, policy, memory, bars, folding, _lock: lock })
    }

    /// The generation that is the base.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The charter that the next generation will have.
    #[must_use]
    pub fn charter(&self) -> &Charter {
        self.charter.as_ref().unwrap_or(self.snapshot.charter())
    }

    /// Takes what the live state holds beyond the base, as it is now, and who must stay out, into the next build. When an
    /// erasure is among it, that build leaves no older generation. Once it is published, the state may
    /// [settle](State::settle).
    ///
    /// # Errors
    /// When the state cannot be read, or there is no room for its rows.
    pub fn fold(&mut self, state: &State) -> Result<(), WriteError> {
        let (folding, bars) = Folding::read(state, &self.snapshot, &self.memory)?;
        (self.folding, self.bars) = (Some(folding), bars);
        Ok(())
    }

    /// Keeps out who must stay out, without folding anything: [`State::bars`] with the veils of the base.
    pub fn bar(&mut self, bars: Bars) {
        self.bars = bars;
    }

    /// Bounds the visitors of a shard, for a machine with little memory: at least one, at most
    /// [`MAX_SHARD_VISITORS`], which is the default. Pseudonyms do not fall evenly, so of very small shards some are larger.
    pub fn limit_shards(&mut self, visitors: u32) {
        self.shard_visitors = visitors.clamp(1, MAX_SHARD_VISITORS);
    }

    /// The thresholds of container kinds that the next images will have: those set, else those of the base, else
    /// [`Policy::COMPACT`].
    #[must_use]
    pub fn policy(&self) -> Policy {
        let base = self.snapshot.shards().first().map(|shard| shard.image().header().policy);
        self.policy.or(base).unwrap_or(Policy::COMPACT)
    }

    /// Sets the thresholds of container kinds for the next images; later loads keep them.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = Some(policy);
    }

    /// Bounds the memory of the build, in bytes: at least [`MIN_MEMORY_BYTES`](crate::build::MIN_MEMORY_BYTES), by
    /// default [`DEFAULT_MEMORY_BYTES`]. Half of it is for rows; those beyond it wait in the data folder. Applies to
    /// batches made afterwards.
    pub fn limit_memory(&mut self, bytes: u64) {
        self.memory = Arc::new(Memory::new(self.snapshot.folder().path(), bytes));
    }

    /// An empty batch for the rows of a source, within the bound on memory.
    #[must_use]
    pub fn batch(&self, source: &str) -> Batch {
        Batch::within(&self.memory, source)
    }

    /// The index's time grain: fixed by the first generation, until then what the charter asks for.
    #[must_use]
    pub fn tick(&self) -> TickLength {
        self.snapshot.manifest().map_or(self.charter().house().tick, |manifest| manifest.tick)
    }

    /// Replaces the charter with the next publication. False: these bytes are in force already.
    ///
    /// # Errors
    /// When a source's life is shorter than two ticks of the index.
    pub fn adopt_charter(&mut self, charter: Charter) -> Result<bool, WriteError> {
        charter.check_tick(self.snapshot.manifest().map_or(charter.house().tick, |manifest| manifest.tick))?;
        if self.snapshot.manifest().is_some() && charter.digest() == self.snapshot.charter().digest() {
            return Ok(false);
        }
        self.charter = Some(charter);
        Ok(true)
    }

    /// Admission of one feed of a source. Rows without an observation get `as_of`, else `now`.
    ///
    /// # Errors
    /// When the charter knows no such source, or the source may not deliver such ids.
    pub fn admission(
        &self,
        source: &str,
        id_type: IdType,
        as_of: Option<Time>,
        now: Time,
    ) -> Result<Admission<'_>, WriteError> {
        let charter = self.charter();
        let Some(found) = charter.source(source) else {
            let names: Vec<String> = charter.sources().iter().map(|source| format!("`{}`", source.name)).collect();
            return Err(WriteError::UnknownSource { name: source.into(), known: names.join(", ") });
        };
        if !found.id_types.is_empty() && !found.id_types.contains(&id_type) {
            let allowed: Vec<&str> = found.id_types.iter().map(IdType::as_str).collect();
            return Err(WriteError::IdType {
                source_name: source.into(),
                id_type: id_type.to_string(),
                allowed: allowed.join(", "),
            });
        }
        let circumstances = Circumstances { id_type, observed: as_of.unwrap_or(now), now, tick: self.tick() };
        let owned = |name: &str| self.snapshot.segment(name).map(|segment| Arc::clone(&segment.source));
        Ok(Admission::new(charter, found, &self.key, owned, circumstances).barring(&self.bars))
    }

    /// The ledger's line of a feed that was taken before.
    #[must_use]
    pub fn delivered(&self, key: &FeedKey) -> Option<&LedgerLine> {
        self.snapshot.manifest().and_then(|manifest| manifest.delivered(key))
    }

    /// Folds feeds into new images and publishes them.
    ///
    /// # Errors
    /// When anything fails; then the index is as it was.
    pub fn load(
        self,
        feeds: Vec<(Batch, LedgerLine)>,
        now: Time,
        progress: &dyn Progress,
    ) -> Result<Published, WriteError> {
        let (batches, lines): (Vec<Batch>, Vec<LedgerLine>) = feeds.into_iter().unzip();
        // The first build finds out what is popular; later ones keep the ranks, so that profiles stay as they are.
        let first = self.snapshot.shards().is_empty();
        self.build(batches, lines, now, None, first, progress)
    }

    /// Builds everything anew: fresh ranks, and what may leave leaves. `confirmed`: the operator gave `now`.
    ///
    /// # Errors
    /// When anything fails, or `now` is more than a day from the newest time the index has seen and not confirmed; then
    /// the index is as it was.
    pub fn rebuild(self, now: Time, confirmed: bool, progress: &dyn Progress) -> Result<Published, WriteError> {
        if let Some(newest) = self.snapshot.manifest().map(|manifest| manifest.newest).filter(|_| !confirmed) {
            let jump = now.since(newest).max(newest.since(now));
            if jump > MAX_CLOCK_JUMP {
                let days = jump.secs() / 86_400;
                return Err(WriteError::Clock { now: now.unix(), newest: newest.unix(), days });
            }
        }
        let tick = self.tick();
        self.build(Vec::new(), Vec::new(), now, Some(tick), true, progress)
    }

    /// Publishes the charter alone: a new generation with the images of the base.
    ///
    /// # Errors
    /// When anything fails; then the index is as it was.
    pub fn publish_charter(self, now: Time) -> Result<Published, WriteError> {
        let images = self.snapshot.manifest().map_or(Vec::new(), |manifest| manifest.images.clone());
        let (visitors, memberships) = (self.snapshot.visitors(), self.snapshot.memberships());
        let bytes = images.iter().map(|image| image.bytes).sum();
        let folded = self.snapshot.manifest().map_or(0, |manifest| manifest.folded);
        let generation = self.publish(images, Vec::new(), now, None)?;
        let outcomes = Vec::new();
        Ok(Published { generation, outcomes, visitors, memberships, bytes, purged: 0, folded, erasures: 0 })
    }

    fn build(
        mut self,
        mut batches: Vec<Batch>,
        mut lines: Vec<LedgerLine>,
        now: Time,
        purge: Option<TickLength>,
        renew_ranks: bool,
        progress: &dyn Progress,
    ) -> Result<Published, WriteError> {
        let mut folding = self.folding.take();
        batches.extend(folding.iter_mut().flat_map(|folding| std::mem::take(&mut folding.batches)));
        let (shards, feeds) = (self.snapshot.shards(), batches.len());
        let ranking = Ranking::provisional(shards, &batches);
        let maps: Vec<Vec<u32>> = shards.iter().map(|shard| ranking.map(shard.names())).collect();
        let kept = if renew_ranks { 0 } else { self.snapshot.segments().len() };
        let taken = batches.iter().map(Batch::len).sum();
        progress.stage("sort", taken);
        let rows = Rows::new(batches, &ranking)?;
        progress.advance(taken);
        let lives = |tick| Purge {
            now,
            tick,
            lives: ranking.segments.iter().map(|segment| self.life_of(&segment.source)).collect(),
        };
        let purge = purge.map(lives);
        let (bars, shard_visitors) = (Some(&self.bars).filter(|bars| !bars.is_empty()), self.shard_visitors);
        let (purge, keeps_ranks) = (purge.as_ref(), !renew_ranks);
        let input = Input { shards, maps: &maps, rows: &rows, bars, purge, keeps_ranks, shard_visitors };
        let entries: u64 = shards.iter().map(|shard| shard.image().header().entries).sum();
        progress.stage("survey", entries + rows.len());
        let mut plan = survey(&input, ranking.segments.len(), feeds, progress)?;
        let (mut outcomes, purged) = (std::mem::take(&mut plan.outcomes), plan.purged);
        // What the state brought was told when it was taken.
        outcomes.truncate(lines.len());
        let Settled { segments, ranks } = ranking.settle(&plan.kept, &plan.members, kept);
        let (memberships, visitors) = (plan.memberships, plan.visitors());
        progress.stage("freeze", plan.entries);
        let shared = Shared { tick: self.tick(), segments, policy: self.policy() };
        let generation = self.next_generation()?;
        let store = |shard, image| self.store(generation, shard, image);
        let folder = self.snapshot.folder();
        let images =
            if visitors == 0 { Vec::new() } else { freeze(&input, plan, &shared, &ranks, progress, folder, store)? };
        drop(rows);
        for (line, outcome) in lines.iter_mut().zip(&outcomes) {
            line.outcome = Some(*outcome);
        }
        let bytes = images.iter().map(|image| image.bytes).sum();
        progress.stage("publish", 1);
        let before = self.snapshot.manifest().map_or(0, |manifest| manifest.folded);
        let folded = folding.as_ref().map_or(before, |folding| folding.up_to);
        let erasures = folding.as_ref().map_or(0, |folding| folding.erased.len()) as u64;
        let generation = self.publish(images, lines, now, folding)?;
        progress.advance(1);
        Ok(Published { generation, outcomes, visitors, memberships, bytes, purged, folded, erasures })
    }

    /// The life after which a dead entry of the source may leave; of a source that the charter no longer names, the
    /// longest life that it gives.
    fn life_of(&self, source: &str) -> Span {
        let charter = self.charter();
        let longest = || charter.sources().iter().map(|source| source.ttl).max().unwrap_or(Span::from_secs(0));
        charter.source(source).map_or_else(longest, |source| source.ttl)
    }

    /// The number after every manifest in the folder, damaged ones too, so that nothing is ever overwritten.
    fn next_generation(&self) -> Result<u64, WriteError> {
        let newest = self.snapshot.folder().generations()?.first().copied().unwrap_or(0);
        Ok(newest + 1)
    }

    fn store(&self, generation: u64, shard: u32, draft: Draft) -> Result<ImageLine, WriteError> {
        let folder = self.snapshot.folder();
        let (bytes, digest) = (draft.bytes(), draft.digest()?);
        let file = image_name(generation, shard, &digest);
        draft.publish(&file, true)?;
        // What the disk gives back, not what was meant to be written.
        Image::open(&folder.join(&file))?.check()?;
        Ok(ImageLine { file, bytes, digest })
    }

    fn publish(
        self,
        images: Vec<ImageLine>,
        lines: Vec<LedgerLine>,
        now: Time,
        folding: Option<Folding>,
    ) -> Result<u64, WriteError> {
        let folder = self.snapshot.folder();
        let charter = self.charter();
        let base = self.snapshot.manifest();
        let generation = self.next_generation()?;
        if let Some((digest, text)) = charter.digest().zip(charter.text()) {
            folder.publish(&charter_name(&digest), text.as_bytes(), true)?;
        }
        let (folded, veils) = match &folding {
            None => base.map_or((0, None), |base| (base.folded, base.veils.clone())),
            Some(folding) => {
                let oldest = oldest_tick(charter, self.tick(), now);
                (folding.up_to, veil(&self.snapshot, &folding.erased, &self.key, oldest, generation)?)
            }
        };
        // What is to be erased stands in the older generations: none of them is kept.
        let older = base.filter(|_| folding.is_none_or(|folding| folding.erased.is_empty()));
        let mut ledger = base.map_or(Vec::new(), |base| base.ledger.clone());
        ledger.extend(lines);
        let mut manifest = Manifest {
            generation,
            previous: older.map(|older| older.generation),
            tick: self.tick(),
            key_check: self.key.check_value(),
            charter: charter.digest(),
            newest: base.map_or(now, |base| base.newest.max(now)),
            folded,
            veils,
            images,
            ledger,
        };
        manifest.forget_old_feeds(charter, now);
        let published = folder.publish(&manifest_name(generation), &manifest.to_bytes(), false);
        published.map_err(|error| match error.source.kind() {
            std::io::ErrorKind::AlreadyExists => WriteError::Outrun { folder: folder.path().to_path_buf(), generation },
            _ => error.into(),
        })?;
        let kept: Vec<String> = std::iter::once(&manifest).chain(older).flat_map(files_of).collect();
        folder.sweep(&kept)?;
        Ok(generation)
    }
}
