//! A membership, and admission: the only way to one.

mod front;
mod keyed;

use std::collections::HashMap;
use std::sync::Arc;

use crate::bars::Bars;
use crate::charter::{Charter, Source};
use crate::entry::Entry;
use crate::id::{IdType, Pid, VisitorId};
use crate::pseudonym::{Key, Pseudonymizer};
use crate::refusal::Refusal;
use crate::segments::{LOOKALIKE_PREFIX, MAX_SEGMENT_BYTES, Segments, is_segment_name};
use crate::text::Text;
use crate::time::{Span, TickLength, Time};

use front::{Front, Words};
use keyed::Keyed;

/// How far from now a provider's clock may run ahead.
pub const MAX_CLOCK_SKEW: Span = Span::from_secs(300);

/// A fact that admission let in: (pid, segment, observed, expiry). Nothing more is kept about a visitor.
///
/// The segment is a number of the [`Segments`] that the admission kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    pid: Pid,
    segment: u32,
    entry: Entry,
}

impl Membership {
    /// A membership of a lookalike audience, which the house makes of what was admitted before; its segment is number 0.
    /// It lives no longer than the charter lets lookalikes and than the last of the visitor's other memberships: that is for
    /// the caller to see to.
    #[must_use]
    pub fn of_lookalike(pid: Pid, entry: Entry) -> Self {
        Self { pid, segment: 0, entry }
    }

    /// A fact that admission let in when it became a change of the live state.
    pub(crate) fn admitted_before(pid: Pid, segment: u32, entry: Entry) -> Self {
        Self { pid, segment, entry }
    }

    /// Whose.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Of which segment, a number of the batch.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// From when until when.
    #[must_use]
    pub fn entry(&self) -> Entry {
        self.entry
    }
}

/// A row of a feed, read but not yet judged.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Who.
    pub visitor: VisitorId<'a>,
    /// The segment's name.
    pub segment: Text<'a>,
    /// The id's type; that of the feed when absent.
    pub id_type: Option<&'a str>,
    /// When the fact was seen; the feed's `--as-of`, else its receipt, when absent.
    pub observed: Option<Time>,
    /// A life shorter than the source's.
    pub ttl: Option<Span>,
    /// An end earlier than the source's life gives.
    pub expires: Option<Time>,
    /// Whether the visitor leaves the segment.
    pub remove: bool,
}

/// What admission made of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The membership.
    pub membership: Membership,
    /// Whether the row asked for a longer life than the source may give.
    pub shortened: bool,
}

/// Tells which source brought a segment first.
type FirstSource<'a> = Box<dyn Fn(&str) -> Option<Arc<str>> + Send + 'a>;

/// Judges the rows of one feed by the charter.
pub struct Admission<'a> {
    charter: &'a Charter,
    owned: FirstSource<'a>,
    source: Source,
    pseudonyms: Pseudonymizer,
    id_type: IdType,
    /// Whether the source may deliver ids of that type.
    id_type_allowed: bool,
    default_observed: Time,
    now: Time,
    tick: TickLength,
    bars: Option<&'a Bars>,
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32, Keyed>,
    front: Front,
    refused: HashMap<Box<str>, Refusal, Keyed>,
}

/// The most refused segment names that an admission remembers.
const MAX_REFUSED_NAMES: usize = 65_536;

/// What an admission judges by, beside charter and source.
pub struct Circumstances {
    /// The type of ids that do not name theirs.
    pub id_type: IdType,
    /// Observation of rows that do not carry one.
    pub observed: Time,
    /// The present moment.
    pub now: Time,
    /// The index's time grain.
    pub tick: TickLength,
}

impl<'a> Admission<'a> {
    /// Admission of one feed. `owned` tells which source brought a segment first, where the charter does not say.
    pub fn new(
        charter: &'a Charter,
        source: Source,
        key: &Key,
        owned: impl Fn(&str) -> Option<Arc<str>> + Send + 'a,
        circumstances: Circumstances,
    ) -> Self {
        let Circumstances { id_type, observed, now, tick } = circumstances;
        let id_type_allowed = allows(&source, &id_type);
        Self {
            charter,
            owned: Box::new(owned),
            source,
            pseudonyms: Pseudonymizer::new(key, &id_type),
            id_type,
            id_type_allowed,
            default_observed: observed,
            now,
            tick,
            bars: None,
            names: Vec::new(),
            numbers: HashMap::with_hasher(Keyed(key.seed())),
            front: Front::default(),
            refused: HashMap::with_hasher(Keyed(key.seed())),
        }
    }

    /// Refuses the rows of visitors who must stay out, too.
    #[must_use]
    pub fn barring(self, bars: &'a Bars) -> Self {
        Self { bars: Some(bars).filter(|bars| !bars.is_empty()), ..self }
    }

