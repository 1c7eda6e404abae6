//! Fields between tabs. There is no quoting: a field holds neither tab nor line feed.

/// The byte between two fields.
pub(super) const TAB: u8 = b'\t';

/// Hands each field of a record to `each`, with its place, and says how many there were.
#[inline]
pub(super) fn fields<'a>(record: &'a [u8], each: impl FnMut(usize, &'a [u8])) -> usize {
    split(record, TAB, each)
}

/// [`fields`] for any separator.
#[inline]
pub(super) fn split<'a>(record: &'a [u8], separator: u8, mut each: impl FnMut(usize, &'a [u8])) -> usize {
    let (mut start, mut index) = (0, 0);
    for end in memchr::memchr_iter(separator, record) {
        each(index, &record[start..end]);
        (start, index) = (end + 1, index + 1);
    }
    each(index, &record[start..]);
    index + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_seen_the_empty_ones_too() {
        for (record, expected) in
            [("", vec![""]), ("a", vec!["a"]), ("a\tb", vec!["a", "b"]), ("\t\"x\ty\"\t", vec!["", "\"x", "y\"", ""])]
        {
            let mut seen = Vec::new();
            let count = fields(record.as_bytes(), |index, field| seen.push((index, field)));
            let expected: Vec<_> = expected.iter().map(|field| field.as_bytes()).enumerate().collect();
            assert_eq!((count, seen), (expected.len(), expected));
        }
    }
}
