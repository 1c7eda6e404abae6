//! Counts a plan in one block after the other.
//!
//! A conjunction of segments goes straight to the fused kernels, as does one of unions. Where members are dead, the
//! containers are first copied without them; what is neither a segment nor a union of segments is built and then is a
//! container like any other. Buffers are kept from block to block: nothing is allocated once they have grown.

use usher_index::containers::Container;
use usher_index::{Counter, ImageError};

use super::conjunction::{Conjunction, Nested, Threshold, Union};
use super::sets::Sets;
use super::tally::Tally;

/// The most segments of a conjunction that is counted without any list of operands.
const MAX_PLAIN: usize = 8;

/// What an evaluator works in; kept by each thread from question to question.
#[derive(Default)]
pub struct Workspace {
    counter: Counter,
    /// One for each operand that had to be copied or built, at every depth.
    buffers: Vec<Vec<u8>>,
    /// Lists of operands that are not in use.
    lists: Vec<Lists>,
    /// Counters that are not in use.
    tallies: Vec<Tally>,
}

#[derive(Default)]
struct Lists {
    operands: Vec<Operand<'static>>,
    sets: Vec<Container<'static>>,
    ends: Vec<usize>,
}

/// Where an operand lies.
#[derive(Clone, Copy)]
enum Operand<'s> {
    Stored(Container<'s>),
    /// A list of live members in the buffer.
    List(usize),
    /// Bits in the buffer.
    Bits(usize),
}

/// Counts a plan of one shard.
pub struct Evaluator<'s> {
    sets: &'s Sets<'s>,
    plan: &'s Conjunction,
    /// The ranks, when the plan is nothing but segments.
    plain: Option<Vec<u32>>,
    /// Whether nothing in the plan is nested.
    flat: bool,
}

impl<'s> Evaluator<'s> {
    /// An evaluator of `plan` over the sets that were made for it.
    pub fn new(plan: &'s Conjunction, sets: &'s Sets<'s>) -> Self {
        let only = |union: &Union| match (&union.ranks[..], &union.nested[..]) {
            (&[rank], []) => Some(rank),
            _ => None,
        };
        let alone = plan.without.ranks.is_empty() && plan.without.nested.is_empty() && plan.of.len() <= MAX_PLAIN;
        let plain = if alone { plan.of.iter().map(only).collect() } else { None };
        let flat = plan.of.iter().chain([&plan.without]).all(|union| union.nested.is_empty());
        Self { sets, plan, plain, flat }
    }

