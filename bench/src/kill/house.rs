//! A data folder through its lives: a server is started over it, driven and killed, again and again, and a loader too.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use usher_index::{Key, State};

use super::check;
use super::drive::{self, Drive, HOUR};
use super::engine::Engine;
use super::expected::{CONNECTIONS, Expected, Journal, Op};
use super::killer::Killer;
use super::{Programs, Tally};
use crate::rng::Rng;
use crate::victim;

/// The first hour of every house.
const FIRST_HOUR: u32 = 500_000;
/// Seconds into an hour at which every server starts; it lives far less than the rest.
const INTO_HOUR: i64 = 60;
/// What the loader says goes into this file.
const SAID: &str = "loader.said";
const CHARTER: &str = r#"
[house]
name = "A house to be killed in"
steward = "dpo@theatre.example"
size_floor = 100

[[source]]
name = "mag"
class = "behavioural"
prefixes = ["s."]
id_types = ["cookie"]
ttl = "60d"
max_retention = "90d"
legal_basis = "consent"
"#;

/// A data folder, what must be in it, and the loader that is at work in it.
pub struct House {
    dir: TempDir,
    hour: u32,
    expected: Expected,
    loader: Option<(u64, Child)>,
}

impl House {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("usher-kill-").tempdir()?;
        fs::write(dir.path().join("charter.toml"), CHARTER)?;
        let expected = Expected::create(&dir.path().join("expected"))?;
        Ok(Self { dir, hour: FIRST_HOUR, expected, loader: None })
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn now(&self) -> String {
        (i64::from(self.hour) * HOUR + INTO_HOUR).to_string()
    }

    /// Keeps the folder for whoever wants to know what happened, and says where.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    /// Starts a server, now and then kills it before it is ready, checks what it shows, drives and kills it.
    ///
    /// # Errors
    /// At a violation.
    pub fn live(&mut self, programs: &Programs<'_>, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
        self.hour += u32::from(rng.percent(50));
        // The first server brings the charter, and nobody disturbs it.
        let first = !self.data().exists();
        // A loader that is there first owns the state until it is done, and the server waits.
        if !first && self.loader.is_none() && !self.expected.load_is_pending() && rng.percent(10) {
            self.loader = Some(self.feed(rng)?.start(&self.expected.journal, programs)?);
        }
        while !first && rng.percent(15) {
            let mut engine = self.engine(programs, rng)?;
            std::thread::sleep(tally.usual_start().mul_f64(1.1 * rng.unit()));
            engine.kill()?;
            tally.servers += 1;
            *tally.during.entry("start-up").or_default() += 1;
        }
        let (mut engine, address) = self.checked(programs, rng, tally)?;
        self.drive(address, &mut engine, programs, rng, tally).with_context(|| engine.said())
    }

    /// A server that is ready and shows what it should.
    fn checked(&mut self, programs: &Programs<'_>, rng: &mut Rng, tally: &mut Tally) -> Result<(Engine, SocketAddr)> {
        let mut engine = self.engine(programs, rng)?;
        let (address, took) = engine.ready()?;
        tally.starts.push(took);
        self.await_loader().with_context(|| engine.said())?;
        check::await_newest(address, &self.data()).with_context(|| engine.said())?;
        self.check(address, rng, tally).with_context(|| engine.said())?;
        Ok((engine, address))
    }

    /// Lets the senders send, and perhaps a loader load, until a kill.
    fn drive(
        &mut self,
        address: SocketAddr,
        engine: &mut Engine,
        programs: &Programs<'_>,
        rng: &mut Rng,
        tally: &mut Tally,
    ) -> Result<()> {
        let (tick, model) = (self.hour, self.expected.model.clone());
        let feed = if !self.expected.load_is_pending() && rng.percent(40) { Some(self.feed(rng)?) } else { None };
        let data = self.data();
        let journal = &self.expected.journal;
        let (killed, under_way) = (false.into(), 0.into());
        let drive = Drive { address, journal, tick, killed, under_way };
        let loader = &mut self.loader;
        std::thread::scope(|scope| {
            let send = |connection| {
                let (drive, model, rng) = (&drive, model.clone(), Rng::new(rng.bits()));
                scope.spawn(move || drive.send(connection, model, rng))
            };
            let senders: Vec<_> = (0..CONNECTIONS).map(send).collect();
            let began = feed.map_or(Ok(()), |feed| {
                std::thread::sleep(Duration::from_millis(u64::from(rng.below(100))));
                *loader = Some(feed.start(journal, programs)?);
                Ok(())
            });
            let killed = began.and_then(|()| Killer { data: &data, drive: &drive, engine }.kill(loader, rng, tally));
            drive.killed.store(true, Ordering::Release);
            for sender in senders {
                sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
            }
            killed
        })
    }

