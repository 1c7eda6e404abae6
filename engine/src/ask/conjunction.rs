//! A plan as it is counted: unions, intersections and thresholds of ranks.

/// Who is in every union of `of`, at least one, and not in `without`.
#[derive(Clone, Debug, Default)]
pub struct Conjunction {
    /// The unions.
    pub of: Vec<Union>,
    /// Who is left out.
    pub without: Union,
}

/// Who is in a set of one of the ranks, or in something nested.
#[derive(Clone, Debug, Default)]
pub struct Union {
    /// Ranks of segments, of *everyone*, or of sets that only this question asks for.
    pub ranks: Vec<u32>,
    /// What is none of these.
    pub nested: Vec<Nested>,
}

/// A set that has to be built.
#[derive(Clone, Debug)]
pub enum Nested {
    /// Of those who are in a conjunction.
    All(Conjunction),
    /// Of those who are in so many at least.
    AtLeast(Threshold),
}

/// Who is in `n` or more of the sets; 2 or more, and fewer than there are sets.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// How many.
    pub n: u32,
    /// The sets.
    pub of: Vec<Conjunction>,
}

impl Conjunction {
    /// Calls `each` for every rank, repeated ones too.
    pub fn each_rank(&self, each: &mut impl FnMut(u32)) {
        for union in self.of.iter().chain([&self.without]) {
            union.ranks.iter().for_each(|&rank| each(rank));
            for nested in &union.nested {
                match nested {
                    Nested::All(all) => all.each_rank(each),
                    Nested::AtLeast(threshold) => threshold.of.iter().for_each(|all| all.each_rank(each)),
                }
            }
        }
    }
}
