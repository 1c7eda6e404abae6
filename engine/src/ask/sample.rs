//! Small indexes and random trees for the tests of this module.

use std::collections::BTreeMap;

use tempfile::TempDir;
use usher_index::containers::Policy;
use usher_index::{
    Batch, FeedKey, IdType, Key, LedgerLine, NoProgress, Overlay, Pid, Row, Snapshot, Span, Time, VisitorId, Writer,
};

use super::expr::Expr;

/// An hour, the default tick, in seconds.
pub const HOUR: i64 = 3_600;

/// An index in a temporary folder, made at `Sample::at(0)`.
pub struct Sample {
    pub snapshot: Snapshot,
    key: Key,
    folder: TempDir,
    overlay: Overlay,
}

impl Sample {
    /// An index of (visitor, segment, hours of life) rows, all observed when it is made; no hours: a removal.
    pub fn new<'r>(rows: impl IntoIterator<Item = (&'r str, &'r str, u32)>) -> Self {
        Self::dated(rows.into_iter().map(|(visitor, segment, hours)| (visitor, segment, 0, hours)))
    }

    /// An index of (visitor, segment, hours before it is made, hours of life from then on) rows.
    pub fn dated<'r>(rows: impl IntoIterator<Item = (&'r str, &'r str, u32, u32)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::from_bytes([7; 32]);
        let writer = Writer::open(folder.path(), key.clone()).unwrap();
        let mut admission = writer.admission("sample", IdType::default(), None, Self::at(0)).unwrap();
        let mut batch = Batch::new("sample");
        for (visitor, segment, ago, hours) in rows {
            let row = Row {
                visitor: VisitorId::new(visitor).unwrap(),
                segment: segment.into(),
                id_type: None,
                observed: Some(Self::at(-i64::from(ago))),
                ttl: Some(Span::from_secs(hours * HOUR as u32)),
                expires: None,
                remove: hours == 0,
            };
            batch.push(admission.admit(&row).unwrap().membership);
        }
        batch.finish(admission.into_segments());
        let feed = FeedKey { source: "sample".into(), digest: "00".into(), options: String::new() };
        let line = LedgerLine { key: feed, received: Self::at(0), report: serde_json::Value::Null, outcome: None };
        writer.load(vec![(batch, line)], Self::at(0), &NoProgress).unwrap();
        let snapshot = Snapshot::open(folder.path(), Some(key.clone())).unwrap();
        Sample { snapshot, key, folder, overlay: Overlay::default() }
    }

    /// The same index, built anew; with a policy in that one.
    pub fn rebuilt(&self, policy: Option<Policy>) -> Snapshot {
        let mut writer = Writer::open(self.folder.path(), self.key.clone()).unwrap();
        policy.into_iter().for_each(|policy| writer.set_policy(policy));
        writer.rebuild(Self::at(0), true, &NoProgress).unwrap();
        Snapshot::open(self.folder.path(), Some(self.key.clone())).unwrap()
    }

    /// No changes.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    pub fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// A file with the key, in a place where nobody looks for it unasked.
    pub fn key_file(&self) -> String {
        let path = self.folder.path().join("sample.key");
        std::fs::write(&path, self.key.to_hex()).unwrap();
        path.display().to_string()
    }

    /// The moment so many hours after the index was made.
    pub fn at(hours: i64) -> Time {
        Time::from_unix((500_000 + hours) * HOUR).unwrap()
    }

    pub fn pid(&self, visitor: &str) -> Pid {
        self.key.pid(&IdType::default(), VisitorId::new(visitor).unwrap())
    }
}

/// The splitmix64 sequence: chance enough for tests, and the same on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    /// A tree with every operator, over the leaves that `leaf` makes.
    pub fn tree(&mut self, depth: u64, leaf: &impl Fn(&mut Dice) -> Expr) -> Expr {
        let operands = |dice: &mut Dice| (0..2 + dice.below(2)).map(|_| dice.tree(depth - 1, leaf)).collect();
        match self.below(if depth == 0 { 1 } else { 10 }) {
            0 | 1 => leaf(self),
            2 | 3 => Expr::Not(Box::new(self.tree(depth - 1, leaf))),
            4 | 5 => Expr::And(operands(self)),
            6 | 7 => Expr::Or(operands(self)),
            _ => {
                let mut of: Vec<Expr> = operands(self);
                of.extend((0..self.below(4)).map(|_| self.tree(depth - 1, leaf)));
                Expr::AtLeast { n: 1 + self.below(of.len() as u64) as u32, of }
            }
        }
    }
}

/// The hours of the spans that [`with_spans`] asks for.
const SPANS: [u32; 4] = [1, 2, 3, 6];

/// Now and then asks for the leaf's recent members only.
pub fn with_spans(dice: &mut Dice, leaf: Expr) -> Expr {
    match dice.below(3) {
        0 => Expr::Within { of: Box::new(leaf), span: Span::from_secs(SPANS[dice.below(4) as usize] * HOUR as u32) },
        _ => leaf,
    }
}

/// Whether a visitor who is in the segments `of`, observed so many hours ago each, is in the expression: the naive judge.
pub fn holds(expr: &Expr, of: &BTreeMap<&str, i64>) -> bool {
    match expr {
        Expr::Segment(name) => of.contains_key(name.as_str()),
        Expr::Prefix(prefix) => of.keys().any(|name| name.starts_with(prefix)),
        Expr::Audience(_) => false,
        Expr::Within { of: leaf, span } => {
            let mut recent = of.clone();
            recent.retain(|_, hours| *hours * HOUR < i64::from(span.secs()));
            holds(leaf, &recent)
        }
        Expr::And(operands) => operands.iter().all(|operand| holds(operand, of)),
        Expr::Or(operands) => operands.iter().any(|operand| holds(operand, of)),
        Expr::AtLeast { n, of: operands } => operands.iter().filter(|o| holds(o, of)).count() >= *n as usize,
        Expr::Not(operand) => !holds(operand, of),
    }
}
