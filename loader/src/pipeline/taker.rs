//! Takes the rows of blocks into a batch: what one thread does.

use usher_index::{Admission, Batch, Refusal};

use super::Counts;
use crate::feed::{AT_ONCE, Block, Column, FeedError, Item, Malformed, Parser, Place, Record};
use crate::quarantine::{OnlyLines, Quarantined};
use crate::row::{self, Refused};

/// An admission, and the batch that its memberships go to.
pub struct Taker<'a> {
    admission: Admission<'a>,
    batch: Batch,
}

/// How blocks are to be read.
pub(super) struct Wanted<'a> {
    pub(super) parser: &'a Parser,
    /// The lines to look at, instead of all.
    pub(super) only: Option<&'a OnlyLines>,
    /// Whether the bytes of rows that are not taken are wanted.
    pub(super) rejects: bool,
}

/// What one block gave, beside memberships.
#[derive(Default)]
pub(super) struct Gleaned {
    pub(super) counts: Counts,
    /// The rows that were not taken, in order.
    pub(super) lost: Vec<Quarantined>,
    /// Their bytes, a line each, if they are wanted.
    pub(super) rejects: Vec<u8>,
    /// Why the block could not be read to its end.
    pub(super) failed: Option<FeedError>,
}

impl<'a> Taker<'a> {
    /// Rows admitted by `admission` go to `batch`, which is empty.
    #[must_use]
    pub fn new(admission: Admission<'a>, batch: Batch) -> Self {
        Self { admission, batch }
    }

    /// Takes what can be taken of a block.
    pub(super) fn take(&mut self, block: &Block, wanted: &Wanted<'_>) -> Gleaned {
        let mut gleaned = Gleaned::default();
        let ended = wanted.parser.groups(block, |items| {
            let known = self.known(items);
            for ((place, item), known) in items.iter().zip(known) {
                self.take_item(*place, item, known, wanted, &mut gleaned);
            }
            Ok(())
        });
        Gleaned { failed: ended.err(), ..gleaned }
    }

    /// Of records their segments' numbers, as far as they are known. All are looked for before the first is used: the
    /// processor waits for memory once, not for each.
    #[inline]
    fn known(&self, items: &[(Place, Item<'_>)]) -> [Option<u32>; AT_ONCE] {
        let mut known = [None; AT_ONCE];
        for (known, (_, item)) in known.iter_mut().zip(items) {
            if let Item::Record(record, _) = item {
                *known = self.admission.known(record.get(Column::Segment));
            }
        }
        known
    }

    #[inline]
    fn take_item(
        &mut self,
        place: Place,
        item: &Item<'_>,
        known: Option<u32>,
        wanted: &Wanted<'_>,
        gleaned: &mut Gleaned,
    ) {
        if wanted.only.is_some_and(|only| !only.contains(place.line)) {
            gleaned.counts.skipped += 1;
            return;
        }
        gleaned.counts.received += 1;
        let keep = |bytes| Some(bytes).filter(|_| wanted.rejects);
        match *item {
            Item::Record(ref record, bytes) => match self.admit(record, known) {
                Ok(shortened) => {
                    gleaned.counts.taken += 1;
                    gleaned.counts.shortened += u64::from(shortened);
                }
                Err(refused) => gleaned.refused(place, refused, keep(bytes)),
            },
            Item::Malformed(why, bytes) => gleaned.malformed(place, why, keep(bytes)),
            Item::BadUtf8(bytes) => gleaned.refused(place, whole_row(Refusal::BadUtf8), keep(bytes)),
            Item::TooLong => gleaned.refused(place, whole_row(Refusal::TooLong), None),
        }
    }

    #[inline]
    fn admit(&mut self, record: &Record<'_>, known: Option<u32>) -> Result<bool, Refused> {
        let row = row::read(record)?;
        let admitted = self.admission.admit_of(&row, known).map_err(Refused::by_admission)?;
        self.batch.push(admitted.membership);
        Ok(admitted.shortened)
    }

    /// Whether rows found no room.
    pub(super) fn is_full(&self) -> bool {
        self.batch.failure().is_some()
    }

    /// The finished batch.
    pub(super) fn finish(self) -> Batch {
        let Self { admission, mut batch } = self;
        batch.finish(admission.into_segments());
        batch
    }
}

fn whole_row(refusal: Refusal) -> Refused {
    Refused { refusal, column: None }
}

impl Gleaned {
    fn refused(&mut self, place: Place, refused: Refused, bytes: Option<&[u8]>) {
        let code = refused.refusal.code();
        *self.counts.refused.entry(code).or_default() += 1;
        self.keep(Quarantined { place, column: refused.column, code }, bytes);
    }

    fn malformed(&mut self, place: Place, why: Malformed, bytes: Option<&[u8]>) {
        let code = why.code();
        *self.counts.malformed.entry(code).or_default() += 1;
        self.keep(Quarantined { place, column: None, code }, bytes);
    }

    fn keep(&mut self, row: Quarantined, bytes: Option<&[u8]>) {
        self.lost.push(row);
        if let Some(bytes) = bytes {
            self.rejects.extend_from_slice(bytes);
            self.rejects.push(b'\n');
        }
    }
}
