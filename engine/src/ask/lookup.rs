//! Where does this visitor belong: from a pseudonym to the JSON of its live segments.

use std::sync::Arc;

use usher_index::overlay::{Overlay, Touched};
use usher_index::{Entry, Lookups, Pid, Snapshot, Time};

use super::error::AskError;
use super::moment::Moment;
use super::rules::{Matched, Matcher};
use super::touched;

pub use super::names::{NameTable, Only};

/// Looks visitors up in one snapshot and the changes over it, again and again: what it needs to work in, it keeps.
pub struct Lookup<'s> {
    snapshot: &'s Snapshot,
    names: &'s NameTable,
    overlay: &'s Overlay,
    rules: Option<&'s Matcher>,
    room: Room,
}

/// What lookups work in. Nothing is allocated after the longest profile.
#[derive(Debug, Default)]
pub struct Room {
    lookups: Lookups,
    places: Vec<u32>,
    matched: Matched,
}

impl<'s> Lookup<'s> {
    /// A lookup in `snapshot`, of which `names` was made and over which `overlay` lies.
    pub fn new(snapshot: &'s Snapshot, names: &'s NameTable, overlay: &'s Overlay) -> Self {
        Self::within(snapshot, names, overlay, Room::default())
    }

    /// The same in memory that another lookup has left.
    pub fn within(snapshot: &'s Snapshot, names: &'s NameTable, overlay: &'s Overlay, room: Room) -> Self {
        Lookup { snapshot, names, overlay, rules: None, room }
    }

    /// The same, which answers with these audiences, too.
    #[must_use]
    pub fn with_rules(self, rules: Option<&'s Matcher>) -> Self {
        Lookup { rules, ..self }
    }

    /// The memory, for another lookup.
    pub fn into_room(self) -> Room {
        self.room
    }

    /// Appends `{"segments":["a","b"],"audiences":["c"]}` with the names of the segments in which the visitor is live at
    /// `now`, and of the audiences that he or she is in, sorted by their UTF-8 bytes; an unknown visitor has none. For a
    /// visitor who opted out it is `{"segments":[],"audiences":[],"reason":"opted_out"}`.
    ///
    /// Time: that of reading one profile and sorting its live part; with audiences, some nanoseconds for each that is
    /// posted under a segment of the visitor.
    ///
    /// # Errors
    /// When the image is damaged; then nothing is appended.
    pub fn answer(&mut self, pid: Pid, now: Time, only: &Only, into: &mut Vec<u8>) -> Result<(), AskError> {
        let at = Moment::new(self.snapshot.tick(), now);
        let tick = at.tick();
        let rules = self.rules.filter(|_| only.wants_audiences());
        let Room { lookups, places, matched } = &mut self.room;
        if let Some(touched) = self.overlay.get(pid) {
            touched::write(&touched, at, only, rules, matched, into);
            return Ok(());
        }
        let ranks = match (only, rules) {
            (Only::Audiences, None) => &[],
            _ => lookups.one(self.snapshot, pid, tick)?,
        };
        begin(into);
        self.names.write(self.snapshot, pid, ranks, only, places, into);
        if let Some(rules) = rules {
            rules.of_ranks(
                self.snapshot.shard_number(pid),
                ranks,
                at,
                |entries| profile(self.snapshot, pid, entries),
                matched,
            );
        }
        end(rules, matched, into);
        Ok(())
    }

    /// Appends the answers for many visitors, in their order, a comma between two. Faster than one by one: see
    /// [`Lookups::many`]. `touched` is what [`Overlay::many`] said of these visitors, or of all of whom these are some:
    /// asked once, so that all answers are after the same changes.
    ///
    /// # Errors
    /// When the image is damaged; then nothing is appended.
    pub fn answers(
        &mut self,
        pids: &[Pid],
        touched: &[Option<Arc<Touched>>],
        now: Time,
        only: &Only,
        into: &mut Vec<u8>,
    ) -> Result<(), AskError> {
        let start = into.len();
        let mut is_first = true;
        let each = |into: &mut Vec<u8>, write: &mut dyn FnMut(&mut Vec<u8>)| {
            if !std::mem::take(&mut is_first) {
                into.push(b',');
            }
            write(into);
        };
        self.each(pids, touched, now, only, into, each).inspect_err(|_| into.truncate(start))
    }