    /// Admits a row, or says why not.
    ///
    /// # Errors
    /// The reason; nothing is remembered of the row.
    #[inline]
    pub fn admit(&mut self, row: &Row<'_>) -> Result<Admitted, Refusal> {
        let known = self.known(row.segment.bytes());
        self.admit_of(row, known)
    }

    /// [`Admission::admit`] of a row for whose segment [`Admission::known`] was asked before.
    ///
    /// # Errors
    /// As [`Admission::admit`].
    #[inline]
    pub fn admit_of(&mut self, row: &Row<'_>, known: Option<u32>) -> Result<Admitted, Refusal> {
        let segment = match known {
            Some(number) => number,
            None => self.segment(row.segment.as_str())?,
        };
        let given = match row.id_type {
            None | Some("") => None,
            Some(text) if text == self.id_type.as_str() => None,
            Some(text) => Some(IdType::new(text).map_err(|_| Refusal::BadIdType)?),
        };
        if !given.as_ref().map_or(self.id_type_allowed, |id_type| allows(&self.source, id_type)) {
            return Err(Refusal::IdTypeNotAllowed);
        }
        let observed = row.observed.unwrap_or(self.default_observed);
        if observed > self.now.plus(MAX_CLOCK_SKEW) {
            return Err(Refusal::FutureObserved);
        }
        let longest = observed.plus(self.source.ttl);
        if longest <= self.now {
            return Err(Refusal::Expired);
        }
        let asked = [row.expires, row.ttl.map(|ttl| observed.plus(ttl))].into_iter().flatten().min();
        let expiry = if row.remove { observed } else { asked.unwrap_or(longest).min(longest).max(observed) };
        let entry = Entry { observed: self.tick.floor(observed), expiry: self.tick.floor(expiry) };
        let pid = self.pseudonyms.pid(given.as_ref(), row.visitor);
        if let Some(refusal) = self.bars.and_then(|bars| bars.refusal(pid, entry.observed)) {
            return Err(refusal);
        }
        let shortened = !row.remove && asked.is_some_and(|asked| asked > longest);
        Ok(Admitted { membership: Membership { pid, segment, entry }, shortened })
    }

    /// The number of a segment that came a short time ago and that this source may bring. To be asked for several rows
    /// at once where there are many: the table of names lies in no near cache.
    #[inline]
    #[must_use]
    pub fn known(&self, name: &[u8]) -> Option<u32> {
        Words::of(name).and_then(|words| self.front.get(words))
    }

    /// The number of a segment that this source may bring.
    fn segment(&mut self, name: &str) -> Result<u32, Refusal> {
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None => self.new_segment(name)?,
        };
        if let Some(words) = Words::of(name.as_bytes()) {
            self.front.put(words, number);
        }
        Ok(number)
    }

    #[cold]
    fn new_segment(&mut self, name: &str) -> Result<u32, Refusal> {
        if let Some(&refusal) = self.refused.get(name) {
            return Err(refusal);
        }
        match self.judge(name) {
            Ok(()) => {
                // A batch of 2^32 distinct names would need a terabyte of names first.
                let number = self.names.len() as u32;
                let name: Arc<str> = name.into();
                self.names.push(Arc::clone(&name));
                self.numbers.insert(name, number);
                Ok(number)
            }
            Err(refusal) => {
                if self.refused.len() < MAX_REFUSED_NAMES && name.len() <= MAX_SEGMENT_BYTES {
                    self.refused.insert(name.into(), refusal);
                }
                Err(refusal)
            }
        }
    }

    fn judge(&self, name: &str) -> Result<(), Refusal> {
        match name.len() {
            0 => return Err(Refusal::Missing),
            n if n > MAX_SEGMENT_BYTES => return Err(Refusal::TooLong),
            _ if !is_segment_name(name) => return Err(Refusal::BadSegment),
            _ => {}
        }
        if self.charter.is_forbidden(name) {
            return Err(Refusal::Forbidden);
        }
        if name.starts_with(LOOKALIKE_PREFIX) {
            return Err(Refusal::NotOwner);
        }
        let is_owner = if self.charter.is_development() {
            (self.owned)(name).is_none_or(|owner| *owner == *self.source.name)
        } else {
            self.charter.owner_of(name).ok_or(Refusal::UnknownSourcePrefix)?.name == self.source.name
        };
        if is_owner { Ok(()) } else { Err(Refusal::NotOwner) }
    }

    /// The names behind the numbers of the memberships.
    #[must_use]
    pub fn into_segments(self) -> Segments {
        let mut segments = Segments::default();
        self.names.iter().for_each(|name| {
            segments.number(name);
        });
        segments
    }
}

