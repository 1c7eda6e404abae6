//! A short random life of an index: commits, loads and builds, and after each what a naive model says is visible.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use usher_index::Folder;

use super::disk::Event;
use super::record::Recorder;
use crate::life::act::{Act, deeds, facts};
use crate::life::model::Visible;
use crate::life::world::World;
use crate::life::{NOW, VISITORS, tick};
use crate::rng::Rng;

/// What happened, and what should be visible after each operation.
pub struct Story {
    /// The steps of the disk.
    pub events: Vec<Event>,
    /// What is visible after the n-th operation; first: before all.
    pub visible: Vec<Visible>,
}

/// Lives a story of so many operations in an empty folder.
///
/// # Errors
/// When something fails that nothing disturbs.
pub fn live(dir: &Path, seed: u64, operations: usize) -> Result<Story> {
    let (recorder, mut rng) = (Recorder::default(), Rng::new(seed));
    let folder = Folder::open(dir)?.watched_by(Arc::new(recorder.clone()));
    let mut world = World::found(folder, VISITORS)?;
    let mut visible = vec![Visible::new()];
    for operation in 1..=operations {
        recorder.began(operation);
        let acts = match rng.below(10) {
            0..=5 => vec![Act::Commit(deeds(&mut rng))],
            6 | 7 => vec![Act::Load { facts: facts(&mut rng), barred: true }],
            8 => vec![Act::Fold { anew: false }, Act::Settle],
            _ => vec![Act::Fold { anew: true }, Act::Settle],
        };
        let done = acts.iter().try_for_each(|act| world.act(act));
        done.with_context(|| format!("seed {seed}, operation {operation}"))?;
        recorder.acknowledged(operation);
        visible.push(world.whole().visible(tick(NOW)));
    }
    Ok(Story { events: recorder.events(), visible })
}
