//! The judge: what an index must answer, found in the plainest way, with maps of sets and without a line of the code
//! that it judges. Times are Unix seconds and whole ticks of them.

use std::collections::BTreeMap;

use usher_bench::expr::Expr;

/// How far ahead of the present a row may be observed, in seconds.
const MAX_AHEAD: i64 = 300;

/// A row of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub visitor: String,
    pub segment: String,
    pub observed: Option<i64>,
    /// A life in seconds.
    pub ttl: Option<i64>,
    pub expires: Option<i64>,
    pub remove: bool,
}

impl Row {
    /// A row that says who and what, no more.
    pub fn new(visitor: &str, segment: &str) -> Self {
        let (visitor, segment) = (visitor.to_owned(), segment.to_owned());
        Self { visitor, segment, observed: None, ttl: None, expires: None, remove: false }
    }
}

/// What a charter says of a source.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: &'static str,
    pub prefixes: &'static [&'static str],
    /// Seconds.
    pub ttl: i64,
}

/// The rules of a house.
#[derive(Debug, Clone)]
pub struct Rules {
    pub sources: Vec<Source>,
    pub forbidden: Vec<&'static str>,
    /// Seconds.
    pub tick: i64,
}

impl Rules {
    /// Without a charter: one source may bring everything for 120 days, in ticks of an hour.
    pub fn development(source: &'static str) -> Self {
        let source = Source { name: source, prefixes: &[""], ttl: 120 * 86_400 };
        Self { sources: vec![source], forbidden: Vec::new(), tick: 3_600 }
    }

    fn owner(&self, segment: &str) -> Option<&Source> {
        let fits = |source: &Source| source.prefixes.iter().filter(|p| segment.starts_with(**p)).map(|p| p.len()).max();
        self.sources
            .iter()
            .filter_map(|source| Some((fits(source)?, source)))
            .max_by_key(|(len, _)| *len)
            .map(|(_, s)| s)
    }
}

/// When it was observed and when it ends, in ticks.
type Entry = (i64, i64);

/// A removal ends when it was observed: it has no life, not even at a moment before it.
fn is_live((observed, end): Entry, tick: i64) -> bool {
    end > tick && end > observed
}

/// The latest observation wins; of two at the same tick the shorter life.
fn beats(new: Entry, old: Entry) -> bool {
    new.0 > old.0 || (new.0 == old.0 && new.1 < old.1)
}

/// Every membership that was ever taken.
#[derive(Debug)]
pub struct Naive {
    rules: Rules,
    visitors: BTreeMap<String, BTreeMap<String, Entry>>,
}

impl Naive {
    pub fn new(rules: Rules) -> Self {
        Self { rules, visitors: BTreeMap::new() }
    }

    /// The entry that a row of a source gives at the moment `now`; `None` when it must be refused.
    fn admit(&self, source: &str, row: &Row, now: i64) -> Option<Entry> {
        let forbidden = self.rules.forbidden.iter().any(|prefix| row.segment.starts_with(prefix));
        let owner = self.rules.owner(&row.segment).filter(|owner| !forbidden && owner.name == source)?;
        let observed = row.observed.unwrap_or(now);
        if observed > now + MAX_AHEAD || observed + owner.ttl <= now {
            return None;
        }
        let mut end = observed + owner.ttl;
        end = end.min(row.ttl.map_or(end, |ttl| observed + ttl));
        end = end.min(row.expires.unwrap_or(end)).max(observed);
        if row.remove {
            end = observed;
        }
        Some((observed / self.rules.tick, end / self.rules.tick))
    }

    /// Takes a row of a source at the moment `now`, or tells by `false` that it must be refused.
    pub fn take(&mut self, source: &str, row: &Row, now: i64) -> bool {
        let Some(new) = self.admit(source, row, now) else { return false };
        let kept = self.visitors.entry(row.visitor.clone()).or_default();
        let old = kept.entry(row.segment.clone()).or_insert(new);
        if beats(new, *old) {
            *old = new;
        }
        true
    }

    /// What a feed will change: pairs that become new or are renewed, taken rows that change nothing, and removals.
    pub fn fates(&self, source: &str, rows: &[Row], now: i64) -> [u64; 3] {
        let mut winners: BTreeMap<(&str, &str), Entry> = BTreeMap::new();
        let mut taken = 0;
        for row in rows {
            let Some(new) = self.admit(source, row, now) else { continue };
            taken += 1;
            let winner = winners.entry((&row.visitor, &row.segment)).or_insert(new);
            if beats(new, *winner) {
                *winner = new;
            }
        }
        winners.retain(|(visitor, segment), winner| {
            let kept = self.visitors.get(*visitor).and_then(|profile| profile.get(*segment));
            kept.is_none_or(|kept| beats(*winner, *kept))
        });
        let removed = winners.values().filter(|(observed, end)| end <= observed).count() as u64;
        let changed = winners.len() as u64;
        [changed - removed, taken - changed, removed]
    }

    /// Everyone who was ever in a taken row.
    pub fn visitors(&self) -> impl Iterator<Item = &str> {
        self.visitors.keys().map(String::as_str)
    }

    /// The expiry of a membership, the first second at which it is dead.
    pub fn expiry(&self, visitor: &str, segment: &str) -> Option<i64> {
        self.visitors.get(visitor)?.get(segment).map(|(_, end)| end * self.rules.tick)
    }