    /// How many visitors of the block are in the set.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn count(&self, block: usize, workspace: &mut Workspace) -> Result<u32, ImageError> {
        let Some(ranks) = &self.plain else {
            return self.count_unions(block, workspace);
        };
        let mut sets = [Container::Empty; MAX_PLAIN];
        let clean = self.sets.is_clean(block);
        for (set, &rank) in sets.iter_mut().zip(ranks) {
            *set = self.sets.container(block, rank)?;
            if matches!(set, Container::Empty) {
                return Ok(0);
            }
            if !clean && !self.sets.dead(block, rank).is_empty() {
                return self.count_unions(block, workspace);
            }
        }
        Ok(workspace.counter.and(&mut sets[..ranks.len()]))
    }

    /// Writes who of the block is in the set as a bitmap's bytes, in place of what `into` held; nothing for nobody.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn build(&self, block: usize, workspace: &mut Workspace, into: &mut Vec<u8>) -> Result<(), ImageError> {
        into.clear();
        self.meet(self.plan, block, 0, workspace, |counter, sets, ends, _| counter.build(sets, ends, into))
    }

    fn count_unions(&self, block: usize, workspace: &mut Workspace) -> Result<u32, ImageError> {
        if self.flat && self.sets.is_clean(block) {
            return self.count_stored(block, workspace);
        }
        self.meet(self.plan, block, 0, workspace, |counter, sets, ends, _| counter.conjunction(sets, ends))
    }

    /// Counts a plan without nested parts in a block without dead: nothing is copied, nothing built.
    fn count_stored(&self, block: usize, workspace: &mut Workspace) -> Result<u32, ImageError> {
        let Lists { operands, sets, mut ends } = workspace.lists.pop().unwrap_or_default();
        let mut sets: Vec<Container<'_>> = recycled(sets);
        ends.clear();
        for union in &self.plan.of {
            self.store(&union.ranks, block, &mut sets)?;
            if ends.last().copied().unwrap_or(0) == sets.len() {
                break;
            }
            ends.push(sets.len());
        }
        let mut count = 0;
        if ends.len() == self.plan.of.len() {
            self.store(&self.plan.without.ranks, block, &mut sets)?;
            count = workspace.counter.conjunction(&sets, &ends);
        }
        workspace.lists.push(Lists { operands, sets: recycled(sets), ends });
        Ok(count)
    }

    /// Appends the containers of the ranks that have members in the block.
    fn store(&self, ranks: &[u32], block: usize, into: &mut Vec<Container<'s>>) -> Result<(), ImageError> {
        for &rank in ranks {
            match self.sets.container(block, rank)? {
                Container::Empty => {}
                container => into.push(container),
            }
        }
        Ok(())
    }

    /// Gathers the operands of a conjunction, copied or built ones in the buffers from `depth` on, and gives them to `done`,
    /// together with a buffer that is the one at `depth` afterwards. Where nobody is in it, `done` is not asked.
    fn meet<R: Default>(
        &self,
        plan: &Conjunction,
        block: usize,
        depth: usize,
        workspace: &mut Workspace,
        done: impl FnOnce(&mut Counter, &[Container<'_>], &[usize], &mut Vec<u8>) -> R,
    ) -> Result<R, ImageError> {
        if plan.of.iter().any(|union| !self.may_have(union, block)) {
            return Ok(R::default());
        }
        let Lists { operands, sets, mut ends } = workspace.lists.pop().unwrap_or_default();
        let mut operands: Vec<Operand<'_>> = recycled(operands);
        ends.clear();
        let mut used = depth;
        for union in &plan.of {
            self.gather(union, block, &mut used, workspace, &mut operands)?;
            ends.push(operands.len());
        }
        self.gather(&plan.without, block, &mut used, workspace, &mut operands)?;
        buffer(&mut workspace.buffers, used);
        let (kept, free) = workspace.buffers.split_at_mut(used);
        let mut sets: Vec<Container<'_>> = recycled(sets);
        sets.extend(operands.iter().map(|operand| match *operand {
            Operand::Stored(container) => container,
            Operand::List(at) => Container::Array(&kept[at]),
            Operand::Bits(at) => Container::Bitmap(&kept[at]),
        }));
        let answer = done(&mut workspace.counter, &sets, &ends, &mut free[0]);
        workspace.lists.push(Lists { operands: recycled(operands), sets: recycled(sets), ends });
        workspace.buffers.swap(depth, used);
        Ok(answer)
    }

    /// Whether anybody of the block may be in the union.
    fn may_have(&self, union: &Union, block: usize) -> bool {
        let all = |all: &Conjunction| all.of.iter().all(|union| self.may_have(union, block));
        union.ranks.iter().any(|&rank| self.sets.upper_bound(block, rank) > 0)
            || union.nested.iter().any(|nested| match nested {
                Nested::All(nested) => all(nested),
                Nested::AtLeast(Threshold { n, of }) => of.iter().filter(|of| all(of)).count() >= *n as usize,
            })
    }

    /// Builds who is in so many of the sets in the buffer at `depth`. False: nobody, and the buffer may hold anything.
    fn tally(
        &self,
        threshold: &Threshold,
        block: usize,
        depth: usize,
        workspace: &mut Workspace,
    ) -> Result<bool, ImageError> {
        let mut tally = workspace.tallies.pop().unwrap_or_default();
        let (mut met, mut left) = (0, threshold.of.len() as u32);
        tally.start(threshold.of.len());
        for set in &threshold.of {
            // Nobody can be in enough of them any more.
            if met + left < threshold.n {
                break;
            }
            left -= 1;
            let add = |counter: &mut Counter, sets: &[Container<'_>], ends: &[usize], into: &mut Vec<u8>| {
                if let ([only], [1]) = (sets, ends) {
                    tally.add(only);
                } else {
                    counter.build(sets, ends, into);
                    tally.add(&Container::Bitmap(into));
                }
                true
            };
            met += u32::from(self.meet(set, block, depth, workspace, add)?);
        }
        if met >= threshold.n {
            tally.at_least(threshold.n, buffer(&mut workspace.buffers, depth));
        }
        workspace.tallies.push(tally);
        Ok(met >= threshold.n)
    }

    fn gather(
        &self,
        union: &Union,
        block: usize,
        used: &mut usize,
        workspace: &mut Workspace,
        into: &mut Vec<Operand<'s>>,
    ) -> Result<(), ImageError> {
        for &rank in union.ranks.iter().filter(|&&rank| self.sets.upper_bound(block, rank) > 0) {
            let container = self.sets.container(block, rank)?;
            let dead = self.sets.dead(block, rank);
            if dead.is_empty() {
                into.push(Operand::Stored(container));
                continue;
            }
            let buffer = buffer(&mut workspace.buffers, *used);
            let live = workspace.counter.live(&container, dead, buffer);
            into.push(if live.is_listed() { Operand::List(*used) } else { Operand::Bits(*used) });
            *used += 1;
        }
        for nested in &union.nested {
            let build = |counter: &mut Counter, sets: &[Container<'_>], ends: &[usize], into: &mut Vec<u8>| {
                counter.build(sets, ends, into);
                true
            };
            let built = match nested {
                Nested::All(nested) => self.meet(nested, block, *used, workspace, build)?,
                Nested::AtLeast(threshold) => self.tally(threshold, block, *used, workspace)?,
            };
            if built {
                into.push(Operand::Bits(*used));
                *used += 1;
            }
        }
        Ok(())
    }
}

/// A buffer, made if need be.
fn buffer(buffers: &mut Vec<Vec<u8>>, at: usize) -> &mut Vec<u8> {
    if buffers.len() <= at {
        buffers.resize_with(at + 1, Vec::new);
    }
    &mut buffers[at]
}

/// The same memory for operands of another lifetime: an empty vector collected in place keeps its allocation.
fn recycled<T, U>(mut vec: Vec<T>) -> Vec<U> {
    vec.clear();
    vec.into_iter().filter_map(|_| None).collect()
}
