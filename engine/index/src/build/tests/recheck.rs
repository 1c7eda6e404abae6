//! Damage under an image that is open.

use super::*;

#[test]
fn a_check_of_the_file_finds_damage_in_every_section() {
    let (dir, mut random) = (tempfile::tempdir().expect("a temporary folder"), Random(5));
    load(dir.path(), &mut Model::new(), &mut random, at(1_800_000_000), 1_000);
    let snapshot = Snapshot::open(dir.path(), Some(key())).expect("whole");
    let image = snapshot.shards()[0].image();
    let check = || {
        let mut check = Recheck::new(image, 100).expect("the file is there");
        let mut bytes = 0;
        while let Some(step) = check.step()? {
            bytes += step as u64;
        }
        Ok::<_, ImageError>(bytes)
    };
    let whole: u64 = image.sections().iter().map(|section| section.bytes).sum();
    assert_eq!(check().expect("sound"), whole);
    let sound = std::fs::read(image.file()).expect("readable");
    let write = |bytes: &[u8]| {
        // In place, as a disk would: the name stays.
        std::fs::set_permissions(image.file(), std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("ours");
        std::os::unix::fs::FileExt::write_all_at(
            &std::fs::File::options().write(true).open(image.file()).expect("ours"),
            bytes,
            0,
        )
        .expect("room");
    };
    let mut found = std::collections::BTreeSet::new();
    for at in (0..sound.len()).step_by(5) {
        let mut damaged = sound.clone();
        damaged[at] ^= 4;
        write(&damaged);
        match check() {
            Err(ImageError::Damaged { file, section, .. }) => {
                assert_eq!(file, image.file());
                found.insert(section);
            }
            // Between sections, in the header or in the trailer.
            other => assert_eq!(other.expect("nothing else is wrong"), whole),
        }
    }
    write(&sound);
    assert_eq!(check().expect("sound again"), whole);
    // So small an image has no tables of gaps.
    let sections = image.sections();
    let all: std::collections::BTreeSet<&str> =
        sections.iter().filter(|section| section.bytes > 0).map(|section| section.name).collect();
    assert_eq!(found, all);
}
