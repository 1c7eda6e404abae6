//! `usher-bench samples DIR`: writes the theatre's feeds and questions, and the charter and the notes that go with
//! them. The same seed writes the same bytes.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};

use crate::questions::{self, Town};
use crate::theatre::{Feed, Line, feeds};

/// Written by hand, and delivered with the rest.
const CHARTER: &str = include_str!("../../data-samples/charter.toml");
const NOTES: &str = include_str!("../../data-samples/README.md");

/// Every file of the samples: its name and its bytes.
///
/// # Errors
/// When the compression fails, which it does not in memory.
pub fn files(seed: u64) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let feeds = feeds(seed);
    let questions = questions::file(&Town::admit(&feeds));
    let [citymag, seatfinder, cityguide, crm] = &feeds[..] else {
        anyhow::bail!("expected four feeds, found {}", feeds.len());
    };
    Ok(vec![
        ("README.md", NOTES.into()),
        ("charter.toml", CHARTER.into()),
        ("citymag.csv", csv(citymag, false).into()),
        ("seatfinder.jsonl", jsonl(seatfinder).into()),
        ("cityguide.tsv.gz", gzip(tsv(cityguide).as_bytes())?),
        ("spectators.csv", csv(crm, true).into()),
        ("questions.txt", questions.into()),
    ])
}

/// Writes every file into the folder, which is made when it is not there.
///
/// # Errors
/// When the folder or a file cannot be written.
pub fn write(seed: u64, dir: &Path, out: &mut dyn std::io::Write) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    for (name, bytes) in files(seed)? {
        let path = dir.join(name);
        fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(out, "{:>9} bytes  {}", bytes.len(), path.display())?;
    }
    Ok(())
}

fn csv(feed: &Feed, with_action: bool) -> String {
    let mut text = String::from(if with_action { "visitor,segment,ttl,action\n" } else { "visitor,segment,ttl\n" });
    for line in &feed.lines {
        text.push_str(&format!("{},{},{}", line.visitor, csv_field(&line.segment), line.ttl));
        if with_action {
            text.push_str(if line.remove { ",remove" } else { ",add" });
        }
        text.push('\n');
    }
    text
}

fn csv_field(text: &str) -> String {
    let plain = !text.contains([',', '"', ' ']);
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

fn jsonl(feed: &Feed) -> String {
    let line = |Line { visitor, segment, ttl, .. }: &Line| {
        format!("{{\"visitor\":\"{visitor}\",\"segment\":\"{segment}\",\"ttl\":\"{ttl}\"}}\n")
    };
    feed.lines.iter().map(line).collect()
}

fn tsv(feed: &Feed) -> String {
    feed.lines.iter().map(|line| format!("{}\t{}\t{}\n", line.visitor, line.segment, line.ttl)).collect()
}

/// No name and no time in the header.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::PathBuf;

    use super::*;
    use crate::theatre::SEED;

    /// The folder may hold no more than a reader can look through.
    const MAX_BYTES: usize = 700 * 1024;

    fn unpacked(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        if name.ends_with(".gz") {
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("whole gzip");
        } else {
            plain.extend_from_slice(bytes);
        }
        plain
    }

    #[test]
    fn the_committed_samples_are_what_the_generator_writes() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../data-samples");
        let mut total = 0;
        for (name, bytes) in files(SEED).expect("four feeds") {
            let committed = fs::read(folder.join(name)).unwrap_or_default();
            // The text is compared, not the packing: another compressor may pack the same text otherwise.
            let same = unpacked(name, &committed) == unpacked(name, &bytes);
            assert!(same, "data-samples/{name} differs: cargo run -p usher-bench -- samples data-samples");
            total += committed.len();
        }
        assert!(total < MAX_BYTES, "{total} bytes");
    }

    #[test]
    fn a_seed_writes_the_same_bytes_twice() {
        assert_eq!(files(SEED).expect("four feeds"), files(SEED).expect("four feeds"));
    }

    #[test]
    fn fields_are_quoted_as_csv_wants() {
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_field("interest.theatre"), "interest.theatre");
    }
}
