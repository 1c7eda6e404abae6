//! Once a day what the disk holds of the generation that answers is read again, slowly, and held against its checksums.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use usher_index::ImageError;
use usher_index::image::Recheck;

use super::served::{Live, Served};
use super::yielding::yielding;

/// Bytes read at a time.
const STEP_BYTES: usize = 1 << 20;

/// How fast it goes.
#[derive(Debug, Clone)]
pub struct Pace {
    /// From one check to the next.
    pub every: Duration,
    /// Between two steps of a mebibyte.
    pub pause: Duration,
}

impl Default for Pace {
    /// Begun early enough to end within the day, at no more than 20 MiB a second.
    fn default() -> Self {
        Self { every: Duration::from_secs(22 * 3_600), pause: Duration::from_millis(50) }
    }
}

/// Checks for as long as it is polled. What it finds is noted in what is served, until another generation is.
pub async fn recheck(live: Arc<Live>, pace: Pace) {
    let thread = match yielding("recheck", 1) {
        Ok(thread) => Arc::new(thread),
        Err(error) => return tracing::error!("no thread to check the images with: {error}"),
    };
    loop {
        sleep(pace.every).await;
        let (served, began) = (live.hold(), Instant::now());
        let generation = served.snapshot.generation();
        match all(&live, &served, &thread, pace.pause).await {
            Ok(true) => {
                served.checks.fetch_add(1, Ordering::Relaxed);
                tracing::info!(generation, seconds = began.elapsed().as_secs(), "every section is as it was published");
            }
            // Another generation answers: it was checked when it was opened.
            Ok(false) => {}
            // Its files may be gone by now.
            Err(_) if !is_live(&live, &served) => {}
            Err(error) => {
                served.damaged.store(true, Ordering::Relaxed);
                tracing::error!(
                    generation,
                    "the disk does not hold any more what was published: {error}; look after the disk and start again: the generation before takes over"
                );
            }
        }
    }
}

fn is_live(live: &Live, served: &Served) -> bool {
    std::ptr::eq(&raw const **live.glance(), served)
}

/// False: another generation answers meanwhile.
async fn all(live: &Live, served: &Arc<Served>, thread: &Arc<ThreadPool>, pause: Duration) -> Result<bool, ImageError> {
    for number in 0..served.snapshot.shards().len() {
        let image = served.snapshot.shards()[number].image();
        let mut check = Recheck::new(image, STEP_BYTES)?;
        loop {
            sleep(pause).await;
            if !is_live(live, served) {
                return Ok(false);
            }
            let thread = thread.clone();
            let stepped = spawn_blocking(move || {
                let step = thread.install(|| check.step());
                (check, step)
            });
            // A step that panics is a bug, and no news of the disk.
            let Ok((same, step)) = stepped.await else { return Ok(false) };
            check = same;
            if step?.is_none() {
                break;
            }
        }
    }
    Ok(true)
}