    /// A server over the folder that folds at once, soon or not.
    fn engine(&self, programs: &Programs<'_>, rng: &mut Rng) -> Result<Engine> {
        let (data, charter, now) = (self.data(), self.dir.path().join("charter.toml"), self.now());
        let fold = ["0ms", "60ms", "400ms", "6h"][rng.index(4)];
        let (data, charter) = (victim::text(&data)?, victim::text(&charter)?);
        let mut args = vec!["serve", "--data", data, "--listen", "127.0.0.1:0", "--now", &now];
        args.extend(["--fold-after", fold, "--fold-erasure", if fold == "6h" { "1h" } else { "30ms" }]);
        // Who brings a charter wants to be the only builder, so only the first server of a house does.
        if !self.dir.path().join("data").join("FORMAT").exists() {
            args.extend(["--charter", charter]);
        }
        Engine::spawn((programs.engine)(&args))
    }

    /// A feed in a file, not yet begun.
    fn feed(&self, rng: &mut Rng) -> Result<Feed> {
        let (op, csv) = drive::feed(self.hour, rng)?;
        let (file, data, now) = (self.dir.path().join("feed.csv"), self.data(), self.now());
        fs::write(&file, csv)?;
        let (file, data) = (victim::text(&file)?, victim::text(&data)?);
        let args = ["load", file, "--data", data, "--source", "mag", "--now", &now, "--max-refused", "100%"];
        Ok(Feed { op, args: args.map(str::to_owned).to_vec(), said: self.dir.path().join(SAID) })
    }

    /// Waits for a loader that nobody killed, and marks what became of its feed.
    fn await_loader(&mut self) -> Result<()> {
        let Some((number, mut child)) = self.loader.take() else { return Ok(()) };
        let said = || fs::read_to_string(self.dir.path().join(SAID)).unwrap_or_default();
        match child.wait()?.code() {
            Some(0) => self.expected.journal.mark(number, "acknowledged"),
            // Somebody else was building, or all visitors of the feed are barred: nothing of it was taken.
            Some(_) if ["is building", "every row was refused"].iter().any(|why| said().contains(why)) => {
                self.expected.journal.mark(number, "refused")
            }
            Some(code) => bail!("a loader failed by itself, with {code}: {}", said()),
            None => Ok(()),
        }
    }

    fn check(&mut self, address: SocketAddr, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
        self.expected.read()?;
        let shown = check::shown(address)?;
        let (there, absent) = self.expected.settle(&shown)?;
        tally.there += there;
        tally.absent += absent;
        check::agrees(address, &shown, self.hour, rng)
    }

    /// One more life, which ends with everything verified: images, state, the chain of the audit.
    ///
    /// # Errors
    /// At a violation.
    pub fn end(&mut self, programs: &Programs<'_>, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
        let (mut engine, _) = self.checked(programs, rng, tally)?;
        engine.kill()?;
        tally.acknowledged += self.expected.acknowledged;
        let data = self.data();
        let (code, _, said) = victim::loader(&["verify", "--data", victim::text(&data)?]);
        ensure!(code == 0, "verify ended with {code}: {said}");
        let key = fs::read_to_string(data.with_extension("key")).context("an index without its key")?;
        State::open(&data, &Key::from_hex(key.trim())?, "a check")?.verify_audit()?;
        Ok(())
    }
}

/// A feed for a loader.
struct Feed {
    op: Op,
    args: Vec<String>,
    said: PathBuf,
}

impl Feed {
    /// Marks it as pending, and starts a loader.
    fn start(self, journal: &Journal, programs: &Programs<'_>) -> Result<(u64, Child)> {
        let number = journal.begin(&self.op)?;
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let mut command = (programs.loader)(&args);
        let said = File::create(&self.said)?;
        Ok((number, command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn()?))
    }
}
