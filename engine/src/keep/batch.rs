//! From the wishes that wait to one commit.

use std::collections::HashMap;
use std::sync::Arc;

use usher_index::membership::MAX_CLOCK_SKEW;
use usher_index::state::{Record, Shelf};
use usher_index::{AuditEntry, Bars, Change, Commit, Pid, Refusal, Segment, Tick, TickLength, Time};

use super::trend::audience_key;
use super::wish::{AudienceChange, Done, Rows, Wish};

/// One commit in the making.
pub(super) struct Batch<'b> {
    bars: &'b Bars,
    /// What the earlier wishes of this batch forbid.
    fresh: Bars,
    now: Time,
    tick: Tick,
    /// The latest tick that an admitted row can have been observed in.
    newest: Tick,
    pub(super) changes: Vec<Change>,
    pub(super) segments: Vec<Segment>,
    pub(super) audit: Vec<AuditEntry>,
    records: Vec<Record>,
    numbers: HashMap<Arc<str>, u32>,
}

impl<'b> Batch<'b> {
    /// Empty, at a moment; `bars` are in force.
    pub(super) fn new(bars: &'b Bars, now: Time, tick: TickLength) -> Self {
        Self {
            bars,
            fresh: Bars::default(),
            now,
            tick: tick.floor(now),
            newest: tick.floor(now.plus(MAX_CLOCK_SKEW)),
            changes: Vec::new(),
            segments: Vec::new(),
            audit: Vec::new(),
            records: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// Adds a wish. Tells what becomes of it if the batch is committed.
    pub(super) fn add(&mut self, wish: Wish) -> Done {
        match wish {
            Wish::Rows(rows) => return self.rows(&rows),
            Wish::OptOut(pid) => self.bar(Change::OptOut { pid }, "opt_out", None),
            // A provider's clock may run ahead: nothing that could be here already comes back.
            Wish::Revoke(pid) => self.bar(Change::Revoke { pid, at: self.newest }, "opt_out_revoked", None),
            Wish::Note { what, detail } => self.note(what, detail, None),
            Wish::Erase(pid, receipt) => self.bar(Change::Erase { pid, at: self.tick }, "erase", Some(receipt)),
            Wish::Audience(change) => self.audience(&change),
            Wish::Trend(records) => self.records.extend(records),
            Wish::Lookalike { name, kept } => {
                let what = if kept.is_some() { "lookalike_saved" } else { "lookalike_deleted" };
                self.note(what, name.clone(), None);
                self.records.push(Record { shelf: Shelf::Models, key: name, value: kept });
            }
        }
        Done::default()
    }

    fn bar(&mut self, change: Change, what: &str, receipt: Option<String>) {
        self.fresh.apply(change);
        self.changes.push(change);
        self.note(what, String::new(), receipt);
    }

    fn note(&mut self, what: &str, detail: String, receipt: Option<String>) {
        self.audit.push(AuditEntry { at: self.now, what: what.to_owned(), detail, receipt });
    }

    fn audience(&mut self, AudienceChange { name, audience }: &AudienceChange) {
        let what = if audience.is_some() { "audience_saved" } else { "audience_deleted" };
        let definition = audience.as_ref().map_or(String::new(), |audience| format!(" = {}", audience.definition));
        self.note(what, format!("{name}{definition}"), None);
        let value = audience.as_ref().map(|audience| audience.to_bytes());
        if value.is_none() {
            self.records.push(Record { shelf: Shelf::Trend, key: audience_key(name), value: None });
        }
        self.records.push(Record { shelf: Shelf::Audiences, key: name.to_string(), value });
    }

    fn rows(&mut self, Rows { segments, rows }: &Rows) -> Done {
        let mut done = Done::default();
        let numbers: Vec<Option<u32>> = segments.iter().map(|segment| self.number(segment)).collect();
        for &(pid, segment, entry) in rows {
            let number = numbers.get(segment as usize).copied().flatten();
            match (self.refusal(pid, entry.observed), number) {
                (Some(refusal), _) => *done.refused.entry(refusal).or_default() += 1,
                (None, None) => *done.refused.entry(Refusal::NotOwner).or_default() += 1,
                (None, Some(segment)) => {
                    self.changes.push(Change::Row { pid, segment, entry });
                    done.taken += 1;
                }
            }
        }
        done
    }

    /// What was decided while the rows waited holds for them too.
    fn refusal(&self, pid: Pid, observed: Tick) -> Option<Refusal> {
        self.fresh.refusal(pid, observed).or_else(|| self.bars.refusal(pid, observed))
    }

    /// The batch's number of a segment; `None` when another source brought it a moment ago.
    fn number(&mut self, segment: &Segment) -> Option<u32> {
        if let Some(&number) = self.numbers.get(&segment.name) {
            return (self.segments[number as usize].source == segment.source).then_some(number);
        }
        let number = self.segments.len() as u32;
        self.numbers.insert(Arc::clone(&segment.name), number);
        self.segments.push(segment.clone());
        Some(number)
    }

    /// What is to be written.
    pub(super) fn commit(&self) -> Commit<'_> {
        Commit { changes: &self.changes, segments: &self.segments, audit: &self.audit, records: &self.records }
    }
}

#[cfg(test)]
mod tests {
    use usher_index::Entry;

    use super::*;

    #[test]
    fn rows_of_who_opted_out_in_the_same_batch_stay_out() {
        let (bars, now) = (Bars::default(), Time::from_unix(1_800_000_000).unwrap());
        let (anna, ben) = (Pid::from_bytes([1; 10]), Pid::from_bytes([2; 10]));
        let mut batch = Batch::new(&bars, now, TickLength::default());
        let entry = |observed| Entry { observed: Tick::new(observed), expiry: Tick::new(600_000) };
        let segment = |name: &str, source: &str| Segment { name: name.into(), source: source.into() };
        let rows = |source: &str, observed: u32| {
            let entry = entry(observed);
            Wish::Rows(Rows { segments: vec![segment("s", source)], rows: vec![(anna, 0, entry), (ben, 0, entry)] })
        };
        assert_eq!(batch.add(rows("mag", 500_000)).taken, 2);
        batch.add(Wish::OptOut(anna));
        batch.add(Wish::Erase(ben, "r".into()));
        let done = batch.add(rows("mag", 500_000));
        assert_eq!((done.taken, done.refused[&Refusal::OptedOut], done.refused[&Refusal::Erased]), (0, 1, 1));
        let done = batch.add(rows("mag", 500_001));
        assert_eq!((done.taken, done.refused.len()), (1, 1), "observed after the erasure");
        assert_eq!(batch.add(rows("guide", 500_001)).refused[&Refusal::NotOwner], 1);
        assert_eq!((batch.changes.len(), batch.audit.len()), (5, 2));
        assert_eq!(batch.audit[1].receipt.as_deref(), Some("r"));
    }
}
