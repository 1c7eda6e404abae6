//! Where do these visitors belong, many at a time: the memory accesses of a group of lookups overlap.

use crate::error::ImageError;
use crate::id::Pid;
use crate::image::{Image, Search};
use crate::mmap::prefetch;
use crate::profiles::ProfileBytes;
use crate::snapshot::Snapshot;
use crate::time::Tick;

/// Lookups under way at once: enough to hide a memory access behind the others, few enough to stay in the first cache.
pub const GROUP: usize = 16;

/// Looks visitors up, again and again: the memory to work in is kept. Nothing is allocated after the longest profile.
#[derive(Debug, Default)]
pub struct Lookups {
    codes: Vec<bool>,
    live: Vec<u32>,
}

impl Lookups {
    /// The ranks, in the visitor's shard, of the segments in which the visitor is live at `now`, ascending; none for an
    /// unknown visitor. Time: a read of the directory, one of a record, and decoding the entries.
    ///
    /// # Errors
    /// When the image is damaged.
    #[inline]
    pub fn one(&mut self, snapshot: &Snapshot, pid: Pid, now: Tick) -> Result<&[u32], ImageError> {
        self.live.clear();
        if let Some(shard) = snapshot.shard_of(pid) {
            let image = shard.image();
            let search = Search::begin(image, pid)?;
            search.prefetch_all();
            if let Some((_, profile)) = search.find()? {
                image.live(profile, now, &mut self.codes, &mut self.live)?;
            }
        }
        Ok(&self.live)
    }

    /// The same for many: calls `each` with the place of every visitor in `pids`, in order, and the ranks. Faster than
    /// one after the other when the index is larger than the caches.
    ///
    /// # Errors
    /// When an image is damaged; the visitors before have been answered then.
    pub fn many(
        &mut self,
        snapshot: &Snapshot,
        pids: &[Pid],
        now: Tick,
        mut each: impl FnMut(usize, &[u32]),
    ) -> Result<(), ImageError> {
        for (number, group) in pids.chunks(GROUP).enumerate() {
            let found = find(snapshot, group)?;
            for (place, profile) in found.iter().take(group.len()).enumerate() {
                self.live.clear();
                if let Some((image, profile)) = *profile {
                    image.live(profile, now, &mut self.codes, &mut self.live)?;
                }
                each(number * GROUP + place, &self.live);
            }
        }
        Ok(())
    }
}

type Found<'s> = Option<(&'s Image, ProfileBytes<'s>)>;