    /// The segments in which the visitor is at the moment `now`, sorted by their bytes.
    pub fn lookup(&self, visitor: &str, now: i64) -> Vec<&str> {
        let tick = now / self.rules.tick;
        let profile = self.visitors.get(visitor).into_iter().flatten();
        profile.filter(|(_, entry)| is_live(**entry, tick)).map(|(name, _)| name.as_str()).collect()
    }

    /// The index as it is at the moment `now`, ready for many questions.
    pub fn at(&self, now: i64) -> View<'_> {
        let tick = now / self.rules.tick;
        let mut view = View { segments: BTreeMap::new(), everyone: Set::default(), visitors: 0 };
        for profile in self.visitors.values() {
            let live = profile.iter().filter(|(_, entry)| is_live(**entry, tick)).map(|(name, _)| name.as_str());
            let mut any = false;
            for name in live {
                view.segments.entry(name).or_default().push(view.visitors);
                any = true;
            }
            view.visitors += u32::from(any);
        }
        view.everyone = Set((0..view.visitors).map(u64::from).fold(Vec::new(), put));
        view
    }
}

/// The members of every segment at one moment; the visitors with a live membership are numbered from 0.
#[derive(Debug)]
pub struct View<'a> {
    segments: BTreeMap<&'a str, Vec<u32>>,
    everyone: Set,
    visitors: u32,
}

/// A set of visitors: a bit each.
#[derive(Debug, Clone, Default)]
struct Set(Vec<u64>);

fn put(mut words: Vec<u64>, number: u64) -> Vec<u64> {
    let word = (number / 64) as usize;
    if words.len() <= word {
        words.resize(word + 1, 0);
    }
    words[word] |= 1 << (number % 64);
    words
}

impl View<'_> {
    /// How many visitors have a live membership.
    pub fn visitors(&self) -> u32 {
        self.visitors
    }

    /// How many visitors the expression means.
    pub fn count(&self, expr: &Expr) -> u64 {
        self.members(expr).0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    fn members(&self, expr: &Expr) -> Set {
        match expr {
            Expr::Segment(name) => self.union(self.segments.get(name.as_str()).into_iter()),
            Expr::Prefix(prefix) => {
                let dotted = format!("{prefix}.");
                let from_here = self.segments.range(dotted.as_str()..);
                let under = from_here.take_while(|(name, _)| name.starts_with(&dotted));
                self.union(under.map(|(_, members)| members))
            }
            Expr::Not(inner) => zip(&self.everyone, &self.members(inner), |all, not| all & !not),
            Expr::And(left, right) => zip(&self.members(left), &self.members(right), |a, b| a & b),
            Expr::Or(left, right) => zip(&self.members(left), &self.members(right), |a, b| a | b),
        }
    }

    fn union<'m>(&self, segments: impl Iterator<Item = &'m Vec<u32>>) -> Set {
        let mut words = vec![0_u64; self.everyone.0.len()];
        for member in segments.flatten() {
            words[*member as usize / 64] |= 1 << (member % 64);
        }
        Set(words)
    }
}

/// Both sets have a word for every 64 visitors.
fn zip(left: &Set, right: &Set, op: impl Fn(u64, u64) -> u64) -> Set {
    Set(left.0.iter().zip(&right.0).map(|(a, b)| op(*a, *b)).collect())
}

#[test]
fn the_judge_knows_the_law() {
    let rules = Rules { tick: 10, forbidden: vec!["no."], ..Rules::development("s") };
    let row = |observed, ttl| Row { observed: Some(observed), ttl: Some(ttl), ..Row::new("v", "a") };
    let mut judge = Naive::new(rules);
    assert!(judge.take("s", &row(1_000, 100), 1_000));
    assert_eq!(judge.expiry("v", "a"), Some(1_100));
    judge.take("s", &row(1_009, 50), 1_010);
    assert_eq!(judge.expiry("v", "a"), Some(1_050), "the same tick: the shorter life");
    judge.take("s", &row(990, 10), 1_010);
    assert_eq!(judge.expiry("v", "a"), Some(1_050), "observed before: nothing changes");
    judge.take("s", &Row { remove: true, ..row(1_025, 500) }, 1_030);
    assert_eq!(judge.lookup("v", 1_030), Vec::<&str>::new());
    judge.take("s", &row(1_030, 15), 1_030);
    assert_eq!((judge.lookup("v", 1_039).len(), judge.lookup("v", 1_040).len()), (1, 0), "rounded down");
    assert!(!judge.take("s", &Row::new("v", "no.way"), 1_030) && !judge.take("t", &Row::new("v", "a"), 1_030));
    assert!(!judge.take("s", &row(1_400, 1), 1_030) && !judge.take("s", &row(1_030, 1), 1_030 + 120 * 86_400));
}

#[test]
fn the_judge_counts_trees() {
    use usher_bench::expr::{not, prefix, segment};
    let mut judge = Naive::new(Rules::development("s"));
    for (visitor, segment) in [("1", "a"), ("1", "p.x"), ("2", "a"), ("3", "p.x"), ("3", "p.y"), ("4", "p")] {
        judge.take("s", &Row::new(visitor, segment), 0);
    }
    let view = judge.at(0);
    let counts =
        [segment("a"), prefix("p"), segment("p"), not(segment("a")), segment("a").and(prefix("p")), segment("none")];
    assert_eq!(counts.map(|expr| view.count(&expr)), [2, 2, 1, 2, 1, 0]);
    assert_eq!(view.count(&segment("a").or(not(segment("a")))), u64::from(view.visitors()));
}
