//! The first walk of a build: counts, so that shards, tables and ranks are known before anything is written.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::bars::Bars;
use crate::error::WriteError;
use crate::image::MAX_SHARD_VISITORS;
use crate::manifest::Outcome;
use crate::shard::Shard;
use crate::times::TimesBuilder;

use super::codes::EntryCodes;
use super::join::{Join, Kept, Part, Verdict, Visitor};
use super::rows::Rows;
use super::stayed::Stayed;
use super::{Progress, Purge};

/// The fewest parts in which a build walks, as a power of two: enough for every core to have some.
const MIN_PART_BITS: u32 = 4;
/// Parts are smaller than shards by this power of two: pseudonyms do not fall quite evenly.
const SPARE_PART_BITS: u32 = 2;
/// The most parts, as a power of two.
const MAX_PART_BITS: u32 = 16;
/// More bytes than a visitor's remainder and lengths take in a record.
const VISITOR_BYTES: u64 = 20;
/// More bytes than an entry's code and gap take in a profile.
const ENTRY_BYTES: u64 = 14;

/// What the survey found in one part.
pub struct PartSurvey {
    visitors: u64,
    entries: u64,
    /// Entries of life > 0.
    memberships: u64,
    /// The times of the part.
    pub times: TimesBuilder,
    /// Entries of each provisional rank, but for visitors who stay as they are.
    kept: Vec<u64>,
    /// Those of life > 0.
    members: Vec<u64>,
    outcomes: Vec<Outcome>,
    purged: u64,
}

/// What the survey found in all.
pub struct Plan {
    /// The parts, as a power of two; each shard is a whole number of them.
    pub part_bits: u32,
    /// The shards, as a power of two.
    pub shard_bits: u32,
    /// The parts, in order.
    pub parts: Vec<PartSurvey>,
    /// Entries of each provisional rank; of ranks that stay, not all are counted.
    pub kept: Vec<u64>,
    /// Those of life > 0.
    pub members: Vec<u64>,
    /// Entries of all ranks.
    pub entries: u64,
    /// Those of life > 0.
    pub memberships: u64,
    /// How each feed changed the index.
    pub outcomes: Vec<Outcome>,
    /// Entries that left.
    pub purged: u64,
}

/// What a build joins.
pub struct Input<'a> {
    /// The present images.
    pub shards: &'a [Shard],
    /// The provisional rank of each rank, by shard.
    pub maps: &'a [Vec<u32>],
    /// The new rows.
    pub rows: &'a Rows,
    /// Who must stay out.
    pub bars: Option<&'a Bars>,
    /// What leaves.
    pub purge: Option<&'a Purge>,
    /// Whether present segments keep their ranks, so that visitors of whom nothing new came may be left as they are.
    pub keeps_ranks: bool,
    /// The most visitors of a shard, at most [`crate::image::MAX_SHARD_VISITORS`].
    pub shard_visitors: u32,
}

/// Walks the join and counts.
///
/// # Errors
/// When an image is damaged, or the index would go beyond the bounds of the format.
pub fn survey(input: &Input<'_>, segments: usize, feeds: usize, progress: &dyn Progress) -> Result<Plan, WriteError> {
    let present: u64 = input.shards.iter().map(|shard| u64::from(shard.visitors())).sum();
    let at_most = present + input.rows.visitors();
    let needed = at_most.div_ceil(u64::from(input.shard_visitors)).max(1).next_power_of_two().ilog2() + SPARE_PART_BITS;
    let part_bits = needed.max(input.shards.len().max(1).ilog2()).clamp(MIN_PART_BITS, MAX_PART_BITS);
    let parts = (0..1u32 << part_bits).into_par_iter();
    let parts = parts.map(|number| survey_part(input, Part { number, bits: part_bits }, segments, feeds, progress));
    let parts: Vec<PartSurvey> = parts.collect::<Result<_, WriteError>>()?;
    let shard_bits = shard_bits(&parts, part_bits, u64::from(input.shard_visitors))?;
    let mut plan = Plan {
        part_bits,
        shard_bits,
        kept: vec![0; segments],
        members: vec![0; segments],
        entries: 0,
        memberships: 0,
        outcomes: vec![Outcome::default(); feeds],
        purged: 0,
        parts: Vec::new(),
    };
    for part in &parts {
        add(&mut plan.kept, &part.kept);
        add(&mut plan.members, &part.members);
        plan.entries += part.entries;
        plan.memberships += part.memberships;
        plan.purged += part.purged;
        for (sum, outcome) in plan.outcomes.iter_mut().zip(&part.outcomes) {
            sum.new += outcome.new;
            sum.renewed += outcome.renewed;
            sum.unchanged += outcome.unchanged;
            sum.removed += outcome.removed;
        }
    }
    plan.parts = parts;
    Ok(plan)
}