/// The profiles of a group, with their first lines on the way to the cache. Each stage is a loop of its own, and no
/// access of a stage depends on another of the same stage.
fn find<'s>(snapshot: &'s Snapshot, group: &[Pid]) -> Result<[Found<'s>; GROUP], ImageError> {
    let shards = || group.iter().filter_map(|&pid| Some((snapshot.shard_of(pid)?.image(), pid)));
    shards().for_each(|(image, pid)| Search::announce(image, pid));
    let mut searches: [Option<(&'s Image, Search<'s>)>; GROUP] = [None; GROUP];
    for (search, &pid) in searches.iter_mut().zip(group) {
        if let Some(shard) = snapshot.shard_of(pid) {
            let begun = Search::begin(shard.image(), pid)?;
            begun.prefetch();
            *search = Some((shard.image(), begun));
        }
    }
    let mut found: [Found<'s>; GROUP] = [None; GROUP];
    for (found, search) in found.iter_mut().zip(&searches) {
        if let Some((image, search)) = search {
            *found = search.find()?.map(|(_, profile)| (*image, profile));
            if let Some((_, profile)) = found {
                prefetch(profile.tail, profile.length);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Batch, NoProgress};
    use crate::id::{IdType, VisitorId};
    use crate::manifest::{FeedKey, LedgerLine};
    use crate::membership::Row;
    use crate::pseudonym::Key;
    use crate::time::{Span, Time};
    use crate::writer::Writer;

    const HOUR: u32 = 3_600;
    const VISITORS: u64 = 3_000;

    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    fn at(hours: u32) -> Time {
        Time::from_unix(i64::from((400_000 + hours) * HOUR)).expect("in range")
    }

    fn pid(key: &Key, number: u64) -> Pid {
        key.pid(&IdType::default(), VisitorId::new(&format!("v{number}")).expect("short"))
    }

    /// Visitors of 1 to 40 entries of 0 to 5 hours each, in four shards.
    fn index(dir: &std::path::Path, key: &Key, dice: &mut Dice) -> Snapshot {
        let mut writer = Writer::open(dir, key.clone()).expect("free");
        writer.limit_shards(VISITORS as u32 / 3);
        let mut admission = writer.admission("s", IdType::default(), None, at(0)).expect("development");
        let mut batch = Batch::new("s");
        for visitor in 0..VISITORS {
            for _ in 0..=dice.below(40) {
                let (visitor, segment) = (format!("v{visitor}"), format!("seg{}", dice.below(900)));
                let hours = dice.below(6) as u32;
                let row = Row {
                    visitor: VisitorId::new(&visitor).expect("short"),
                    segment: segment.as_str().into(),
                    id_type: None,
                    observed: None,
                    ttl: Some(Span::from_secs(hours * HOUR)),
                    expires: None,
                    remove: hours == 0,
                };
                batch.push(admission.admit(&row).expect("admitted").membership);
            }
        }
        batch.finish(admission.into_segments());
        let feed = FeedKey { source: "s".into(), digest: "0".into(), options: String::new() };
        let line = LedgerLine { key: feed, received: at(0), report: serde_json::Value::Null, outcome: None };
        writer.load(vec![(batch, line)], at(0), &NoProgress).expect("published");
        Snapshot::open(dir, Some(key.clone())).expect("whole")
    }

    #[test]
    fn many_at_a_time_are_answered_as_one_by_one_and_as_their_entries_say() {
        let (dir, key, mut dice) = (tempfile::tempdir().expect("room"), Key::from_bytes([9; 32]), Dice(5));
        let snapshot = index(dir.path(), &key, &mut dice);
        assert!(snapshot.shards().len() >= 4);
        let (mut one, mut many, mut seen) = (Lookups::default(), Lookups::default(), [0u32; 3]);
        for size in (0..=2 * GROUP + 1).chain([100, 1_000, 3_000]) {
            // A third of the numbers are nobody's.
            let pids: Vec<Pid> = (0..size).map(|_| pid(&key, dice.below(VISITORS * 3 / 2))).collect();
            let now = snapshot.tick().floor(at(dice.below(7) as u32));
            let mut next = 0;
            let mut check = |place: usize, ranks: &[u32]| {
                assert_eq!(place, next);
                next += 1;
                let shard = snapshot.shard_of(pids[place]).expect("a shard for everybody");
                let mut expected = Vec::new();
                let each = |rank, entry: crate::Entry| {
                    if entry.live(now) {
                        expected.push(rank);
                    }
                };
                let known = shard.lookup(pids[place], each).expect("whole");
                assert_eq!(ranks, expected);
                assert_eq!(one.one(&snapshot, pids[place], now).expect("whole"), expected);
                seen[if !known { 0 } else { 1 + usize::from(expected.is_empty()) }] += 1;
            };
            many.many(&snapshot, &pids, now, &mut check).expect("whole");
            assert_eq!(next, size);
        }
        assert!(seen.iter().all(|&cases| cases > 100), "unknown, live and dead visitors: {seen:?}");
    }

    #[test]
    fn an_index_without_shards_knows_nobody() {
        let dir = tempfile::tempdir().expect("room");
        let snapshot = Snapshot::open(dir.path(), None).expect("empty");
        let (mut lookups, nobody, now) = (Lookups::default(), Pid::from_bits(7), snapshot.tick().floor(at(0)));
        assert!(lookups.one(&snapshot, nobody, now).expect("empty").is_empty());
        let mut answered = 0;
        lookups.many(&snapshot, &[nobody; 3], now, |_, ranks| answered += 1 + ranks.len()).expect("empty");
        assert_eq!(answered, 3);
    }
}
