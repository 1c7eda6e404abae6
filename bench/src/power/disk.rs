//! What a power cut leaves: a disk that remembers every step and which of them were flushed, and the images that a cut
//! could leave of it.
//!
//! The disk promises only what a flush makes sure. Of the steps since, any may be there or not: writes in any
//! combination, each whole, torn at a sector, or absent; new lengths; names in the folder (a rename is one step). The idea is
//! that of ALICE (Pillai et al., OSDI 2014); redb's own crash tests do the same for its one file.

use std::collections::BTreeMap;

use crate::rng::Rng;

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// A file on the disk, whatever its names.
pub type Inode = usize;

/// A step, in the order in which it was asked for.
#[derive(Debug, Clone)]
pub enum Event {
    /// A file without a name yet, and without bytes.
    Created(Inode),
    /// Bytes at a place.
    Wrote {
        /// Where.
        inode: Inode,
        /// From this byte on.
        offset: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// The file has this length: cut, or filled with zeros.
    Resized {
        /// Which.
        inode: Inode,
        /// In bytes.
        length: usize,
    },
    /// All that was done to the file is on disk.
    Flushed(Inode),
    /// A name means this file; none: the name is gone.
    Named {
        /// The names that change, together.
        names: Vec<(String, Option<Inode>)>,
    },
    /// All that was done to names is on disk.
    FolderFlushed,
    /// A caller was told that the n-th operation is done.
    Acknowledged(usize),
    /// The n-th operation began.
    Began(usize),
}

/// The files of a folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Which of the steps that no flush made sure are in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// None of them.
    Lost,
    /// All of them.
    Kept,
    /// All but one, the n-th.
    Without(usize),
    /// By dice: each kept, lost or torn.
    Dice(u64),
}

/// How a cut after the first `length` events may leave the disk.
pub struct Cut<'e> {
    events: &'e [Event],
    /// Of each event, whether a flush before the cut made it sure.
    sure: Vec<bool>,
}

impl<'e> Cut<'e> {
    /// A cut after these events. `flushes`: whether flushes do what they promise.
    #[must_use]
    pub fn after(events: &'e [Event], flushes: bool) -> Self {
        let mut sure = vec![false; events.len()];
        for (place, event) in events.iter().enumerate().filter(|_| flushes) {
            for (earlier, sure) in events[..place].iter().zip(&mut sure) {
                *sure |= match (event, earlier) {
                    (Event::Flushed(flushed), Event::Wrote { inode, .. } | Event::Resized { inode, .. }) => {
                        inode == flushed
                    }
                    (Event::FolderFlushed, Event::Named { .. }) => true,
                    _ => false,
                };
            }
        }
        Self { events, sure }
    }

    /// How many steps could be lost.
    #[must_use]
    pub fn unsure(&self) -> usize {
        self.losable().count()
    }

    fn losable(&self) -> impl Iterator<Item = usize> {
        let step = |event: &Event| matches!(event, Event::Wrote { .. } | Event::Resized { .. } | Event::Named { .. });
        let events = self.events.iter().zip(&self.sure).enumerate();
        events.filter(move |(_, (event, sure))| !**sure && step(event)).map(|(place, _)| place)
    }

