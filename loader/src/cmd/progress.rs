//! A bar on the terminal, or nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use usher_index::Progress;

/// How often the bar is drawn, at most and at least.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// For feeds: bytes as sent.
const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
/// For feeds of unknown length.
const BYTES_ONLY: &str = "{msg} {spinner} {bytes} {bytes_per_sec}";
/// For the stages of a build.
const STEPS: &str = "{msg} {wide_bar} {human_pos}/{human_len} {eta}";

/// Shows how far reading and building are, and remembers when each stage of a build began.
pub(super) struct Bar {
    bar: ProgressBar,
    stages: Mutex<Vec<(&'static str, Instant)>>,
}

impl Bar {
    /// A bar on stderr, or a hidden one.
    pub(super) fn new(shown: bool) -> Self {
        let bar = if shown {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        if shown {
            bar.enable_steady_tick(DRAWN_EVERY);
        }
        Self { bar, stages: Mutex::default() }
    }

    /// Reading of a file begins.
    pub(super) fn file(&self, name: &str, total: Option<u64>) {
        self.begin(if total.is_some() { BYTES } else { BYTES_ONLY }, name, total);
    }

    /// So many of its bytes are read.
    pub(super) fn bytes(&self, read: u64) {
        self.bar.set_position(read);
    }

    /// Takes the bar off the terminal.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// How many seconds a stage of the build took, up to the next one or now; 0 when there was none of this name.
    pub(super) fn seconds(&self, name: &str) -> f64 {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let place = stages.iter().position(|(stage, _)| *stage == name);
        let lasted = |place: usize| {
            let ended = stages.get(place + 1).map_or_else(Instant::now, |(_, next)| *next);
            ended.duration_since(stages[place].1).as_secs_f64()
        };
        place.map_or(0.0, lasted)
    }

    fn begin(&self, style: &str, message: &str, total: Option<u64>) {
        // The templates are constants; a bad one would only look plain.
        self.bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_message(message.to_owned());
        self.bar.reset();
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
    }
}

impl Progress for Bar {
    fn stage(&self, name: &'static str, total: u64) {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).push((name, Instant::now()));
        self.begin(STEPS, name, Some(total));
    }

    fn advance(&self, steps: u64) {
        self.bar.inc(steps);
    }
}
