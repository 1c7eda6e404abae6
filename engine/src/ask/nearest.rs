//! The known name that a misspelt one was probably meant to be.

/// The most edits between a misspelt name and what is offered for it.
const MAX_EDITS: usize = 3;
/// A name must have this many characters for each edit, so that short names are not turned into unrelated ones.
const CHARS_AN_EDIT: usize = 3;

/// Looks for the names nearest to one misspelt name; the letters' case does not count.
pub struct Nearest {
    wanted: Vec<char>,
    best: Option<(usize, String)>,
    rows: [Vec<usize>; 3],
}

impl Nearest {
    /// A search for `wanted`.
    pub fn new(wanted: &str) -> Self {
        Nearest { wanted: fold(wanted).collect(), best: None, rows: [const { Vec::new() }; 3] }
    }

    /// Considers one known name. Time: at worst the product of the two lengths; most names are refused at once.
    pub fn offer(&mut self, name: &str) {
        let allowed = (self.wanted.len() / CHARS_AN_EDIT).clamp(1, MAX_EDITS);
        let limit = match &self.best {
            Some((0, _)) => return,
            Some((edits, _)) => edits - 1,
            None => allowed,
        };
        // A character is one to four bytes, so that most names are refused without decoding them.
        let chars = self.wanted.len();
        if name.len() + limit < chars || name.len() > 4 * (chars + limit) {
            return;
        }
        if let Some(edits) = self.edits(name, limit) {
            self.best = Some((edits, name.to_owned()));
        }
    }

    /// The name with the fewest edits, the first offered of several; none when all need too many.
    pub fn finish(self) -> Option<String> {
        self.best.map(|(_, name)| name)
    }

    /// Insertions, deletions, replacements and swaps of neighbours between the two names, if there are at most `limit`.
    fn edits(&mut self, name: &str, limit: usize) -> Option<usize> {
        let wanted = &self.wanted;
        let [before, above, row] = &mut self.rows;
        above.clear();
        above.extend(0..=wanted.len());
        let mut last = None;
        for (i, c) in fold(name).enumerate() {
            row.clear();
            row.push(i + 1);
            for (j, &w) in wanted.iter().enumerate() {
                let mut cost = (above[j] + usize::from(c != w)).min(above[j + 1] + 1).min(row[j] + 1);
                if j > 0 && last == Some(w) && wanted[j - 1] == c {
                    cost = cost.min(before[j - 1] + 1);
                }
                row.push(cost);
            }
            // No later row gets below the smallest of this one.
            if row.iter().min().is_some_and(|&least| least > limit) {
                return None;
            }
            last = Some(c);
            std::mem::swap(before, above);
            std::mem::swap(above, row);
        }
        above.last().copied().filter(|&edits| edits <= limit)
    }
}

fn fold(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::Nearest;

    const KNOWN: [&str; 6] =
        ["crm.spectator", "geo.paris", "interest.music", "interest.theatre", "interest.ticketing", "Théâtre"];

    fn nearest(wanted: &str) -> Option<String> {
        let mut search = Nearest::new(wanted);
        for name in KNOWN {
            search.offer(name);
        }
        search.finish()
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        for (wrong, meant) in [
            ("interest.theater", "interest.theatre"),
            ("intrest.theatre", "interest.theatre"),
            ("interest.tehatre", "interest.theatre"),
            ("interest.ticketting", "interest.ticketing"),
            ("INTEREST.MUSIC", "interest.music"),
            ("crm.spectators", "crm.spectator"),
            ("theâtre", "Théâtre"),
        ] {
            assert_eq!(nearest(wrong).as_deref(), Some(meant), "{wrong}");
        }
    }

    #[test]
    fn another_word_is_not() {
        for other in ["", "x", "paris", "interest.football", "interest.theatrically", "crm.buyer", "日本"] {
            assert_eq!(nearest(other), None, "{other}");
        }
    }

    #[test]
    fn edits_are_counted_as_on_paper() {
        for (a, b, edits) in [("abc", "abc", 0), ("abc", "acb", 1), ("abcd", "badc", 2), ("", "ab", 2), ("abc", "c", 2)]
        {
            assert_eq!(Nearest::new(a).edits(b, 3), Some(edits), "{a} {b}");
            assert_eq!(Nearest::new(b).edits(a, 3), Some(edits), "{b} {a}");
        }
        assert_eq!(Nearest::new("abcdef").edits("uvwxyz", 3), None);
    }

    #[test]
    fn of_equally_near_names_the_first_is_taken() {
        let mut search = Nearest::new("interest.bat");
        search.offer("interest.cat");
        search.offer("interest.hat");
        assert_eq!(search.finish().as_deref(), Some("interest.cat"));
    }
}