    /// The same with a say in what stands around each answer, and whether there is one: `each` is called for every
    /// visitor, in order, with `into` and with what appends the answer to it.
    ///
    /// # Errors
    /// When the image is damaged; the visitors before have been answered then.
    pub fn each(
        &mut self,
        pids: &[Pid],
        touched: &[Option<Arc<Touched>>],
        now: Time,
        only: &Only,
        into: &mut Vec<u8>,
        mut each: impl FnMut(&mut Vec<u8>, &mut dyn FnMut(&mut Vec<u8>)),
    ) -> Result<(), AskError> {
        let at = Moment::new(self.snapshot.tick(), now);
        let rules = self.rules.filter(|_| only.wants_audiences());
        let Room { lookups, places, matched } = &mut self.room;
        let mut write = |place: usize, ranks: &[u32]| match touched.get(place) {
            Some(Some(touched)) => each(into, &mut |into| touched::write(touched, at, only, rules, matched, into)),
            _ => each(into, &mut |into| {
                let (pid, snapshot) = (pids[place], self.snapshot);
                begin(into);
                self.names.write(snapshot, pid, ranks, only, places, into);
                if let Some(rules) = rules {
                    let history = |entries: &mut _| profile(snapshot, pid, entries);
                    rules.of_ranks(snapshot.shard_number(pid), ranks, at, history, matched);
                }
                end(rules, matched, into);
            }),
        };
        match pids {
            _ if *only == Only::Audiences && rules.is_none() => (0..pids.len()).for_each(|place| write(place, &[])),
            [pid] => write(0, lookups.one(self.snapshot, *pid, at.tick())?),
            _ => lookups.many(self.snapshot, pids, at.tick(), write)?,
        }
        Ok(())
    }
}

/// The entries of a visitor, dead ones too. The image was read a moment ago: damage that comes in between is nobody's
/// membership.
fn profile(snapshot: &Snapshot, pid: Pid, entries: &mut Vec<(u32, Entry)>) {
    if let Some(shard) = snapshot.shard_of(pid)
        && shard.profile(pid, entries).is_err()
    {
        entries.clear();
    }
}

