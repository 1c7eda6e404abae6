//! Folds changes into new images while questions and changes go on: when there are many, long before rows are turned away,
//! when an erasure or an opt-out has waited, when changes are old, and twice a day to let go of what is dead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use usher_index::{NoProgress, Published, Time, WriteError, Writer};
use usher_loader::clock::Clock;

use super::follow::FOLLOW_RETRY;
use super::keeper::{Keeper, MAX_UNFOLDED_BYTES};
use super::served::{Live, Served};
use super::yielding::{cores, yielding_a_little};

/// When changes are folded.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How often it is looked whether they are to be.
    pub look: Duration,
    /// How many bytes of changes may wait: rows that come again and again touch few visitors, and a start reads them all.
    pub bytes: u64,
    /// How long an erasure or an opt-out may wait: far less than the day in which its bytes must be gone.
    pub erasure: Duration,
    /// How long any change may wait.
    pub change: Duration,
    /// How often what may leave leaves. The first time an hour after the start at the soonest: until then a wrong clock
    /// would have shown.
    pub purge: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let (look, bytes) = (Duration::from_secs(1), MAX_UNFOLDED_BYTES / 4);
        Self { look, bytes, erasure: minutes(60), change: minutes(6 * 60), purge: minutes(12 * 60) }
    }
}

/// Which share of the changes that may wait is folded: what comes meanwhile is to find room.
const RIPE: f64 = 0.5;
/// Which share does not let a builder rest.
const PRESSING: f64 = 0.75;

/// A clock that is this far from where the monotonic one says it should be has jumped.
const CLOCK_JUMP_SECS: i64 = 300;
/// The least time that the process must have run before anything is purged.
const PURGE_AFTER: Duration = Duration::from_secs(3_600);

/// What a loader is told that wants to build meanwhile.
const FOLDER: &str = "usher-engine serve, which folds changes";

/// Why a build is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Many,
    Erasure,
    Age,
    Purge,
}

/// Folds for as long as it is polled.
pub async fn fold(live: Arc<Live>, keeper: Arc<Keeper>, clock: Clock, rules: Rules) {
    let threads = match yielding_a_little("fold", (cores() / 2).max(1)) {
        Ok(threads) => Arc::new(threads),
        Err(error) => return tracing::error!("no thread to fold changes with: {error}"),
    };
    let mut watch = Watch::new(clock, Instant::now());
    loop {
        sleep(rules.look).await;
        let served = live.hold();
        if watch.rests(&served, &keeper, Instant::now()) {
            continue;
        }
        let alarm = watch.clock_jumped(clock.now(), Instant::now());
        let Some(due) = watch.due(&served, &keeper, &rules, Instant::now(), alarm) else { continue };
        let needed = needed_bytes(&served);
        if watch.cramped(!keeper.has_room_for(needed), needed) {
            continue;
        }
        let (began, threads, keeper) = (Instant::now(), threads.clone(), keeper.clone());
        let built = spawn_blocking(move || threads.install(|| build(&served, &keeper, clock.now(), due)));
        match built.await {
            Ok(Ok(Published { generation, folded, purged, erasures, .. })) => {
                watch.built(due, generation, Instant::now());
                tracing::info!(generation, folded, purged, erasures, ?due, "changes were folded");
            }
            // A loader is at work: what it publishes is a new base, so it is tried again at the next look.
            Ok(Err(WriteError::Locked { holder, .. })) => watch.waits_for(holder),
            Ok(Err(error)) => tracing::error!("changes could not be folded: {error}"),
            // A builder that panics may have found a bug in what it read: nothing is published, and it is tried again.
            Err(error) => tracing::error!("folding panicked: {error}"),
        }
        watch.rest = Instant::now() + began.elapsed();
    }
}

/// Bytes that a build writes beside what is there: new images as large as the present ones, and what the changes add.
fn needed_bytes(served: &Served) -> u64 {
    let images = served.snapshot.manifest().map_or(0, |manifest| manifest.images.iter().map(|image| image.bytes).sum());
    images + served.overlay.bytes() as u64
}

