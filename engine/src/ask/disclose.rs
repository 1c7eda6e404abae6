//! A size as it may leave the house.

use serde::Serialize;

/// A count of visitors in the form that may be shown: the only thing that is serialised as a size.
///
/// Written as `{"below":100}`, as `{"about":12000,"low":11500,"high":12500}` (two significant digits, and the range of
/// the counts that are rounded to it), or as `{"exact":11873}` where the asker may see it.
///
/// ```
/// use usher_engine::ask::disclose::Disclosed;
/// let shown = serde_json::to_string(&Disclosed::of(11_873, 100))?;
/// assert_eq!(shown, r#"{"about":12000,"low":11500,"high":12500}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Disclosed(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Form {
    Exact { exact: u64 },
    Below { below: u64 },
    About { about: u64, low: u64, high: u64 },
}

impl Disclosed {
    /// What a planner may see of `exact`: that it is below `floor`, else two significant digits, halves rounded up.
    ///
    /// `low` and `high` depend on `about` alone, so that they tell no more than the two digits do.
    pub fn of(exact: u64, floor: u64) -> Self {
        if exact < floor {
            return Disclosed(Form::Below { below: floor });
        }
        let unit = unit_of(exact);
        let up = unit > 1 && exact % unit >= unit / 2;
        let about = (exact / unit + u64::from(up)) * unit;
        // Below a power of ten the digits are finer than above it: 99,500 and 104,999 are both about 100,000.
        let low = about - unit_of(about.saturating_sub(1)) / 2;
        let high = about.saturating_add(unit_of(about) / 2);
        Disclosed(Form::About { about, low, high })
    }

    /// The count itself, for those who may see it.
    pub fn exact(exact: u64) -> Self {
        Disclosed(Form::Exact { exact })
    }
}

/// What one step of the second significant digit is worth: a power of ten, 1 below 100.
fn unit_of(n: u64) -> u64 {
    10_u64.pow(n.checked_ilog10().unwrap_or(0).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::Disclosed;

    fn shown(exact: u64, floor: u64) -> String {
        serde_json::to_string(&Disclosed::of(exact, floor)).unwrap()
    }

    #[test]
    fn below_the_floor_only_the_floor_is_told() {
        for exact in [0, 1, 99] {
            assert_eq!(shown(exact, 100), r#"{"below":100}"#);
        }
        assert_eq!(shown(100, 100), r#"{"about":100,"low":100,"high":105}"#);
        assert_eq!(shown(0, 0), r#"{"about":0,"low":0,"high":0}"#);
        assert_eq!(shown(7, 5), r#"{"about":7,"low":7,"high":7}"#);
    }

    #[test]
    fn two_digits_are_told_above_it() {
        for (exact, about, low, high) in [
            (101, 100, 100, 105),
            (105, 110, 105, 115),
            (994, 990, 985, 995),
            (995, 1_000, 995, 1_050),
            (11_499, 11_000, 10_500, 11_500),
            (11_873, 12_000, 11_500, 12_500),
            (99_499, 99_000, 98_500, 99_500),
            (99_500, 100_000, 99_500, 105_000),
            (104_999, 100_000, 99_500, 105_000),
            (u64::MAX, 18_000_000_000_000_000_000_u64, 17_500_000_000_000_000_000_u64, u64::MAX),
        ] {
            let expected = format!(r#"{{"about":{about},"low":{low},"high":{high}}}"#);
            assert_eq!(shown(exact, 100), expected, "{exact}");
        }
    }

    #[test]
    fn the_range_holds_every_count_that_is_rounded_to_it() {
        let fine = 0..20_000;
        let around_powers = (4..19).flat_map(|p| (0..200).map(move |i| 10_u64.pow(p) - 100 + i));
        for exact in fine.chain(around_powers) {
            let json: serde_json::Value = serde_json::from_str(&shown(exact, 0)).unwrap();
            let field = |name: &str| json[name].as_u64().unwrap();
            assert!(field("low") <= exact && exact <= field("high"), "{exact}: {json}");
            assert!(field("low") <= field("about") && field("about") <= field("high"), "{exact}: {json}");
        }
    }

    #[test]
    fn exact_is_told_on_request() {
        assert_eq!(serde_json::to_string(&Disclosed::exact(11_873)).unwrap(), r#"{"exact":11873}"#);
    }
}
