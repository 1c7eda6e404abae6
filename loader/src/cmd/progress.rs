//! A bar on the terminal, or nothing.

use std::time::Duration;

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

/// Shows how far reading and building are.
pub(super) struct Bar(ProgressBar);

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
        Self(bar)
    }

    /// Reading of a file begins.
    pub(super) fn file(&self, name: &str, total: Option<u64>) {
        self.begin(if total.is_some() { BYTES } else { BYTES_ONLY }, name, total);
    }

    /// So many of its bytes are read.
    pub(super) fn bytes(&self, read: u64) {
        self.0.set_position(read);
    }

    /// Takes the bar off the terminal.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }

    fn begin(&self, style: &str, message: &str, total: Option<u64>) {
        // The templates are constants; a bad one would only look plain.
        self.0.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.0.set_message(message.to_owned());
        self.0.reset();
        match total {
            Some(total) => self.0.set_length(total),
            None => self.0.unset_length(),
        }
    }
}

impl Progress for Bar {
    fn stage(&self, name: &'static str, total: u64) {
        self.begin(STEPS, name, Some(total));
    }

    fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }
}
