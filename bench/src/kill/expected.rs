//! What must be there: a naive model, and the file that says what was sent and what was acknowledged. A mark is in the
//! file before the request leaves, so that whatever a kill interrupts is known to be pending.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};

/// Visitors of a house; the n-th belongs to the connection `n % CONNECTIONS` alone, so that their order is known.
pub const VISITORS: u32 = 480;
/// Connections that send changes.
pub const CONNECTIONS: u32 = 4;
/// Segments.
pub const SEGMENTS: u32 = 10;

/// A row: visitor, segment, tick of its observation, tick of its end (the same tick: a removal).
pub type Row = [u32; 4];

/// A change, with the ticks that the server gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Rows of one request.
    Rows(Vec<Row>),
    /// Rows of a loader's feed.
    Load(Vec<Row>),
    /// A visitor opts out.
    OptOut(u32),
    /// A visitor takes it back, in a tick.
    Revoke(u32, u32),
    /// A visitor is erased, in a tick.
    Erase(u32, u32),
}

impl Op {
    fn line(&self) -> String {
        let rows = |word: &str, rows: &[Row]| {
            let each =
                rows.iter().map(|[visitor, segment, from, until]| format!(" {visitor} {segment} {from} {until}"));
            word.to_owned() + &each.collect::<String>()
        };
        match self {
            Op::Rows(of) => rows("rows", of),
            Op::Load(of) => rows("load", of),
            Op::OptOut(visitor) => format!("opt-out {visitor}"),
            Op::Revoke(visitor, at) => format!("revoke {visitor} {at}"),
            Op::Erase(visitor, at) => format!("erase {visitor} {at}"),
        }
    }

    fn read(text: &str) -> Result<Op> {
        let (word, rest) = text.split_once(' ').context("an operation has a name and numbers")?;
        let numbers: Vec<u32> = rest.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let rows = || numbers.as_chunks::<4>().0.to_vec();
        Ok(match (word, &numbers[..]) {
            ("rows", _) => Op::Rows(rows()),
            ("load", _) => Op::Load(rows()),
            ("opt-out", &[visitor]) => Op::OptOut(visitor),
            ("revoke", &[visitor, at]) => Op::Revoke(visitor, at),
            ("erase", &[visitor, at]) => Op::Erase(visitor, at),
            _ => bail!("no operation: {text}"),
        })
    }

    /// The connection that sends it; `None`: a loader.
    fn owner(&self) -> Option<u32> {
        match self {
            Op::Rows(rows) => rows.first().map(|row| row[0] % CONNECTIONS),
            Op::Load(_) => None,
            Op::OptOut(visitor) | Op::Revoke(visitor, _) | Op::Erase(visitor, _) => Some(visitor % CONNECTIONS),
        }
    }
}

/// All that a visitor's access shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Whether he or she opted out.
    pub opted_out: bool,
    /// The last tick whose observations were erased.
    pub erased: Option<u32>,
    /// By segment, the ticks of observation and end.
    pub entries: BTreeMap<u32, (u32, u32)>,
}

impl Shown {
    /// The segments that are live at a tick.
    pub fn live(&self, tick: u32) -> BTreeSet<u32> {
        let live = self.entries.iter().filter(|(_, (from, until))| *until > tick && until > from);
        live.map(|(&segment, _)| segment).collect()
    }
}

/// Maps and sets: every row ever sent, and who is barred.
#[derive(Debug, Clone, Default)]
pub struct Model {
    rows: BTreeMap<(u32, u32), (u32, u32)>,
    opted_out: BTreeSet<u32>,
    erased: BTreeMap<u32, u32>,
}

impl Model {
    /// Puts a change into force.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Rows(rows) | Op::Load(rows) => {
                for &[visitor, segment, from, until] in rows {
                    let kept = self.rows.entry((visitor, segment)).or_insert((from, until));
                    // The latest observation; of two in the same tick, the shorter life.
                    if from > kept.0 || (from == kept.0 && until < kept.1) {
                        *kept = (from, until);
                    }
                }
            }
            Op::OptOut(visitor) => _ = self.opted_out.insert(*visitor),
            Op::Revoke(visitor, at) => {
                if self.opted_out.remove(visitor) {
                    self.erase(*visitor, *at);
                }
            }
            Op::Erase(visitor, at) => self.erase(*visitor, *at),
        }
    }

    fn erase(&mut self, visitor: u32, at: u32) {
        let latest = self.erased.entry(visitor).or_insert(at);
        *latest = at.max(*latest);
    }

    /// The code under which a row is refused, if it is.
    pub fn refusal(&self, &[visitor, _, from, _]: &Row) -> Option<&'static str> {
        if self.opted_out.contains(&visitor) {
            return Some("opted_out");
        }
        self.erased.get(&visitor).is_some_and(|&at| from <= at).then_some("erased")
    }

    /// What must be shown of a visitor.
    pub fn shown(&self, visitor: u32) -> Shown {
        let (opted_out, erased) = (self.opted_out.contains(&visitor), self.erased.get(&visitor).copied());
        let all = self.rows.range((visitor, 0)..(visitor + 1, 0)).map(|(&(_, segment), &entry)| (segment, entry));
        let entries = all.filter(|(_, (from, _))| !opted_out && erased.is_none_or(|at| *from > at)).collect();
        Shown { opted_out, erased, entries }
    }
}

