//! All rules over all shards, as lookups ask them; changed by making another.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use usher_index::{Entry, Snapshot, Span, Tick};

use super::compile::{Facts, compile, required};
use super::numbers::{Numbers, ShardNumbers};
use super::run::{Compiled, Run};
use crate::ask::expr::Expr;
use crate::ask::moment::Moment;

/// Rules of the smallest run: so many are compiled anew when one is put in.
const FRESH_RULES: usize = 64;
/// Rules of the run behind it.
const RECENT_RULES: usize = 4_096;
/// Runs, from the smallest.
const RUNS: usize = 3;

/// A named expression without audiences in it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The audience's name.
    pub name: Arc<str>,
    /// Who is in it.
    pub expression: Arc<Expr>,
}

/// The rules of one catalogue over the images of one generation.
pub struct Matcher {
    numbers: Arc<Numbers>,
    shards: Arc<Vec<ShardNumbers>>,
    /// How many prefixes had a number when `shards` was made, at least.
    prefixes: usize,
    /// From the smallest run to the largest.
    parts: [Part; RUNS],
}

#[derive(Clone, Default)]
struct Part {
    run: Arc<Run>,
    rules: Arc<Vec<Rule>>,
    places: Arc<HashMap<Arc<str>, u32>>,
    /// The rules that were taken out since.
    gone: Arc<HashSet<u32>>,
}

/// What lookups work in.
#[derive(Debug, Default)]
pub struct Matched {
    /// The numbers that the visitor has are marked with the turn of the lookup.
    marks: Vec<u32>,
    turn: u32,
    /// Audiences of the visitor: run and rule.
    found: Vec<(u8, u32)>,
    numbers: Vec<u32>,
}

impl Matcher {
    /// The rules over the images of a snapshot. Time: some microseconds a rule, some nanoseconds a segment of each shard.
    pub fn new(numbers: Arc<Numbers>, snapshot: &Snapshot, rules: Vec<Rule>) -> Self {
        let base = Part::new(rules, snapshot, &numbers);
        // After the rules are compiled: then their prefixes have numbers.
        let prefixes = numbers.prefixes();
        let shards = Arc::new(ShardNumbers::of(snapshot, &numbers));
        Self { numbers, shards, prefixes, parts: [Part::default(), Part::default(), base] }
    }

    /// The same rules over the images of another snapshot.
    pub fn over(&self, snapshot: &Snapshot) -> Self {
        let prefixes = self.numbers.prefixes();
        let shards = Arc::new(ShardNumbers::of(snapshot, &self.numbers));
        Self { numbers: Arc::clone(&self.numbers), shards, prefixes, parts: self.parts.clone() }
    }

    /// The numbers, for the rules of another generation.
    pub fn numbers(&self) -> Arc<Numbers> {
        Arc::clone(&self.numbers)
    }

