//! Frozen containers counted and folded.
//!
//! [`plain`] folds one container into bits, the slow and obvious way; verification uses it. [`Counter`] counts
//! conjunctions of unions without building their results: the same algorithms ([`count`]) are compiled once for each
//! [`Level`] of the processor, on the operations of its [`isa::Isa`], and the level is chosen while the program runs.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod change;
mod count;
mod dense;
mod isa;
mod lists;
#[cfg(target_arch = "x86_64")]
mod pack;
mod plain;
mod portable;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::bits::Bits;
use crate::containers::Container;

use count::Scratch;
use portable::Portable;

/// Which instructions are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Those that every machine has.
    Portable,
    /// AVX2, BMI2, POPCNT, SSE4.2.
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    /// AVX-512 with byte expansion (VBMI2) and vector popcount: the sparse kind costs about as much as the bitmap then.
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
}

impl Level {
    /// The best of this machine. The detection is kept by the standard library: a few loads.
    #[must_use]
    pub fn best() -> Self {
        Self::all().last().unwrap_or(Self::Portable)
    }

    /// All that this machine has, the best last.
    pub fn all() -> impl Iterator<Item = Self> {
        let levels = [Some(Self::Portable)].into_iter();
        #[cfg(target_arch = "x86_64")]
        let levels = levels.chain([x86::Avx2::detect().map(Self::Avx2), avx512::Avx512::detect().map(Self::Avx512)]);
        levels.flatten()
    }
}

/// Compiles an algorithm of [`count`] for every level.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty) => {
        fn $name(level: Level, $($arg: $ty),*) -> $ret {
            match level {
                Level::Portable => count::$name(Portable, $($arg),*),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2(isa) => {
                    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,sse4.2")]
                    fn compiled(isa: x86::Avx2, $($arg: $ty),*) -> $ret {
                        count::$name(isa, $($arg),*)
                    }
                    // SAFETY: the token exists only where `detect` found these features.
                    unsafe { compiled(isa, $($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                Level::Avx512(isa) => {
                    #[target_feature(
                        enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq,avx2,bmi1,bmi2,lzcnt,popcnt,sse4.2"
                    )]
                    fn compiled(isa: avx512::Avx512, $($arg: $ty),*) -> $ret {
                        count::$name(isa, $($arg),*)
                    }
                    // SAFETY: the token exists only where `detect` found these features.
                    unsafe { compiled(isa, $($arg),*) }
                }
            }
        }
    };
}

dispatched!(conjunction(sets: &[Container<'_>], ends: &[usize], scratch: &mut Scratch) -> u32);
dispatched!(and(sets: &mut [Container<'_>], scratch: &mut Scratch) -> u32);
dispatched!(build(sets: &[Container<'_>], ends: &[usize], scratch: &mut Scratch) -> ());
dispatched!(list(set: &Container<'_>, scratch: &mut Scratch) -> usize);

/// What counts containers of one block, and the memory (about 400 KiB, touched as needed) that it works in.
pub struct Counter {
    level: Level,
    scratch: Scratch,
}

impl Default for Counter {
    fn default() -> Self {
        Self::new(Level::best())
    }
}

impl Counter {
    /// A counter by these instructions.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self { level, scratch: Scratch::new() }
    }

    /// How many visitors are in every set (of none: none). The sets are put in order, the smallest first.
    #[inline]
    pub fn and(&mut self, sets: &mut [Container<'_>]) -> u32 {
        and(self.level, sets, &mut self.scratch)
    }

    /// How many visitors are in every union and in none of the rest: the unions are `sets[..ends[0]]`,
    /// `sets[ends[0]..ends[1]]` and so on, the rest is what stands after the last. Without a union: none.
    pub fn conjunction(&mut self, sets: &[Container<'_>], ends: &[usize]) -> u32 {
        conjunction(self.level, sets, ends, &mut self.scratch)
    }

    /// Writes those visitors as a bitmap's bytes, in place of what `into` held.
    pub fn build(&mut self, sets: &[Container<'_>], ends: &[usize], into: &mut Vec<u8>) {
        build(self.level, sets, ends, &mut self.scratch);
        self.take(&[], into);
    }

    /// Writes a container without the dead (ascending), in place of what `into` held: an array of a kind that is a list,
    /// a bitmap of others.
    pub fn live<'b>(&mut self, set: &Container<'_>, dead: &[u16], into: &'b mut Vec<u8>) -> Container<'b> {
        if set.is_listed() {
            let length = list(self.level, set, &mut self.scratch);
            into.clear();
            let mut dead = dead.iter().copied().peekable();
            for two in self.scratch.listed(length) {
                let ordinal = u16::from_le_bytes(*two);
                while dead.next_if(|&dead| dead < ordinal).is_some() {}
                if dead.peek() != Some(&ordinal) {
                    into.extend_from_slice(two);
                }
            }
            return Container::Array(into);
        }
        build(self.level, std::slice::from_ref(set), &[1], &mut self.scratch);
        self.take(dead, into);
        Container::Bitmap(into)
    }

    /// Moves the built bits out, without the dead.
    fn take(&mut self, dead: &[u16], into: &mut Vec<u8>) {
        let bits: &mut Bits = self.scratch.built();
        dead.iter().for_each(|&ordinal| bits.remove(ordinal));
        into.clear();
        into.extend(bits.words().iter().flat_map(|word| word.to_le_bytes()));
        bits.clear();
    }
}
