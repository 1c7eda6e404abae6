//! The times of a present image in the codes of one being written, for profiles that are copied.

use crate::entry::Entry;
use crate::time::Tick;
use crate::times::{TimeCodes, Times};

/// What a code of the present image becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recoded {
    /// The code in the new image.
    pub(super) code: u64,
    /// When it ends; the end of all time for a removal.
    pub(super) end: Tick,
    /// Whether it is an entry of no life.
    pub(super) is_removal: bool,
}

/// The way from the codes of one image to those of another.
pub struct Recode<'a>(Way<'a>);

enum Way<'a> {
    /// By code.
    Pairs(Vec<Recoded>),
    /// Too many pairs for a list: each is looked up.
    Split(&'a Times, &'a TimeCodes),
}

impl<'a> Recode<'a> {
    /// From the table of times of an image to the codes of another. Linear in the pairs of a table.
    ///
    /// What the other does not know gets some code: it must not occur in what is copied.
    #[must_use]
    pub fn new(times: &'a Times, codes: &'a TimeCodes) -> Self {
        Self(match times {
            Times::Pairs(pairs) => Way::Pairs(pairs.iter().map(|&entry| Recoded::new(entry, codes)).collect()),
            Times::Split { .. } => Way::Split(times, codes),
        })
    }

    /// What the code becomes; `None` for one that no table has.
    #[inline]
    pub(super) fn of(&self, code: u64) -> Option<Recoded> {
        match &self.0 {
            Way::Pairs(all) => all.get(code as usize).copied(),
            Way::Split(times, codes) => times.entry(code).map(|entry| Recoded::new(entry, codes)),
        }
    }
}

impl Recoded {
    fn new(entry: Entry, codes: &TimeCodes) -> Self {
        let is_removal = entry.is_removal();
        let end = if is_removal { Tick::new(u32::MAX) } else { entry.expiry };
        Self { code: codes.code(entry), end, is_removal }
    }
}