impl PartSurvey {
    /// How many visitors the part will have.
    #[must_use]
    pub fn visitors(&self) -> u64 {
        self.visitors
    }
}

impl Plan {
    /// How many visitors all shards will have.
    #[must_use]
    pub fn visitors(&self) -> u64 {
        self.parts.iter().map(PartSurvey::visitors).sum()
    }
}

fn add(sums: &mut [u64], numbers: &[u64]) {
    sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
}

fn parts_of(shard: u32, shard_bits: u32, part_bits: u32) -> std::ops::Range<usize> {
    let per_shard = 1usize << (part_bits - shard_bits);
    shard as usize * per_shard..(shard as usize + 1) * per_shard
}

/// The fewest shards of which none goes beyond the bounds; the most there can be when a bound below the format's cannot be
/// kept, since pseudonyms do not fall evenly.
fn shard_bits(parts: &[PartSurvey], part_bits: u32, bound: u64) -> Result<u32, WriteError> {
    let worst = |bits: u32| {
        let shards = (0..1u32 << bits).map(|shard| &parts[parts_of(shard, bits, part_bits)]);
        let sums = shards.map(|parts| parts.iter().fold((0, 0), |(v, e), part| (v + part.visitors, e + part.entries)));
        sums.fold((0, 0), |worst: (u64, u64), sum| {
            (worst.0.max(sum.0), worst.1.max(sum.0 * VISITOR_BYTES + sum.1 * ENTRY_BYTES))
        })
    };
    let fits = |bits: u32, bound: u64| {
        let (visitors, bytes) = worst(bits);
        visitors <= bound && bytes <= u64::from(u32::MAX)
    };
    let format = u64::from(MAX_SHARD_VISITORS);
    let most = || Some(part_bits).filter(|&bits| fits(bits, format));
    (0..=part_bits).find(|&bits| fits(bits, bound)).or_else(most).ok_or_else(|| WriteError::Bound {
        what: "visitors of a shard",
        found: worst(part_bits).0,
        bound: format,
    })
}

fn survey_part(
    input: &Input<'_>,
    part: Part,
    segments: usize,
    feeds: usize,
    progress: &dyn Progress,
) -> Result<PartSurvey, WriteError> {
    let mut found = PartSurvey {
        visitors: 0,
        entries: 0,
        memberships: 0,
        times: TimesBuilder::default(),
        kept: vec![0; segments],
        members: Vec::new(),
        outcomes: Vec::new(),
        purged: 0,
    };
    let mut join = Join::new(input, part)?;
    let mut outcomes = vec![Outcome::default(); feeds];
    let mut fate = |feed: u16, verdict: Verdict| {
        let outcome = &mut outcomes[usize::from(feed)];
        match verdict {
            Verdict::New => outcome.new += 1,
            Verdict::Renewed => outcome.renewed += 1,
            Verdict::Unchanged => outcome.unchanged += 1,
            Verdict::Removed => outcome.removed += 1,
        }
    };
    let (mut times, mut removals) = (EntryCodes::default(), vec![0; segments]);
    let mut stayed = Stayed::new(input.shards);
    while let Some(Visitor { kept, .. }) = join.next(&mut fate)? {
        found.visitors += 1;
        let entries = match kept {
            Kept::Same(same) => {
                found.entries += stayed.note(same, &mut times)?;
                continue;
            }
            Kept::Entries(entries) => entries,
        };
        found.entries += entries.len() as u64;
        for &(rank, entry) in entries {
            times.code(entry);
            found.kept[rank as usize] += 1;
            if entry.is_removal() {
                removals[rank as usize] += 1;
            }
        }
    }
    stayed.finish(&mut times);
    times.finish().iter().for_each(|&entry| found.times.note(entry));
    found.memberships = found.entries - removals.iter().sum::<u64>() - stayed.removals;
    found.members = found.kept.iter().zip(&removals).map(|(kept, removals): (&u64, &u64)| kept - removals).collect();
    found.purged = join.purged;
    found.outcomes = outcomes;
    progress.advance(found.entries);
    Ok(found)
}