fn build(served: &Served, keeper: &Keeper, now: Time, due: Due) -> Result<Published, WriteError> {
    let mut writer = Writer::open_as(served.snapshot.folder().path(), served.key.clone(), FOLDER)?;
    let taken = keeper.state().taken_bytes();
    writer.fold(keeper.state())?;
    let published = match due {
        Due::Purge => writer.rebuild(now, false, &NoProgress),
        _ => writer.load(Vec::new(), now, &NoProgress),
    }?;
    keeper.note_folded(taken);
    Ok(published)
}

/// What folding remembers from one look to the next.
struct Watch {
    /// Unix seconds at the start, and when that was.
    origin: (i64, Instant),
    /// Since when there have been changes that no image has.
    waiting: Option<Instant>,
    purged: Instant,
    jumped: bool,
    cramped: bool,
    /// Whose build it waits for.
    other: Option<String>,
    /// The last generation that it built, and when that was published.
    built: (u64, Instant),
    /// Until when it rests: as long as it worked.
    rest: Instant,
}

impl Watch {
    fn new(clock: Clock, when: Instant) -> Self {
        Self {
            origin: (clock.now().unix(), when),
            waiting: None,
            purged: when,
            jumped: false,
            cramped: false,
            other: None,
            built: (0, when),
            rest: when,
        }
    }

    /// Whether it is too soon after the last build: while that is not served yet, and seems to be on its way, the changes
    /// that wait are not those that are left.
    fn rests(&self, served: &Served, keeper: &Keeper, when: Instant) -> bool {
        let (generation, published) = self.built;
        if served.snapshot.generation() < generation && when < published + FOLLOW_RETRY {
            return true;
        }
        when < self.rest && keeper.fullness(served) < PRESSING
    }

    /// Whether the clock is not where it should be; tells it once.
    fn clock_jumped(&mut self, now: Time, when: Instant) -> bool {
        let elapsed = i64::try_from((when - self.origin.1).as_secs()).unwrap_or(i64::MAX);
        let off = now.unix() - self.origin.0 - elapsed;
        let jumped = off.abs() > CLOCK_JUMP_SECS;
        if jumped != self.jumped {
            tracing::error!(
                seconds = off,
                "{}",
                if jumped {
                    "the clock jumped: nothing is purged until it comes back, or a restart confirms the new time"
                } else {
                    "the clock came back"
                }
            );
        }
        self.jumped = jumped;
        jumped
    }

    /// Whether there is no room for a build, which would take what opt-outs need; tells it once.
    fn cramped(&mut self, cramped: bool, needed: u64) -> bool {
        if cramped && !self.cramped {
            tracing::error!(needed, "changes are not folded: the disk has no room for new images; make some");
        }
        self.cramped = cramped;
        cramped
    }

    fn due(&mut self, served: &Served, keeper: &Keeper, rules: &Rules, when: Instant, alarm: bool) -> Option<Due> {
        let folded = served.snapshot.manifest().map_or(0, |manifest| manifest.folded);
        let unfolded = keeper.state().last_sequence() > folded && keeper.is_well();
        if !unfolded {
            self.waiting = None;
            let long = when - self.purged >= rules.purge.max(PURGE_AFTER);
            return Some(Due::Purge).filter(|_| long && !alarm && served.snapshot.generation() > 0);
        }
        let waited = when - *self.waiting.get_or_insert(when);
        if keeper.fullness(served) >= RIPE || keeper.unfolded_bytes() >= rules.bytes {
            return Some(Due::Many);
        }
        let bars = served.overlay.bars();
        let barred = bars.all_erased().next().is_some() || bars.all_opted_out().next().is_some();
        if barred && waited >= rules.erasure {
            return Some(Due::Erasure);
        }
        (waited >= rules.change).then_some(Due::Age)
    }

    /// Notes whose build stands in the way; tells it once.
    fn waits_for(&mut self, other: String) {
        if self.other.as_ref() != Some(&other) {
            tracing::info!("folding waits for {other}");
            self.other = Some(other);
        }
    }

    fn built(&mut self, due: Due, generation: u64, when: Instant) {
        (self.waiting, self.other, self.built) = (None, None, (generation, when));
        if due == Due::Purge {
            self.purged = when;
        }
    }
}
