//! Folding: what a build takes from the live state.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bars::Bars;
use crate::build::{Batch, Memory};
use crate::change::Change;
use crate::charter::Charter;
use crate::checksum::digest;
use crate::error::{FileError, WriteError};
use crate::files::veils_name;
use crate::id::Pid;
use crate::manifest::VeilsLine;
use crate::membership::Membership;
use crate::pseudonym::Key;
use crate::segments::{Segment, Segments};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::time::{Tick, TickLength, Time};

/// The state at one instant, as a build takes it.
pub(crate) struct Folding {
    /// The last batch of changes that is in it.
    pub(crate) up_to: u64,
    /// The rows, a batch for each source.
    pub(crate) batches: Vec<Batch>,
    /// The erasures that become veils.
    pub(crate) erased: Vec<(Pid, Tick)>,
}

impl Folding {
    /// Reads what the generation lacks, and who must stay out.
    ///
    /// # Errors
    /// When the state cannot be read, or its rows find no room.
    pub(crate) fn read(state: &State, base: &Snapshot, memory: &Arc<Memory>) -> Result<(Self, Bars), WriteError> {
        let after = base.manifest().map_or(0, |manifest| manifest.folded);
        let mut sorter = Sorter { state, memory, table: state.segments(), places: HashMap::new(), sources: Vec::new() };
        let unfolded = state.unfolded(after, Arc::clone(base.veils()), |_, change| sorter.take(change))?;
        let finish = |source: SourceRows| {
            let mut batch = source.batch;
            batch.finish(source.segments);
            batch.whole()
        };
        let batches = sorter.sources.into_iter().map(finish).collect::<Result<_, FileError>>()?;
        let erased = unfolded.bars.all_erased().collect();
        Ok((Self { up_to: unfolded.up_to.max(after), batches, erased }, unfolded.bars))
    }
}

/// Puts rows apart by source, for the build knows segments by name and a batch by source.
struct Sorter<'a> {
    state: &'a State,
    memory: &'a Arc<Memory>,
    table: Arc<Vec<Segment>>,
    /// By the state's number of a segment: which source, and the number in its batch.
    places: HashMap<u32, (usize, u32)>,
    sources: Vec<SourceRows>,
}

struct SourceRows {
    source: Arc<str>,
    segments: Segments,
    batch: Batch,
}

impl Sorter<'_> {
    fn take(&mut self, change: Change) {
        let Change::Row { pid, segment, entry } = change else { return };
        let (source, segment) = match self.places.get(&segment) {
            Some(&place) => place,
            None => self.place(segment),
        };
        self.sources[source].batch.push(Membership::admitted_before(pid, segment, entry));
    }

    fn place(&mut self, number: u32) -> (usize, u32) {
        if number as usize >= self.table.len() {
            // A name that came since: the state has it before the rows that need it.
            self.table = self.state.segments();
        }
        let Segment { name, source } = &self.table[number as usize];
        let at = self.sources.iter().position(|known| known.source == *source).unwrap_or_else(|| {
            let batch = Batch::within(self.memory, source);
            self.sources.push(SourceRows { source: Arc::clone(source), segments: Segments::default(), batch });
            self.sources.len() - 1
        });
        let place = (at, self.sources[at].segments.number(name));
        self.places.insert(number, place);
        place
    }
}

/// Writes the veils of a new generation: those of the base that a row could still come for, and the erased. Nothing is
/// written when they are those of the base.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn veil(
    base: &Snapshot,
    erased: &[(Pid, Tick)],
    key: &Key,
    oldest: Tick,
    generation: u64,
) -> Result<Option<VeilsLine>, FileError> {
    let veils = base.veils().with(key, erased.iter().copied(), oldest);
    if veils.is_empty() {
        return Ok(None);
    }
    let bytes = veils.to_bytes();
    let digest = digest(&bytes);
    let before = base.manifest().and_then(|manifest| manifest.veils.clone());
    if let Some(line) = before.filter(|line| line.digest == digest) {
        return Ok(Some(line));
    }
    let file = veils_name(generation);
    base.folder().publish(&file, &bytes, true)?;
    Ok(Some(VeilsLine { file, bytes: bytes.len() as u64, digest }))
}

/// The first tick of which a row could still come: the longest life of the charter before now.
pub(crate) fn oldest_tick(charter: &Charter, tick: TickLength, now: Time) -> Tick {
    let Some(longest) = charter.longest_ttl() else { return Tick::new(0) };
    let oldest = Time::from_unix(now.unix().saturating_sub(i64::from(longest.secs())));
    oldest.map_or(Tick::new(0), |oldest| tick.floor(oldest))
}
