//! How many sizes a planner may have in a day: whoever could ask without end could average the noise away over sets that
//! differ by one visitor.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use usher_index::Time;

use crate::ask::disclose::{Counted, MAX_LARGE_SETS, MAX_SMALL_SETS};

/// Who asks a server that has no keys.
pub const LOCAL: &str = "local";
const DAY_SECS: i64 = 86_400;

/// What a size is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charge {
    /// A single segment: everybody may see those.
    Nothing,
    /// A set.
    Set,
    /// A saved audience, once a day, whoever is in it by then.
    Audience(String),
}

/// What each caller had today, UTC. It is kept in memory: a server that starts again begins anew.
#[derive(Default)]
pub struct Budget(Mutex<Day>);

#[derive(Default)]
struct Day {
    number: i64,
    callers: HashMap<String, Spent>,
}

#[derive(Default)]
struct Spent {
    small: HashSet<Item>,
    large: HashSet<Item>,
}

#[derive(PartialEq, Eq, Hash)]
enum Item {
    Set(Counted),
    Audience(String),
}

/// The caller had as many sets as a day has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overspent {
    /// Until the next day begins.
    pub seconds: u32,
}

impl Budget {
    /// Charges a size to a caller. What was had today costs nothing more.
    ///
    /// # Errors
    /// [`Overspent`]: then the size must not be shown.
    pub fn charge(&self, caller: &str, charge: &Charge, set: Counted, now: Time) -> Result<(), Overspent> {
        let item = match charge {
            Charge::Nothing => return Ok(()),
            Charge::Set => Item::Set(set),
            Charge::Audience(name) => Item::Audience(name.clone()),
        };
        let mut day = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.unix().div_euclid(DAY_SECS);
        if day.number != number {
            *day = Day { number, ..Day::default() };
        }
        let spent = day.callers.entry(caller.to_owned()).or_default();
        let (had, bound) = match set.is_named() {
            true => (&mut spent.small, MAX_SMALL_SETS),
            false => (&mut spent.large, MAX_LARGE_SETS),
        };
        if !had.contains(&item) && had.len() >= bound {
            let seconds = DAY_SECS - now.unix().rem_euclid(DAY_SECS);
            return Err(Overspent { seconds: seconds as u32 });
        }
        had.insert(item);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_so_many_sets_and_the_same_set_costs_once() {
        // Noon of a day, UTC.
        let (budget, noon) = (Budget::default(), Time::from_unix(1_800_014_400).unwrap());
        let small = |n: u64| Counted { visitors: 500, members: u128::from(n) };
        let ask = |charge: &Charge, set, now| budget.charge("anna", charge, set, now);
        for n in 0..MAX_SMALL_SETS as u64 {
            assert_eq!(ask(&Charge::Set, small(n), noon), Ok(()));
            assert_eq!(ask(&Charge::Set, small(n / 2), noon), Ok(()));
        }
        assert_eq!(ask(&Charge::Set, small(1_000), noon), Err(Overspent { seconds: 43_200 }));
        assert_eq!(ask(&Charge::Set, small(7), noon), Ok(()), "had before");
        assert_eq!(ask(&Charge::Nothing, small(1_001), noon), Ok(()));
        assert!(ask(&Charge::Audience("autumn".to_owned()), small(1_002), noon).is_err());
        let large = |n: u64| Counted { visitors: 10_000 + n, members: 0 };
        (0..MAX_LARGE_SETS as u64).for_each(|n| assert_eq!(ask(&Charge::Set, large(n), noon), Ok(())));
        assert!(ask(&Charge::Set, large(1_000), noon).is_err());
        assert_eq!(budget.charge("ben", &Charge::Set, small(1_000), noon), Ok(()), "everybody has a budget");
        let tomorrow = Time::from_unix(noon.unix() + 43_200).unwrap();
        assert_eq!(ask(&Charge::Audience("autumn".to_owned()), small(1), tomorrow), Ok(()));
        (2..101).for_each(|n| assert_eq!(ask(&Charge::Audience("autumn".to_owned()), small(n), tomorrow), Ok(())));
        (2..101).for_each(|n| assert_eq!(ask(&Charge::Set, small(n), tomorrow), Ok(())));
        assert!(ask(&Charge::Set, small(101), tomorrow).is_err());
    }
}