fn allows(source: &Source, id_type: &IdType) -> bool {
    source.id_types.is_empty() || source.id_types.contains(id_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Change;
    use crate::time::Tick;

    const HOUR: u32 = 3_600;

    fn at(seconds: i64) -> Time {
        Time::from_unix(seconds).expect("in range")
    }

    fn row<'a>(segment: &'a str, observed: Option<Time>) -> Row<'a> {
        let visitor = VisitorId::new("v").expect("a good id");
        Row { visitor, segment: segment.into(), id_type: None, observed, ttl: None, expires: None, remove: false }
    }

    fn charter() -> Charter {
        Charter::parse(
            "[house]\nname=\"p\"\nsteward=\"s\"\n[forbidden]\nprefixes=[\"health.\"]\n\
             [[source]]\nname=\"mag\"\nclass=\"behavioural\"\nprefixes=[\"interest.\",\"health.\"]\nttl=\"2h\"\nmax_retention=\"90d\"\nlegal_basis=\"consent\"\n\
             [[source]]\nname=\"crm\"\nclass=\"transactional\"\nprefixes=[\"crm.\"]\nttl=\"30d\"\nmax_retention=\"90d\"\nlegal_basis=\"contract\"\n",
        )
        .expect("a charter")
    }

    fn admission(charter: &Charter, now: i64) -> Admission<'_> {
        let source = charter.source("mag").expect("it is there");
        let circumstances =
            Circumstances { id_type: IdType::default(), observed: at(now), now: at(now), tick: TickLength::default() };
        Admission::new(charter, source, &Key::from_bytes([1; 32]), |_| None, circumstances)
    }

    #[test]
    fn every_refusal_of_the_charter() {
        let charter = charter();
        let mut admission = admission(&charter, 100_000);
        let long = format!("interest.{}", "x".repeat(300));
        let cases = [
            (row("crm.a", None), Refusal::NotOwner),
            (row("other", None), Refusal::UnknownSourcePrefix),
            (row("health.flu", None), Refusal::Forbidden),
            (row("", None), Refusal::Missing),
            (row(&long, None), Refusal::TooLong),
            (row("interest.\u{7}", None), Refusal::BadSegment),
            (row("interest.a", Some(at(100_301))), Refusal::FutureObserved),
            (row("interest.a", Some(at(92_800))), Refusal::Expired),
            (Row { id_type: Some("maid"), ..row("interest.a", None) }, Refusal::IdTypeNotAllowed),
            (Row { id_type: Some("A B"), ..row("interest.a", None) }, Refusal::BadIdType),
        ];
        for (row, refusal) in cases {
            // Twice, for the memory of refused names.
            assert_eq!(admission.admit(&row).err(), Some(refusal));
            assert_eq!(admission.admit(&row).err(), Some(refusal));
        }
        assert!(admission.admit(&row("interest.a", Some(at(92_801)))).is_ok());
        assert!(admission.admit(&row("interest.a", Some(at(100_300)))).is_ok());
    }

    #[test]
    fn who_must_stay_out_is_refused() {
        let (charter, now) = (charter(), 10 * i64::from(HOUR));
        let key = Key::from_bytes([1; 32]);
        let pid = key.pid(&IdType::default(), VisitorId::new("v").expect("a good id"));
        let mut bars = Bars::default();
        bars.apply(Change::Erase { pid, at: Tick::new(9) });
        let early = row("interest.a", Some(at(now - 1)));
        let mut judge = admission(&charter, now).barring(&bars);
        assert_eq!(judge.admit(&early).err(), Some(Refusal::Erased));
        assert!(judge.admit(&row("interest.a", None)).is_ok());
        let mut out = bars.clone();
        out.apply(Change::OptOut { pid });
        let mut judge = admission(&charter, now).barring(&out);
        assert_eq!(judge.admit(&row("interest.a", None)).err(), Some(Refusal::OptedOut));
        let other = VisitorId::new("w").expect("a good id");
        assert!(judge.admit(&Row { visitor: other, ..early }).is_ok());
    }

    #[test]
    fn lives_are_cut_and_rounded_down() {
        let charter = charter();
        let now = 10 * i64::from(HOUR) + 1_800;
        let mut admission = admission(&charter, now);
        let mut life = |row: Row<'_>| {
            let admitted = admission.admit(&row).expect("admitted");
            let entry = admitted.membership.entry();
            (entry.observed.get(), entry.expiry.get(), admitted.shortened)
        };
        let plain = row("interest.a", None);
        assert_eq!(life(plain), (10, 12, false));
        assert_eq!(life(Row { ttl: Some(Span::from_secs(HOUR)), ..plain }), (10, 11, false));
        assert_eq!(life(Row { ttl: Some(Span::from_secs(9 * HOUR)), ..plain }), (10, 12, true));
        assert_eq!(life(Row { expires: Some(at(5)), ..plain }), (10, 10, false));
        assert_eq!(life(Row { remove: true, ttl: Some(Span::from_secs(9 * HOUR)), ..plain }), (10, 10, false));
        assert_eq!(life(Row { observed: Some(at(9 * 3_600)), ..plain }), (9, 11, false));
    }
}