/// Writes the marks. Callers share it.
pub struct Journal {
    file: Mutex<File>,
    next: AtomicU64,
}

impl Journal {
    /// Marks an operation as pending; returns once the mark is in the file.
    pub fn begin(&self, op: &Op) -> Result<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(&format!("pending {number} {}\n", op.line()))?;
        Ok(number)
    }

    /// Marks what became of it: `acknowledged`, or `refused` when nothing of it was taken.
    pub fn mark(&self, number: u64, what: &str) -> Result<()> {
        self.write(&format!("{what} {number}\n"))
    }

    fn write(&self, line: &str) -> Result<()> {
        Ok(self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?)
    }
}

/// The expected state: the model of what was acknowledged, and what is pending.
pub struct Expected {
    /// To be shared with those who send.
    pub journal: Journal,
    /// All that was acknowledged, and what was pending and then found.
    pub model: Model,
    file: File,
    pending: BTreeMap<u64, Op>,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
}

impl Expected {
    /// Nothing yet, in a new file.
    pub fn create(path: &Path) -> Result<Self> {
        let file = Mutex::new(File::create(path)?);
        let journal = Journal { file, next: AtomicU64::new(1) };
        let file = File::open(path)?;
        Ok(Self { journal, model: Model::default(), file, pending: BTreeMap::new(), acknowledged: 0 })
    }

    /// Reads what was marked since.
    pub fn read(&mut self) -> Result<()> {
        let (mut text, at) = (String::new(), self.file.stream_position()?);
        self.file.read_to_string(&mut text)?;
        ensure!(text.is_empty() || text.ends_with('\n'), "half a line after byte {at} of the expected state");
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let (what, number) = (words.next().unwrap_or_default(), words.next().context("a number")?.parse()?);
            if what == "pending" {
                self.pending.insert(number, Op::read(words.next().context("an operation")?)?);
                continue;
            }
            let op = self.pending.remove(&number).with_context(|| format!("{number} was not pending"))?;
            if what == "acknowledged" {
                self.model.apply(&op);
                self.acknowledged += 1;
            }
        }
        Ok(())
    }

    /// Whether a feed waits to be found or not.
    pub fn load_is_pending(&self) -> bool {
        self.pending.values().any(|op| op.owner().is_none())
    }

    /// Decides of each pending operation whether it is there. Gives how many are, and how many are not.
    ///
    /// # Errors
    /// When no choice explains what is shown of every visitor.
    pub fn settle(&mut self, shown: &[Shown]) -> Result<(u64, u64)> {
        let (loads, others): (Vec<_>, Vec<_>) = self.pending.values().partition(|op| op.owner().is_none());
        ensure!(loads.len() <= 1, "one feed at a time");
        let mut misfit = None;
        for take in (0..=loads.len()).map(|taken| &loads[..taken]) {
            let mut model = self.model.clone();
            take.iter().for_each(|op| model.apply(op));
            match fit(model, &others, shown) {
                Ok((model, there)) => {
                    let (there, all) = (there + take.len() as u64, self.pending.len() as u64);
                    self.model = model;
                    // Whatever the file says, they are settled: it begins anew after the last one.
                    self.pending.clear();
                    self.file.seek(SeekFrom::End(0))?;
                    return Ok((there, all - there));
                }
                Err(error) => misfit = misfit.or(Some(error)),
            }
        }
        Err(misfit.context("a first choice")?.context(format!("pending: {:?}", self.pending)))
    }
}

/// The model with those of the operations that are there, and how many are.
fn fit(mut model: Model, pending: &[&Op], shown: &[Shown]) -> Result<(Model, u64)> {
    let mut there = 0;
    for op in pending {
        let owned = (0..VISITORS).filter(|visitor| Some(visitor % CONNECTIONS) == op.owner());
        if owned.map(|visitor| model.shown(visitor) == shown[visitor as usize]).any(|fits| !fits) {
            model.apply(op);
            there += 1;
        }
    }
    for (visitor, shown) in (0..).zip(shown) {
        let expected = model.shown(visitor);
        ensure!(expected == *shown, "visitor {visitor} must have {expected:?} and has {shown:?}");
    }
    Ok((model, there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_may_be_there_and_what_is_acknowledged_must() {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = Expected::create(&dir.path().join("expected")).unwrap();
        let row = |visitor, segment| [visitor, segment, 5, 9];
        let ops = [Op::Rows(vec![row(0, 1), row(4, 1)]), Op::OptOut(1), Op::Erase(2, 7), Op::Load(vec![row(3, 3)])];
        let numbers: Vec<u64> = ops.iter().map(|op| expected.journal.begin(op).unwrap()).collect();
        expected.journal.mark(numbers[0], "acknowledged").unwrap();
        expected.read().unwrap();
        assert!(expected.load_is_pending());
        let mut shown: Vec<Shown> = (0..VISITORS).map(|visitor| expected.model.shown(visitor)).collect();
        assert_eq!(shown[4].live(8).len(), 1);
        let lost = std::mem::take(&mut shown[4]);
        assert!(expected.settle(&shown).is_err(), "an acknowledged row is missing");
        shown[4] = lost;
        shown[1].opted_out = true;
        shown[3].entries.insert(3, (5, 9));
        assert_eq!(expected.settle(&shown).unwrap(), (2, 1));
        shown[3].entries.insert(4, (5, 9));
        assert!(expected.settle(&shown).is_err(), "nobody sent that");
    }
}
