//! Compares what is served with the naive model.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use usher_engine::ask::lookup::{Lookup, Only};
use usher_engine::ask::{parse::parse, size};
use usher_engine::keep::Served;
use usher_index::Pid;

use crate::expr::{self, Expr};
use crate::life::model::Visible;
use crate::life::world::World;
use crate::life::{KINDS, VISITORS, pid, tick, time};
use crate::rng::Rng;

/// Random questions after each step.
const QUESTIONS: u32 = 3;
/// How deep they are, at most.
const DEPTH: u32 = 3;

/// What was compared so far.
#[derive(Debug, Default)]
pub struct Judge {
    pub(super) lookups: u64,
    pub(super) counts: u64,
    pub(super) found: u64,
    pids: Vec<Pid>,
}

impl Judge {
    /// Every lookup, one by one and all at once, and some random questions, at the present moment.
    pub(super) fn compare(&mut self, world: &World, rng: &mut Rng) -> Result<()> {
        let served = world.served().context("a world in which something is served")?;
        let (now, model) = (world.now(), world.seen());
        // A visitor more than there are.
        if self.pids.is_empty() {
            self.pids = (0..=VISITORS).map(pid).collect();
        }
        let visible = model.visible(tick(now));
        let expected: Vec<String> = (0..=VISITORS).map(|visitor| model.answer(visitor, tick(now))).collect();
        let mut lookup = Lookup::new(&served.snapshot, &served.names, &served.overlay);
        let mut said = Vec::new();
        for (pid, expected) in self.pids.iter().zip(&expected) {
            said.clear();
            lookup.answer(*pid, time(now), &Only::Everything, &mut said)?;
            let said = String::from_utf8_lossy(&said);
            ensure!(said == *expected, "visitor {:?} at {now}: {said} is not {expected}", self.visitor(*pid));
        }
        said.clear();
        let touched = served.overlay.many(&self.pids);
        lookup.answers(&self.pids, &touched, time(now), &Only::Everything, &mut said)?;
        let (said, expected) = (String::from_utf8_lossy(&said), expected.join(","));
        ensure!(said == expected, "all visitors at {now}: {said} is not {expected}");
        self.lookups += 2 * self.pids.len() as u64;
        self.found += visible.len() as u64;
        (0..QUESTIONS).try_for_each(|_| self.ask(served, &visible, &question(rng, DEPTH), now))
    }

    fn visitor(&self, pid: Pid) -> Option<usize> {
        self.pids.iter().position(|known| *known == pid)
    }

    fn ask(&mut self, served: &Served, visible: &Visible, question: &Expr, now: i64) -> Result<()> {
        let text = question.to_string();
        let counted = size::count(&served.snapshot, &served.overlay, &parse(&text)?, time(now))?;
        let everyone: BTreeSet<u32> = visible.iter().map(|(visitor, _)| *visitor).collect();
        let expected = members(question, visible, &everyone).len() as u64;
        ensure!(counted.visitors == expected, "{text} at {now}: {} is not {expected}", counted.visitors);
        self.counts += 1;
        Ok(())
    }
}

fn question(rng: &mut Rng, depth: u32) -> Expr {
    match if depth == 0 { 0 } else { rng.below(8) } {
        0..=2 => match rng.below(10) {
            0 => expr::segment("nobody.has.this"),
            1 => expr::prefix("interest"),
            2 => expr::prefix("crm"),
            _ => expr::segment(KINDS[rng.index(KINDS.len())].name),
        },
        3 | 4 => question(rng, depth - 1).and(question(rng, depth - 1)),
        5 | 6 => question(rng, depth - 1).or(question(rng, depth - 1)),
        _ => expr::not(question(rng, depth - 1)),
    }
}

fn members(question: &Expr, visible: &Visible, everyone: &BTreeSet<u32>) -> BTreeSet<u32> {
    let having = |wanted: &dyn Fn(&str) -> bool| {
        visible.iter().filter(|(_, name)| wanted(name)).map(|(visitor, _)| *visitor).collect()
    };
    match question {
        Expr::Segment(name) => having(&|has| has == name),
        Expr::Prefix(prefix) => {
            having(&|has| has.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.')))
        }
        Expr::Not(inner) => everyone - &members(inner, visible, everyone),
        Expr::And(left, right) => &members(left, visible, everyone) & &members(right, visible, everyone),
        Expr::Or(left, right) => &members(left, visible, everyone) | &members(right, visible, everyone),
    }
}
