//! Rules that were compiled together.

use std::sync::Arc;

use super::compile::{Facts, Required, Word, holds};

/// What a run is made of: a rule in code, and where it is to be posted.
pub(super) struct Compiled {
    pub(super) name: Arc<str>,
    pub(super) code: Vec<Word>,
    pub(super) required: Option<Required>,
}

/// Compiled rules behind their postings. Memory: four bytes a number, some forty and its code a rule.
#[derive(Default)]
pub(super) struct Run {
    /// The rules' names.
    names: Vec<Arc<str>>,
    /// Where the code of each begins, and one more.
    starts: Vec<u32>,
    code: Vec<Word>,
    /// Where the rules of each number begin in `posted`, and one more.
    postings: Vec<u32>,
    posted: Vec<u32>,
    /// Rules that are posted nowhere.
    always: Vec<u32>,
}

impl Run {
    pub(super) fn new(rules: Vec<Compiled>) -> Self {
        let mut run = Self { starts: vec![0], ..Self::default() };
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        for (rule, compiled) in (0u32..).zip(rules) {
            run.names.push(compiled.name);
            run.code.extend(compiled.code);
            run.starts.push(run.code.len() as u32);
            match compiled.required {
                Some(required) => pairs.extend(required.numbers.iter().map(|&number| (number, rule))),
                None => run.always.push(rule),
            }
        }
        pairs.sort_unstable();
        for (place, &(number, rule)) in (0u32..).zip(&pairs) {
            // Numbers without a rule begin where the next one does.
            run.postings.resize(number as usize + 1, place);
            run.posted.push(rule);
        }
        run.postings.push(pairs.len() as u32);
        run
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, rule: u32) -> &Arc<str> {
        &self.names[rule as usize]
    }

    /// The rules of which a visitor with this number may be a member.
    #[inline]
    pub(super) fn posted(&self, number: u32) -> &[u32] {
        let Some(&[start, end]) = self.postings.get(number as usize..).and_then(|starts| starts.first_chunk()) else {
            return &[];
        };
        &self.posted[start as usize..end as usize]
    }

    /// The rules of which anybody may be a member.
    pub(super) fn always(&self) -> &[u32] {
        &self.always
    }

    /// Whether the visitor is a member.
    #[inline]
    pub(super) fn holds(&self, rule: u32, visitor: &impl Facts) -> bool {
        holds(&self.code, &mut (self.starts[rule as usize] as usize), visitor)
    }
}
