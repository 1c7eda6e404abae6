//! Damaged and foreign files: refused by name, or harmless; and the generation before goes on answering.

use std::fs;
use std::path::{Path, PathBuf};

use usher_bench::damage;
use usher_index::files::manifest_name;
use usher_index::{Key, Snapshot};

use crate::crash::contents;
use crate::programs::{House, loader, path_text};

const NOW: i64 = 1_790_000_000;

#[test]
fn flips_and_cuts_are_refused_or_change_nothing() {
    let mut said = Vec::new();
    let tally = damage::run(200, 200, &mut said).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(tally.refused > 10_000 && tally.harmless < 20, "{tally:?}");
    assert_eq!(tally.forged_refused + tally.forged_answered, 200, "{tally:?}");
    // Of the live state a damage is refused, or all that was acknowledged is there; else the run above has failed.
    let live = tally.live;
    assert!(live.refused > 100 && live.harmless > 100 && live.veils_refused > 500, "{live:?}");
}

/// Two generations: one visitor, then two.
fn house() -> House {
    let house = House::new(None);
    for (name, row) in [("one.csv", "a,s\n"), ("two.csv", "b,s\n")] {
        let file = house.file(name, format!("visitor,segment\n{row}").as_bytes());
        assert_eq!(house.load(&[file], "mag", NOW, &[]).0, 0);
    }
    assert_eq!(house.open().count("s", NOW), 2);
    house
}

fn image(house: &House) -> PathBuf {
    let open = house.open();
    let line = &open.snapshot.manifest().expect("a built index").images[0];
    house.data().join(&line.file)
}

/// Files of an index are read-only, and some users may not write over such.
fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).expect("it is there");
    fs::write(path, bytes).expect("a temporary folder");
}

#[test]
fn the_generation_before_answers_when_the_newest_is_damaged() {
    for manifest in [true, false] {
        let house = house();
        let path = if manifest { house.data().join(manifest_name(2)) } else { image(&house) };
        let mut bytes = fs::read(&path).expect("readable");
        let middle = bytes.len() / 2;
        bytes.truncate(middle);
        replace(&path, &bytes);
        let open = house.open();
        assert_eq!((open.snapshot.generation(), open.count("s", NOW)), (1, 1));
        let said = loader(&["verify", "--data", path_text(&house.data())]);
        assert!(said.code == 1 && said.err.contains("is damaged"), "{said:?}");
        // The next load builds on the one that answers, and takes a number of its own.
        let file = house.file("three.csv", b"visitor,segment\nc,s\n");
        assert_eq!(house.load(&[file], "mag", NOW, &[]).0, 0);
        let open = house.open();
        assert_eq!((open.snapshot.generation(), open.count("s", NOW)), (3, 2));
        house.verify();
    }
}

/// What the loader says to a load and an inspection of a folder that it must leave as it is.
fn refused(house: &House, more: &[&str], expected: &str) {
    let (data, before) = (house.data(), contents(&house.data()));
    let file = house.file("new.csv", b"visitor,segment\nz,s\n");
    let load = ["load", path_text(&file), "--data", path_text(&data), "--source", "mag", "--now", "1790000000"];
    for args in [load.as_slice(), &["inspect", "--data", path_text(&data)]] {
        let said = loader(&[args, more].concat());
        assert!(said.code == 1 && said.err.contains(expected), "{expected:?} is not in {said:?}");
    }
    assert_eq!(contents(&data), before);
}

#[test]
fn newer_formats_are_named() {
    let first = house();
    replace(&first.data().join("FORMAT"), b"usher 99\n");
    refused(&first, &[], "is of format 99; this Usher reads formats up to");
    let second = house();
    for generation in [1, 2] {
        replace(&second.data().join(manifest_name(generation)), b"usher-manifest 99\nanything");
    }
    refused(&second, &[], "is of format 99; this Usher reads formats up to");
    let third = house();
    fs::remove_file(third.data().join(manifest_name(1))).expect("it is there");
    let path = image(&third);
    let mut bytes = fs::read(&path).expect("readable");
    bytes[8] = 99;
    replace(&path, &bytes);
    refused(&third, &[], "is of format 99; this Usher reads formats up to");
}

#[test]
fn a_wrong_key_and_a_foreign_folder_are_named() {
    let house = house();
    let wrong = house.file("wrong.key", format!("{}\n", Key::from_bytes([9; 32]).to_hex()).as_bytes());
    refused(&house, &["--key-file", path_text(&wrong)], "this is not the key of the index in");
    assert_eq!(house.open().count("s", NOW), 2);
    let foreign = House::new(None);
    fs::create_dir(foreign.data()).expect("a temporary folder");
    fs::write(foreign.data().join("holiday.jpg"), b"not ours").expect("a temporary folder");
    refused(&foreign, &[], "is not an Usher index");
    assert!(Snapshot::open(&foreign.data(), None).is_err());
}
