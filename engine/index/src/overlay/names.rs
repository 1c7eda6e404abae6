//! The overlay's own numbers for segments: ranks of images and numbers of the state never mix with them.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use crate::segments::Segment;

/// Names are put in order when one in so many of all is new.
const NEW_ONE_IN: usize = 64;

/// A segment with its number in one overlay.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    pub(super) number: u32,
    /// The segment.
    pub segment: Segment,
}

impl Name {
    /// The overlay's own number of the segment, counted from 0 without gaps.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// Gives each name a number in the order of arrival. Whoever brings a name first is its source.
#[derive(Default)]
pub(super) struct Interner {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<Name>>,
    /// The numbers in the order of their names, of those that were there when they were last put in order.
    order: Vec<u32>,
    /// Where each of these stands in it.
    places: Vec<u32>,
}

impl Interner {
    pub(super) fn number(&mut self, name: &Arc<str>, source: &Arc<str>) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        // A number for each of 2^32 distinct names would need a terabyte of names first.
        let number = self.names.len() as u32;
        let segment = Segment { name: Arc::clone(name), source: Arc::clone(source) };
        self.names.push(Arc::new(Name { number, segment }));
        self.numbers.insert(Arc::clone(name), number);
        number
    }

    /// The source of a name.
    pub(super) fn source(&self, name: &str) -> Option<Arc<str>> {
        let number = *self.numbers.get(name)?;
        self.names.get(number as usize).map(|name| Arc::clone(&name.segment.source))
    }

    /// The names by number.
    pub(super) fn names(&self) -> &[Arc<Name>] {
        &self.names
    }

    /// Puts new names in order if there are enough of them. Time: some steps for each new name, in all.
    pub(super) fn sort(&mut self) {
        let (sorted, all) = (self.order.len(), self.names.len());
        if (all - sorted) * NEW_ONE_IN < all.max(1) {
            return;
        }
        let mut new: Vec<u32> = (sorted as u32..all as u32).collect();
        new.sort_unstable_by(|&a, &b| self.name(a).cmp(self.name(b)));
        let (mut order, mut rest) = (Vec::with_capacity(all), &self.order[..]);
        for number in new {
            let (before, after) = rest.split_at(rest.partition_point(|&known| self.name(known) < self.name(number)));
            order.extend_from_slice(before);
            order.push(number);
            rest = after;
        }
        order.extend_from_slice(rest);
        self.places.resize(all, 0);
        (0..).zip(&order).for_each(|(place, &number)| self.places[number as usize] = place);
        self.order = order;
    }

    /// The order of two names by their UTF-8 bytes. Most have been put in order before, and are not looked at.
    #[inline]
    pub(super) fn compare(&self, a: u32, b: u32) -> Ordering {
        match (self.places.get(a as usize), self.places.get(b as usize)) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => self.name(a).cmp(self.name(b)),
        }
    }

    fn name(&self, number: u32) -> &str {
        &self.names[number as usize].segment.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_whether_they_were_sorted_or_came_later() {
        let (mut names, mut rounds_with_new) = (Interner::default(), 0);
        for round in 0..300u32 {
            // 7,919 is prime: the names come in no order.
            let name = |number: u32| format!("n{}", number * 7_919 % 10_007);
            names.number(&name(round).into(), &"s".into());
            names.sort();
            rounds_with_new += usize::from(names.places.len() < names.names.len());
            for other in 0..=round {
                assert_eq!(names.compare(other, round), name(other).cmp(&name(round)), "{other} and {round}");
            }
        }
        assert!(
            (100..250).contains(&rounds_with_new),
            "{rounds_with_new} rounds of 300 with some that were not in order"
        );
    }
}