    /// The folder after the cut.
    #[must_use]
    pub fn image(&self, fate: Fate) -> Files {
        let mut dice = match fate {
            Fate::Dice(seed) => Rng::new(seed),
            _ => Rng::new(0),
        };
        let left_out = match fate {
            Fate::Without(number) => self.losable().nth(number),
            _ => None,
        };
        let (mut inodes, mut names) = (BTreeMap::<Inode, Vec<u8>>::new(), BTreeMap::<String, Inode>::new());
        for (place, (event, &sure)) in self.events.iter().zip(&self.sure).enumerate() {
            let luck = match fate {
                _ if sure => Luck::Kept,
                Fate::Lost => Luck::Lost,
                Fate::Kept | Fate::Without(_) if left_out == Some(place) => Luck::Lost,
                Fate::Kept | Fate::Without(_) => Luck::Kept,
                Fate::Dice(_) => Luck::thrown(&mut dice),
            };
            match event {
                Event::Created(inode) => _ = inodes.insert(*inode, Vec::new()),
                Event::Wrote { inode, offset, bytes } => {
                    let file = inodes.entry(*inode).or_default();
                    luck.write(file, *offset, bytes, &mut dice);
                }
                Event::Resized { inode, length } if luck != Luck::Lost => {
                    inodes.entry(*inode).or_default().resize(*length, 0);
                }
                Event::Named { names: changes } if luck != Luck::Lost => {
                    for (name, inode) in changes {
                        match inode {
                            Some(inode) => _ = names.insert(name.clone(), *inode),
                            None => _ = names.remove(name),
                        }
                    }
                }
                _ => {}
            }
        }
        names.into_iter().map(|(name, inode)| (name, inodes.get(&inode).cloned().unwrap_or_default())).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Kept,
    Lost,
    Torn,
}

impl Luck {
    fn thrown(dice: &mut Rng) -> Self {
        match dice.below(5) {
            0 | 1 => Self::Kept,
            2 | 3 => Self::Lost,
            _ => Self::Torn,
        }
    }

    fn write(self, file: &mut Vec<u8>, offset: usize, bytes: &[u8], dice: &mut Rng) {
        let mut put = |from: usize, part: &[u8]| {
            let end = from + part.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[from..end].copy_from_slice(part);
        };
        match self {
            Self::Kept => put(offset, bytes),
            Self::Lost => {}
            Self::Torn => {
                // Sectors as the disk counts them, from the beginning of the file.
                let mut start = 0;
                while start < bytes.len() {
                    let end = (start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES).min(bytes.len());
                    if dice.below(2) == 0 {
                        put(offset + start, &bytes[start..end]);
                    }
                    start = end;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, inode: Inode) -> Event {
        Event::Named { names: vec![(name.to_owned(), Some(inode))] }
    }

    fn wrote(inode: Inode, bytes: &[u8]) -> Event {
        Event::Wrote { inode, offset: 0, bytes: bytes.to_vec() }
    }

    #[test]
    fn only_what_was_flushed_is_sure() {
        let events =
            [Event::Created(0), wrote(0, b"a"), named("f", 0), Event::Flushed(0), Event::FolderFlushed, wrote(0, b"b")];
        let image = |cut: usize, fate| Cut::after(&events[..cut], true).image(fate).remove("f");
        assert_eq!(image(3, Fate::Lost), None);
        assert_eq!(image(4, Fate::Lost), None, "the name was not flushed");
        assert_eq!(image(4, Fate::Kept), Some(b"a".to_vec()));
        assert_eq!(image(5, Fate::Lost), Some(b"a".to_vec()));
        assert_eq!(image(6, Fate::Lost), Some(b"a".to_vec()));
        assert_eq!(image(6, Fate::Kept), Some(b"b".to_vec()));
        assert_eq!(Cut::after(&events, true).unsure(), 1);
        assert_eq!(Cut::after(&events, false).unsure(), 3);
        assert_eq!(Cut::after(&events, false).image(Fate::Lost), Files::new());
        assert_eq!(Cut::after(&events[..3], true).image(Fate::Without(0)).remove("f"), Some(Vec::new()));
    }

    #[test]
    fn a_write_is_torn_at_sectors() {
        let bytes = vec![7u8; 4 * SECTOR_BYTES];
        let events = [Event::Created(0), named("f", 0), Event::FolderFlushed, wrote(0, &bytes)];
        let cut = Cut::after(&events, true);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let file = cut.image(Fate::Dice(seed)).remove("f").expect("its name is sure");
            assert!(file.chunks(SECTOR_BYTES).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            seen.insert(file.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect::<Vec<_>>());
        }
        assert!(seen.len() > 5, "{seen:?}");
    }
}
