//! The size of every segment, counted once a tick for whoever asks.

use std::sync::{Arc, PoisonError};

use usher_index::breath::Stride;
use usher_index::segments::LOOKALIKE_PREFIX;
use usher_index::{NoiseKey, Overlay, SegmentInfo, Tick, Time};

use super::served::Served;
use crate::ask::AskError;
use crate::ask::disclose::Counted;
use crate::ask::discreet::counted;
use crate::ask::expr::Expr;
use crate::ask::size::count_images;
use crate::ask::touched::Change;

/// Segments that are counted between two breaths.
const SEGMENTS_A_BREATH: usize = 4;

/// A segment with its members.
pub struct Known {
    /// Its name.
    pub name: Arc<str>,
    /// Who brought it.
    pub source: Arc<str>,
    /// Who is in it.
    pub set: Counted,
}

/// The segments whose name begins with `prefix`, of the images and of the changes, by the UTF-8 bytes of their names; not those
/// that hold the members of lookalikes. Time: that of counting every segment once a tick.
///
/// # Errors
/// When an image is damaged.
pub fn known(served: &Served, prefix: &str, now: Time, key: &NoiseKey) -> Result<Vec<Known>, AskError> {
    let images = sizes(served, now, key)?;
    let wanted = |name: &str| name.starts_with(prefix) && !name.starts_with(LOOKALIKE_PREFIX);
    let segments = served.snapshot.segments().iter().zip(images.iter()).filter(|(segment, _)| wanted(&segment.name));
    let mut segments: Vec<Known> = segments
        .map(|(SegmentInfo { name, source, .. }, &set)| Known {
            name: Arc::clone(name),
            source: Arc::clone(source),
            set,
        })
        .collect();
    if served.overlay.is_empty() {
        return Ok(segments);
    }
    // After the images are counted: a thread that waits for others may take on another count, which looks here as well.
    let view = served.overlay.at(served.snapshot.tick().floor(now));
    let new = view.segments().filter(|segment| wanted(&segment.name));
    let new = new.filter(|segment| served.snapshot.segment(&segment.name).is_none());
    segments.extend(new.map(|segment| Known {
        name: Arc::clone(&segment.name),
        source: Arc::clone(&segment.source),
        set: Counted::default(),
    }));
    // Of whom the images have too many to name, and now there are few.
    let mut unnamed = Vec::new();
    for (place, segment) in segments.iter_mut().enumerate() {
        let images = segment.set;
        segment.set = Change::of_segment(&view, &segment.name).apply_to(images, &view, &segment.name, key);
        if segment.set.is_named() && !images.is_named() {
            unnamed.push(place);
        }
    }
    drop(view);
    for place in unnamed {
        let segment = &mut segments[place];
        let expr = Expr::Segment(segment.name.to_string());
        segment.set = counted(&served.snapshot, &served.overlay, &expr, segment.set.visitors, now, key)?;
    }
    segments.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(segments)
}

/// Counts every segment for [`known`] on a thread that yields: nobody waits for it, and whoever asks meanwhile counts, too.
///
/// # Errors
/// When an image is damaged.
pub fn count_ahead(served: &Served, now: Time, key: &NoiseKey) -> Result<(), AskError> {
    let tick = served.snapshot.tick().floor(now);
    let kept = || served.sizes.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = |kept: &Option<(Tick, Arc<[Counted]>)>| kept.as_ref().is_some_and(|(at, _)| *at >= tick);
    if is_known(&kept()) {
        return Ok(());
    }
    let sizes = count_all(served, now, key)?;
    let mut kept = kept();
    if !is_known(&kept) {
        *kept = Some((tick, sizes));
    }
    Ok(())
}

/// Every segment as the images alone have it, counted once a tick. Whoever asks first counts, the others wait for it.
fn sizes(served: &Served, now: Time, key: &NoiseKey) -> Result<Arc<[Counted]>, AskError> {
    let tick = served.snapshot.tick().floor(now);
    let mut kept = served.sizes.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, sizes)) = kept.as_ref().filter(|(at, _)| *at == tick) {
        return Ok(Arc::clone(sizes));
    }
    let sizes = count_all(served, now, key)?;
    *kept = Some((tick, Arc::clone(&sizes)));
    Ok(sizes)
}

fn count_all(served: &Served, now: Time, key: &NoiseKey) -> Result<Arc<[Counted]>, AskError> {
    let (nothing, mut stride) = (Overlay::default(), Stride::new(SEGMENTS_A_BREATH));
    let size = |segment: &SegmentInfo| {
        stride.step();
        let expr = Expr::Segment(segment.name.to_string());
        let visitors = count_images(&served.snapshot, &expr, now)?;
        counted(&served.snapshot, &nothing, &expr, visitors, now, key)
    };
    served.snapshot.segments().iter().map(size).collect()
}
