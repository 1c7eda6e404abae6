//! FORMAT.md agrees with the code, the golden index of every format opens, and damage is caught.

use std::fs;
use std::path::{Path, PathBuf};

use usher_bench::golden::{self, RULES, VISITORS};
use usher_index::image::{
    BITMAP_ALIGNMENT, FORMAT_VERSION, HEADER_BYTES, MAX_SHARD_VISITORS, SECTION_ALIGNMENT, Section, TRAILER_BYTES,
};
use usher_index::{Bits, IdType, Key, Op, Snapshot, Tick, Time, VisitorId};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn format_md_has_the_numbers_of_the_code() {
    let text = fs::read_to_string(root().join("engine/index/FORMAT.md")).expect("FORMAT.md");
    let compact = usher_index::containers::Policy::COMPACT;
    let expected = [
        format!("Format of images: **{FORMAT_VERSION}**"),
        format!("Of manifests: **{}**", usher_index::manifest::MANIFEST_VERSION),
        format!("Of the folder: **{}**", usher_index::files::FOLDER_VERSION),
        format!("Of veils: **{}**", usher_index::veils::VEILS_VERSION),
        format!("Of the live state: **{}**", usher_index::state::STATE_VERSION),
        format!("Of a batch\nof changes: **{}**", usher_index::state::BATCH_VERSION),
        format!("A header of {HEADER_BYTES}\nbytes"),
        format!("a trailer of {TRAILER_BYTES} bytes"),
        format!("each at a multiple of {SECTION_ALIGNMENT}"),
        format!("an array: {} |", compact.array_below),
        format!("Elias-Fano coded: {} |", thousands(compact.elias_fano_below.into())),
        format!("others a bitmap: {} |", thousands(compact.sparse_below.into())),
        format!("*fast* has {} for each", thousands(usher_index::containers::Policy::FAST.array_below.into())),
        format!("A bitmap begins at a multiple of {BITMAP_ALIGNMENT} bytes"),
        format!("visitors of a shard | {} |", thousands(MAX_SHARD_VISITORS.into())),
        format!("checksum of these {} bytes", TRAILER_BYTES - 16),
    ];
    for part in expected {
        assert!(text.contains(&part), "FORMAT.md does not say {part:?}");
    }
    for (number, section) in (1..).zip(Section::ALL) {
        let heading = format!("### {number}. {}", section.name());
        assert!(text.to_lowercase().contains(&heading), "FORMAT.md has no heading {heading:?}");
    }
}

fn assert_golden(dir: &Path) {
    let key = Key::from_bytes(golden::KEY);
    let snapshot = Snapshot::open(dir, Some(key.clone())).expect("the golden index opens");
    snapshot.verify(|_| {}).expect("the golden index is sound");
    let start = snapshot.tick().floor(Time::from_unix(golden::NOW).expect("in range")).get();
    let mut members = [0u32; RULES.len()];
    for number in 0..VISITORS {
        let id = golden::visitor(number);
        let pid = key.pid(&IdType::default(), VisitorId::new(&id).expect("short"));
        let shard = snapshot.shard_of(pid).expect("one shard");
        let mut found = Vec::new();
        let known = shard.lookup(pid, |rank, entry| found.push((shard.names()[rank as usize].to_string(), entry)));
        assert!(known.expect("sound"), "visitor {number}");
        found.sort();
        let mut expected: Vec<_> = RULES.iter().enumerate().filter(|(_, rule)| number % rule.every == 0).collect();
        expected.sort_by_key(|(_, rule)| rule.segment);
        assert_eq!(found.len(), expected.len(), "visitor {number}");
        for ((name, entry), (index, rule)) in found.iter().zip(expected) {
            let times = (name.as_str(), entry.observed.get(), entry.expiry.get());
            assert_eq!(times, (rule.segment, start, start + rule.hours), "visitor {number}");
            members[index] += 1;
        }
    }
    for (hours, shard) in [0, 1, 2, 24, 48, 72].into_iter().zip(snapshot.shards().iter().cycle()) {
        let sweep = shard.at(Tick::new(start + hours)).expect("sound");
        for (rule, &expected) in RULES.iter().zip(&members) {
            let mut bits = Bits::empty();
            let rank = shard.rank(rule.segment).expect("named");
            shard.members(0, rank, &sweep, &mut bits, Op::Or).expect("sound");
            assert_eq!(bits.count(), if rule.hours > hours { expected } else { 0 }, "{} after {hours} h", rule.segment);
        }
    }
}

#[test]
fn golden_indexes_open() {
    let folder = root().join("data-samples/golden");
    for format in 1..=FORMAT_VERSION {
        assert_golden(&folder.join(format.to_string()));
    }
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut images: Vec<_> = entries.filter(|name| name.to_string_lossy().starts_with("img.")).collect();
        images.sort();
        images
    };
    let (first, second) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for dir in [&first, &second] {
        golden::write(&dir.path().join("index")).expect("it builds");
        assert_golden(&dir.path().join("index"));
    }
    // The name of an image holds the digest of its bytes.
    assert_eq!(names(&first.path().join("index")), names(&second.path().join("index")));
}

/// Flips one bit a byte of what decides how the rest is read, and of a sample of the rest; every flip must be refused
/// when the index is opened, or change nothing.
#[test]
fn flipped_bytes_are_caught() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = dir.path().join("index");
    golden::write(&index).expect("it builds");
    let mut entries = fs::read_dir(&index).expect("a folder").map(|entry| entry.expect("an entry").path());
    let image = entries.find(|path| path.to_string_lossy().contains("img.")).expect("one image");
    let bytes = fs::read(&image).expect("readable");
    let head = 0..HEADER_BYTES;
    let tail = bytes.len() - TRAILER_BYTES..bytes.len();
    let body = (HEADER_BYTES..bytes.len() - TRAILER_BYTES).step_by(97);
    let mut caught = 0;
    for at in head.clone().chain(tail.clone()).chain(body) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1 << (at % 8);
        fs::remove_file(&image).expect("ours");
        fs::write(&image, &wrong).expect("writable");
        if let Err(error) = Snapshot::open(&index, None) {
            assert!(error.to_string().contains("damaged") || error.to_string().contains("format"), "{error}");
            caught += 1;
        } else {
            assert!(!head.contains(&at) && !tail.contains(&at), "byte {at} of the header or trailer went unnoticed");
            let padding = bytes[at] == 0;
            assert!(padding, "byte {at} went unnoticed and is no padding");
        }
    }
    assert!(caught > 400, "only {caught} flips were caught");
}