/// Appends what comes before the segments.
pub(super) fn begin(into: &mut Vec<u8>) {
    into.extend_from_slice(br#"{"segments":["#);
}

/// Appends what comes behind the segments: the audiences that the last question to `rules` found.
pub(super) fn end(rules: Option<&Matcher>, matched: &Matched, into: &mut Vec<u8>) {
    into.extend_from_slice(br#"],"audiences":["#);
    let start = into.len();
    for name in rules.into_iter().flat_map(|rules| rules.found(matched)) {
        // Names of audiences have no character that JSON would escape.
        into.push(b'"');
        into.extend_from_slice(name.as_bytes());
        into.extend_from_slice(br#"","#);
    }
    into.truncate(into.len() - usize::from(into.len() > start));
    into.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use usher_index::{Overlay, Pid};

    use super::{Lookup, NameTable, Only};
    use crate::ask::names::CHUNK;
    use crate::ask::sample::{Dice, Sample};

    // The most popular segment is the last by name, so that ranks are no help in sorting.
    const ROWS: [(&str, &str, u32); 11] = [
        ("anna", "interest.theatre", 2),
        ("anna", "interest.ticketing", 1),
        ("anna", "interest", 2),
        ("anna", "geo.paris", 2),
        ("anna", "interest.left", 0),
        ("ben", "geo.paris", 1),
        ("ben", "say \"hi\" \\ <é>\u{2028}", 2),
        ("ben", "Zoo", 2),
        ("ben", "a name that is longer than what is copied at once", 2),
        ("cleo", "interest.ticketing", 2),
        ("dan", "interest.ticketing", 2),
    ];

    fn answers(questions: &[(&str, i64, Only)]) -> Vec<String> {
        let sample = Sample::new(ROWS);
        let names = NameTable::new(&sample.snapshot);
        let overlay = Overlay::default();
        let mut lookup = Lookup::new(&sample.snapshot, &names, &overlay);
        let answer = |(visitor, hours, only): &(&str, i64, Only)| {
            let mut answer = b">".to_vec();
            lookup.answer(sample.pid(visitor), Sample::at(*hours), only, &mut answer).unwrap();
            String::from_utf8(answer).unwrap()
        };
        questions.iter().map(answer).collect()
    }

    #[test]
    fn names_are_sorted_and_the_dead_are_gone() {
        let all = || Only::Everything;
        let expected = [
            r#">{"segments":["geo.paris","interest","interest.theatre","interest.ticketing"],"audiences":[]}"#,
            r#">{"segments":["geo.paris","interest","interest.theatre"],"audiences":[]}"#,
            r#">{"segments":[],"audiences":[]}"#,
            r#">{"segments":[],"audiences":[]}"#,
        ];
        assert_eq!(
            answers(&[("anna", 0, all()), ("anna", 1, all()), ("anna", 2, all()), ("nobody", 0, all())]),
            expected
        );
    }

    #[test]
    fn odd_names_are_escaped() {
        let answer = answers(&[("ben", 1, Only::Everything)]).remove(0);
        let json: serde_json::Value = serde_json::from_str(&answer[1..]).unwrap();
        let names = ["Zoo", "a name that is longer than what is copied at once", "say \"hi\" \\ <é>\u{2028}"];
        assert_eq!(json, serde_json::json!({"segments": names, "audiences": []}));
    }

    #[test]
    fn names_about_as_long_as_what_is_copied_at_once_are_whole() {
        // Quotes and comma count too. The last name has only the end of the table behind it.
        let names: Vec<String> = (CHUNK - 8..CHUNK + 12).map(|length| format!("{length:0length$}")).collect();
        let sample = Sample::new(names.iter().map(|name| ("anna", &**name, 2)));
        let table = NameTable::new(&sample.snapshot);
        let mut answer = Vec::new();
        Lookup::new(&sample.snapshot, &table, &Overlay::default())
            .answer(sample.pid("anna"), Sample::at(0), &Only::Everything, &mut answer)
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let mut sorted = names;
        sorted.sort_unstable();
        assert_eq!(json, serde_json::json!({"segments": sorted, "audiences": []}));
    }

    #[test]
    fn only_the_wanted_part_is_answered() {
        let prefix = |text: &str| Only::Prefix(text.to_owned());
        for (only, names) in [
            (Only::Segments, r#""geo.paris","interest","interest.theatre","interest.ticketing""#),
            (Only::Audiences, ""),
            (prefix("interest."), r#""interest.theatre","interest.ticketing""#),
            (prefix("interest"), r#""interest","interest.theatre","interest.ticketing""#),
            (prefix("interest.ti"), r#""interest.ticketing""#),
            (prefix("a"), ""),
            (prefix("zz"), ""),
            (prefix(""), r#""geo.paris","interest","interest.theatre","interest.ticketing""#),
        ] {
            let answer = answers(&[("anna", 0, only.clone())]).remove(0);
            assert_eq!(answer, format!(r#">{{"segments":[{names}],"audiences":[]}}"#), "{only:?}");
        }
    }

    #[test]
    fn many_answers_are_the_single_ones_with_commas_between() {
        let mut dice = Dice(3);
        let rows: Vec<(String, String, u32)> = (0..9_000)
            .map(|_| (format!("v{}", dice.below(400)), format!("s.{}", dice.below(300)), dice.below(4) as u32))
            .collect();
        let sample = Sample::new(rows.iter().map(|(visitor, segment, hours)| (&**visitor, &**segment, *hours)));
        let names = NameTable::new(&sample.snapshot);
        let overlay = Overlay::default();
        let mut lookup = Lookup::new(&sample.snapshot, &names, &overlay);
        let kinds = [Only::Everything, Only::Segments, Only::Audiences, Only::Prefix("s.1".to_owned())];
        for case in 0..200 {
            // A third of the visitors are unknown, and in the end all are dead.
            let pids: Vec<Pid> = (0..dice.below(80)).map(|_| sample.pid(&format!("v{}", dice.below(600)))).collect();
            let (now, only) = (Sample::at(dice.below(5) as i64), &kinds[case % kinds.len()]);
            let (mut together, mut apart) = (b"[".to_vec(), b"[".to_vec());
            lookup.answers(&pids, &[], now, only, &mut together).unwrap();
            for (place, pid) in pids.iter().enumerate() {
                apart.extend_from_slice(if place > 0 { b"," } else { b"" });
                lookup.answer(*pid, now, only, &mut apart).unwrap();
            }
            assert_eq!(String::from_utf8(together).unwrap(), String::from_utf8(apart).unwrap());
        }
    }
}
