//! What happens beside lookups, and what is seen of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{quantile, spread};
use crate::client::BUSY;
use crate::lookup::{Spread, met};
use crate::open::Heard;

/// The goal of the 99.9th percentile.
pub(super) const GOAL_MICROS: f64 = 3_000.0;
/// The quantiles of the latencies.
pub(super) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// What is asked for beside lookups when all of it happens.
const OTHERS: [&str; 3] = ["requests of rows", "opt-outs", "sizes"];
/// One lookup in so many is asked for its generation.
const LOOKED_AT: u64 = 512;

/// What happens beside lookups.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) rows: bool,
    pub(super) opt_outs: bool,
    pub(super) sizes: bool,
    /// A tick begins, at which a ninetieth of all memberships end: the sweep for it, and the tick itself.
    pub(super) tick: bool,
    /// Changes are folded, and a generation is published.
    pub(super) fold: bool,
}

pub(super) const SCENES: [Scene; 6] = {
    let none = Scene { name: "alone", rows: false, opt_outs: false, sizes: false, tick: false, fold: false };
    [
        none,
        Scene { name: "while rows stream in", rows: true, ..none },
        Scene { name: "while visitors opt out", opt_outs: true, ..none },
        Scene { name: "while a tick is swept and begins", tick: true, ..none },
        Scene { name: "while a fold publishes", fold: true, ..none },
        Scene { name: "all of it, and sizes", rows: true, opt_outs: true, sizes: true, tick: true, fold: true },
    ]
};

/// One round.
pub(super) struct Measured {
    pub(super) heard: Heard,
    /// Processor seconds of the server.
    pub(super) used: f64,
    /// Seconds stolen from the server's core.
    pub(super) stolen: f64,
    /// How long it lasted.
    pub(super) whole: Duration,
}

/// What the rounds of one scene showed.
#[derive(Default)]
pub(super) struct Seen {
    /// By quantile.
    micros: [Vec<f64>; QUANTILES.len()],
    /// The 99.9th percentile of those lookups that no halt of the client touched, and how many of a hundred these are.
    undisturbed: [Vec<f64>; 2],
    /// The server's share of its core, in percent.
    share: Vec<f64>,
    /// The longest halt of the client, in microseconds.
    halt: Vec<f64>,
    /// What was stolen from the server's core, in milliseconds.
    stolen: Vec<f64>,
    seconds: Vec<f64>,
    /// By what else is asked for: the middle and the longest answer, in milliseconds.
    others: [[Vec<f64>; 2]; OTHERS.len()],
    /// Rows taken, rows turned away, opt-outs, and ticks begun.
    happened: [Vec<f64>; 4],
}

impl Seen {
    /// Adds a round of the lookups, which are the first stream; where something happened, [`OTHERS`] are the others.
    pub(super) fn add(&mut self, measured: &Measured, happened: Option<Happened>) {
        let Measured { heard, used, stolen, whole } = measured;
        let lookups = heard.micros.first().map_or(&[][..], Vec::as_slice);
        self.micros.iter_mut().zip(QUANTILES).for_each(|(all, (_, share))| all.push(quantile(lookups, share)));
        let undisturbed = heard.undisturbed.first().map_or(&[][..], Vec::as_slice);
        self.undisturbed[0].push(quantile(undisturbed, 0.999));
        self.undisturbed[1].push(undisturbed.len() as f64 / lookups.len() as f64 * 100.0);
        self.share.push(used / whole.as_secs_f64() * 100.0);
        self.halt.push(heard.halt);
        self.stolen.push(stolen * 1e3);
        self.seconds.push(whole.as_secs_f64());
        let Some(happened) = happened else { return };
        for (shown, micros) in self.others.iter_mut().zip(heard.micros.iter().skip(1)) {
            shown.iter_mut().zip([0.5, 1.0]).for_each(|(all, share)| all.push(quantile(micros, share) / 1e3));
        }
        let counts = [happened.rows, happened.turned_away, happened.opt_outs, happened.hours.len() - 1];
        self.happened.iter_mut().zip(counts).for_each(|(all, count)| all.push(count as f64));
    }

    /// The rest of a line of the table.
    pub(super) fn line(&self) -> String {
        let figures =
            self.micros.iter().chain(&self.undisturbed).chain([&self.share, &self.halt, &self.stolen, &self.seconds]);
        let figures: Vec<String> = figures.map(|values| spread(&Spread::of(values.clone()), 0)).collect();
        let is_met = Spread::of(self.micros[2].clone()).median <= GOAL_MICROS;
        format!("| {} | {} |", figures.join(" | "), met(is_met))
    }

    /// What else happened.
    pub(super) fn meanwhile(&self) -> String {
        let counts = self.happened.each_ref().map(|counts| spread(&Spread::of(counts.clone()), 0));
        let [rows, turned_away, opt_outs, ticks] = counts;
        let late = OTHERS.iter().zip(&self.others).map(|(name, [middle, longest])| {
            let [middle, longest] = [middle, longest].map(|values| spread(&Spread::of(values.clone()), 1));
            format!("{name}: the middle one {middle} ms, the longest {longest} ms")
        });
        let late: Vec<String> = late.collect();
        format!(
            "{rows} rows taken and {turned_away} turned away (503), {opt_outs} opt-outs, {ticks} ticks begun; {}",
            late.join("; ")
        )
    }
}

/// What the answers of one round showed.
#[derive(Default)]
pub(super) struct Happened {
    lookups: u64,
    generation: Option<Vec<u8>>,
    /// An answer was of another generation than the first.
    pub(super) is_published: bool,
    rows: usize,
    turned_away: usize,
    opt_outs: usize,
    /// In which sizes were counted.
    pub(super) hours: BTreeSet<String>,
}

impl Happened {
    pub(super) fn lookup(&mut self, answer: &[u8]) -> Result<()> {
        self.lookups += 1;
        if self.lookups % LOOKED_AT == 1 {
            let header = b"usher-generation: ";
            let at = answer.windows(header.len()).position(|window| window == header).context("no generation")?;
            let rest = &answer[at + header.len()..];
            let generation = rest[..rest.iter().position(|byte| *byte == b'\r').context("no line")?].to_vec();
            self.is_published |= *self.generation.get_or_insert_with(|| generation.clone()) != generation;
        }
        Ok(())
    }

    pub(super) fn rows(&mut self, answer: &[u8], rows: usize) -> Result<()> {
        if answer.starts_with(BUSY) {
            self.turned_away += rows;
            return Ok(());
        }
        let expected = format!(r#"{{"taken":{rows},"refused":{{}}}}"#);
        ensure!(answer.ends_with(expected.as_bytes()), "rows were answered with {}", String::from_utf8_lossy(answer));
        self.rows += rows;
        Ok(())
    }

    /// Any answer that is a success.
    #[expect(clippy::unnecessary_wraps, reason = "one of several that see answers")]
    pub(super) fn opt_out(&mut self) -> Result<()> {
        self.opt_outs += 1;
        Ok(())
    }

    pub(super) fn size(&mut self, answer: &[u8]) -> Result<()> {
        let answer = String::from_utf8_lossy(answer);
        let (_, as_of) = answer.split_once(r#""as_of":""#).with_context(|| format!("no size: {answer}"))?;
        self.hours.insert(as_of.chars().take("2027-01-15T08".len()).collect());
        Ok(())
    }
}
