//! `usher-bench power`: simulated power cuts. A story is lived on a disk that remembers every step; then every moment of it
//! is cut off, what was not flushed is kept, lost or torn, and whatever is left must open without help and show the
//! index after some operation between the last acknowledged one and the last begun.

pub mod disk;
mod record;
mod story;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use rayon::prelude::*;
use usher_engine::keep::follow;
use usher_index::{Entry, State, Tick, TickLength};

use crate::life::model::Visible;
use crate::life::{KINDS, NOW, VISITORS, key, memory, pid, time};
use crate::rng::Rng;
use disk::{Cut, Event, Fate, Files};
use story::Story;

/// Operations of a story.
const OPERATIONS: usize = 12;
/// Images of each cut by dice.
const DICE: u64 = 2;

/// What came of the cuts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Stories lived.
    pub stories: u64,
    /// Moments that were cut off.
    pub cuts: u64,
    /// Images that were opened.
    pub images: u64,
    /// Images that did not open, or showed what no moment between had.
    pub violations: u64,
    /// Steps of the disk, by kind.
    pub steps: BTreeMap<&'static str, u64>,
}

/// Cuts stories until `images` were opened. `flushes`: whether the disk keeps what it flushed; without, there must be
/// violations, or these cuts find nothing.
///
/// # Errors
/// With flushes, at the first violation, naming seed, event and fate; or when the temporary folder cannot be written.
pub fn run(images: u64, seed: u64, flushes: bool, out: &mut dyn Write) -> Result<Tally> {
    let mut tally = Tally::default();
    while tally.images < images {
        let number = seed + tally.stories;
        let dir = tempfile::tempdir().context("a temporary folder")?;
        let story = story::live(&dir.path().join("data"), number, OPERATIONS)?;
        tally.stories += 1;
        for event in &story.events {
            *tally.steps.entry(kind(event)).or_default() += 1;
        }
        let (opened, violations) = (AtomicU64::new(0), AtomicU64::new(0));
        let cut = |length: usize| -> Result<()> {
            let mut rng = Rng::new(number << 20 | length as u64);
            let cut = Cut::after(&story.events[..length], flushes);
            let mut fates = vec![Fate::Lost];
            if cut.unsure() > 0 {
                fates.extend([Fate::Kept, Fate::Without(rng.index(cut.unsure()))]);
                fates.extend((0..DICE).map(|_| Fate::Dice(rng.bits())));
            }
            for fate in fates {
                opened.fetch_add(1, Ordering::Relaxed);
                let checked = check(&cut.image(fate), &story, length);
                match checked.with_context(|| format!("seed {number}, cut after event {length}, {fate:?}")) {
                    Err(violation) if flushes => return Err(violation),
                    Err(_) => _ = violations.fetch_add(1, Ordering::Relaxed),
                    Ok(()) => {}
                }
            }
            Ok(())
        };
        (1..=story.events.len()).into_par_iter().try_for_each(cut)?;
        tally.cuts += story.events.len() as u64;
        tally.images += opened.into_inner();
        tally.violations += violations.into_inner();
    }
    let Tally { stories, cuts, images, violations, steps } = &tally;
    writeln!(
        out,
        "seed {seed}: {stories} stories of {OPERATIONS} operations, {cuts} moments cut off, steps {steps:?}"
    )?;
    writeln!(out, "{images} images opened; flushes {}", if flushes { "kept" } else { "ignored (negative control)" })?;
    writeln!(out, "violations: {violations}")?;
    ensure!(flushes || *violations > 0, "without flushes nothing was lost: these cuts find nothing");
    Ok(tally)
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Created(_) => "create",
        Event::Wrote { .. } => "write",
        Event::Resized { .. } => "resize",
        Event::Flushed(_) => "flush",
        Event::Named { .. } => "name",
        Event::FolderFlushed => "flush folder",
        Event::Acknowledged(_) | Event::Began(_) => "mark",
    }
}

/// Opens an image as a server would, and compares what it shows.
fn check(files: &Files, story: &Story, length: usize) -> Result<()> {
    let dir = tempfile::tempdir_in(memory())?;
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes)?;
    }
    let events = &story.events[..length];
    let last = |of: fn(&Event) -> Option<usize>| events.iter().filter_map(of).max().unwrap_or(0);
    let acknowledged = last(|event| if let Event::Acknowledged(number) = event { Some(*number) } else { None });
    let began = last(|event| if let Event::Began(number) = event { Some(*number) } else { None });
    let shown = shown(dir.path())?;
    if story.visible[acknowledged..=began].contains(&shown) {
        return Ok(());
    }
    let expected = &story.visible[acknowledged..=began];
    bail!("after operation {acknowledged} to {began} it should show one of {expected:?}, but shows {shown:?}")
}

fn shown(data: &Path) -> Result<Visible> {
    let state = State::open(data, &key(), "a check")?;
    let served = follow::open(data, key(), &state, time(NOW))?;
    state.verify_audit()?;
    let tick = TickLength::default().floor(time(NOW));
    let mut shown = Visible::new();
    for visitor in 0..VISITORS {
        let mut note = |name: &str, entry: Entry| {
            let known = KINDS.iter().map(|kind| kind.name).find(|known| *known == name);
            if let (true, Some(name)) = (entry.live(tick), known) {
                shown.insert((visitor, name));
            }
        };
        served.entries(pid(visitor), |name, _, entry| note(name, entry))?;
    }
    counted(&served, tick, &shown)?;
    Ok(shown)
}

/// Counts and lookups must agree on each segment.
fn counted(served: &usher_engine::keep::Served, tick: Tick, shown: &Visible) -> Result<()> {
    let now = TickLength::default().start(tick);
    for name in KINDS.map(|kind| kind.name) {
        let expression = usher_engine::ask::parse::parse(name)?;
        let count = usher_engine::ask::size::count(&served.snapshot, &served.overlay, &expression, now)?;
        let expected = shown.iter().filter(|(_, segment)| *segment == name).count() as u64;
        ensure!(count.visitors == expected, "{name} counts {} and {expected} are looked up", count.visitors);
    }
    Ok(())
}