    /// The rules with `put` in the place of those of the same names, and without `removed`. Time: that of compiling
    /// [`FRESH_RULES`] as a rule, now and then of more.
    pub fn with(&self, snapshot: &Snapshot, put: Vec<Rule>, removed: &[Arc<str>]) -> Self {
        let mut parts = self.parts.clone();
        let replaced = put.iter().map(|rule| &rule.name).chain(removed);
        replaced.for_each(|name| parts.iter_mut().for_each(|part| part.remove(name)));
        let (mut pending, mut place) = (put, 0);
        for bound in [FRESH_RULES, RECENT_RULES, usize::MAX] {
            pending.extend(parts[place].left());
            if pending.len() <= bound {
                break;
            }
            parts[place] = Part::default();
            place += 1;
        }
        parts[place] = Part::new(pending, snapshot, &self.numbers);
        // A prefix that no rule had before is a number that segments have from now on.
        let prefixes = self.numbers.prefixes();
        let shards = match prefixes == self.prefixes {
            true => Arc::clone(&self.shards),
            false => Arc::new(ShardNumbers::of(snapshot, &self.numbers)),
        };
        Self { numbers: Arc::clone(&self.numbers), shards, prefixes, parts }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.run.len() - part.gone.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The audiences of a visitor who has these ranks of a shard, none for a visitor without a live membership. `history` is
    /// asked for the live memberships with their times when an audience is about those: at most once.
    ///
    /// Time: some nanoseconds for each audience that is posted under a segment of the visitor.
    pub fn of_ranks(
        &self,
        shard: usize,
        ranks: &[u32],
        at: Moment,
        history: impl Fn(&mut Vec<(u32, Entry)>),
        room: &mut Matched,
    ) {
        let shard = self.shards.get(shard);
        let numbers = |rank: u32| shard.map_or(&[][..], |shard| shard.of_rank(rank));
        room.numbers.clear();
        ranks.iter().for_each(|&rank| room.numbers.extend_from_slice(numbers(rank)));
        let recall = || {
            let mut entries = Vec::new();
            history(&mut entries);
            let each =
                |&(rank, entry): &(u32, Entry)| numbers(rank).iter().map(move |&number| (number, entry.observed));
            entries.iter().filter(|(_, entry)| entry.live(at.tick())).flat_map(each).collect()
        };
        self.find(ranks.is_empty(), at, recall, room);
    }

    /// The audiences of a visitor who has these live memberships.
    pub fn of_entries<'n>(
        &self,
        entries: &(impl Iterator<Item = (&'n str, Entry)> + Clone),
        at: Moment,
        room: &mut Matched,
    ) {
        room.numbers.clear();
        let mut is_nobody = true;
        for (name, _) in entries.clone() {
            is_nobody = false;
            let numbers = &mut room.numbers;
            self.numbers.each_of(name, |number| numbers.push(number));
        }
        let recall = || {
            let mut history = Vec::new();
            for (name, entry) in entries.clone() {
                self.numbers.each_of(name, |number| history.push((number, entry.observed)));
            }
            history
        };
        self.find(is_nobody, at, recall, room);
    }

    fn find(&self, is_nobody: bool, at: Moment, recall: impl Fn() -> Vec<(u32, Tick)>, room: &mut Matched) {
        room.found.clear();
        // Whoever has no live membership is in no set, not even in the complement of one.
        if is_nobody {
            return;
        }
        room.mark();
        let Matched { marks, turn, found, numbers } = room;
        let visitor = Visitor { marks, turn: *turn, at, recall, history: OnceCell::new() };
        for (place, part) in (0u8..).zip(&self.parts) {
            let posted = numbers.iter().flat_map(|&number| part.run.posted(number));
            for &rule in posted.chain(part.run.always()) {
                if part.run.holds(rule, &visitor) && !part.gone.contains(&rule) {
                    found.push((place, rule));
                }
            }
        }
        // A rule that is posted under several numbers is met under each that the visitor has.
        found.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        found.dedup();
    }

    fn name(&self, (part, rule): (u8, u32)) -> &Arc<str> {
        self.parts[part as usize].run.name(rule)
    }

    /// The names that the last question found, sorted by their bytes.
    pub fn found<'m>(&'m self, room: &'m Matched) -> impl Iterator<Item = &'m str> {
        room.found.iter().map(|&found| &**self.name(found))
    }
}

/// The visitor of one lookup.
struct Visitor<'m, F> {
    marks: &'m [u32],
    turn: u32,
    at: Moment,
    recall: F,
    /// When the live memberships were observed, by their numbers.
    history: OnceCell<Vec<(u32, Tick)>>,
}

impl<F: Fn() -> Vec<(u32, Tick)>> Facts for Visitor<'_, F> {
    #[inline]
    fn has(&self, number: u32) -> bool {
        self.marks.get(number as usize) == Some(&self.turn)
    }

    fn has_recent(&self, number: u32, span: Span) -> bool {
        let since = self.at.since(span);
        let history = self.history.get_or_init(&self.recall);
        history.iter().any(|&(other, observed)| other == number && observed >= since)
    }
}

impl Matched {
    /// Marks the numbers of this lookup.
    fn mark(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        if self.turn == 0 {
            // After 2^32 lookups the old marks would count again.
            self.marks.fill(0);
            self.turn = 1;
        }
        for &number in &self.numbers {
            if self.marks.len() <= number as usize {
                self.marks.resize(number as usize + 1, 0);
            }
            self.marks[number as usize] = self.turn;
        }
    }
}

impl Part {
    fn new(rules: Vec<Rule>, snapshot: &Snapshot, numbers: &Numbers) -> Self {
        let size = |leaf: &Expr| size(snapshot, leaf);
        let compiled = rules.iter().map(|rule| {
            let mut code = Vec::new();
            compile(&rule.expression, numbers, &mut code);
            Compiled { name: Arc::clone(&rule.name), code, required: required(&rule.expression, numbers, &size) }
        });
        let run = Arc::new(Run::new(compiled.collect()));
        let places = (0u32..).zip(&rules).map(|(place, rule)| (Arc::clone(&rule.name), place)).collect();
        Self { run, places: Arc::new(places), rules: Arc::new(rules), gone: Arc::default() }
    }

    fn remove(&mut self, name: &str) {
        if let Some(&place) = self.places.get(name)
            && !self.gone.contains(&place)
        {
            Arc::make_mut(&mut self.gone).insert(place);
        }
    }

    /// The rules that are still in force.
    fn left(&self) -> impl Iterator<Item = Rule> {
        let rules = (0u32..).zip(self.rules.iter());
        rules.filter(|(place, _)| !self.gone.contains(place)).map(|(_, rule)| rule.clone())
    }
}

/// About how many visitors are in a segment, or in those of a prefix.
fn size(snapshot: &Snapshot, leaf: &Expr) -> u64 {
    match leaf {
        Expr::Segment(name) => snapshot.segment(name).map_or(0, |segment| segment.memberships),
        Expr::Prefix(prefix) => {
            let segments = snapshot.segments();
            let start = segments.partition_point(|segment| *segment.name < **prefix);
            let with = segments[start..].iter().take_while(|segment| segment.name.starts_with(&**prefix));
            with.map(|segment| segment.memberships).sum()
        }
        _ => 0,
    }
}
