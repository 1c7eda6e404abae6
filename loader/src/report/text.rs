//! A report for people.

use std::fmt::Write as _;

use bytesize::ByteSize;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use usher_index::Outcome;

use super::{Report, Seconds};

impl Report {
    /// The report for people: a table and a few lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}: {}{}\n", self.source, self.file, self.manner());
        if self.failed.is_some() {
            text += "  failed: nothing of it was taken\n";
        }
        if self.already_delivered {
            text += "  these bytes were delivered before; nothing was done (--again loads them once more). The first time:\n";
        }
        if self.received > 0 {
            let _ = writeln!(text, "{}", self.waterfall());
        }
        for (what, moment) in [
            ("received", Some(&self.times.received)),
            ("applied", self.times.applied.as_ref()),
            ("visible", self.times.visible.as_ref()),
        ] {
            if let Some(moment) = moment {
                let _ = writeln!(text, "  {what:<9}{moment}");
            }
        }
        self.last_lines(&mut text);
        text
    }

    /// Packing, format and size in brackets, as far as they are known.
    fn manner(&self) -> String {
        match (self.bytes, self.packing.as_str()) {
            (0, _) => String::new(),
            (bytes, "plain") => format!(" ({}, {})", self.format, ByteSize(bytes)),
            (bytes, packing) => {
                format!(" ({} in {packing}, {} of {})", self.format, ByteSize(bytes), ByteSize(self.unpacked_bytes))
            }
        }
    }

    fn waterfall(&self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING);
        let mut row = |name: &str, count: u64| {
            table.add_row(vec![name.to_owned(), grouped(count)]);
        };
        row("received", self.received);
        row("  - malformed", self.malformed);
        self.refused.iter().for_each(|(code, count)| row(&format!("  - {code}"), *count));
        row("taken", self.taken);
        if let Some(Outcome { new, renewed, unchanged, removed }) = self.outcome {
            [("new", new), ("renewed", renewed), ("unchanged", unchanged), ("removed", removed)]
                .iter()
                .for_each(|(name, count)| row(&format!("  - {name}"), *count));
        }
        row("shortened", self.shortened);
        if self.skipped > 0 {
            row("left out by --only-lines", self.skipped);
        }
        if let Some(counts) = table.column_mut(1) {
            counts.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn last_lines(&self, text: &mut String) {
        if let (Some(generation), false) = (self.generation, self.already_delivered) {
            let Seconds { read, build, sort, survey, freeze, publish } = self.seconds;
            let _ = writeln!(
                text,
                "  generation {generation}; {read:.2} s reading, {build:.2} s building (sort {sort:.2}, survey {survey:.2}, \
                 freeze {freeze:.2}, publish {publish:.2}), {} rows a second",
                grouped(self.rows_per_second)
            );
        }
        if !self.ignored_columns.is_empty() {
            let _ = writeln!(text, "  columns not read: {}", self.ignored_columns.join(", "));
        }
        if let Some(path) = &self.quarantine {
            let _ = writeln!(text, "  rows not taken are listed in {path}");
        }
    }
}

/// The number with a comma between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_a_table() {
        let text = super::super::tests::report().to_text();
        for part in ["mag: f.tsv", "received", "- bad_time", "- unchanged", "1970-01-01T00:00:00Z"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
    }
}
