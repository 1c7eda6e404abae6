//! An open loop: one thread sends requests of several kinds at moments fixed beforehand, whether or not earlier ones are
//! answered. A latency runs from the scheduled moment, so what the server delays is counted for every request behind it.
//!
//! The thread never sleeps: it looks at the clock and at its connections again and again, and wants a core of its own.
//! So it measures the server and not its own waking. When the machine lets the thread stand still, what was under way is
//! answered late in its eyes whatever the server did, and what fell due meanwhile is sent all at once: it says for how
//! long, and which latencies are without such a halt.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::{Connection, Load};

/// How long an answer may take before the server is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// A turn of the thread that takes longer is a halt: one in which it sends and takes in tens of requests takes less.
const HALT: Duration = Duration::from_micros(500);

/// Requests of one kind.
pub struct Stream<'a> {
    /// What is asked, by how many connections.
    pub load: Load<'a>,
    /// Requests a second.
    pub rate: u32,
    /// Sees every answer.
    pub heed: &'a mut dyn FnMut(&[u8]) -> Result<()>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Heard {
    /// By stream: the latency of each request in microseconds, ascending.
    pub micros: Vec<Vec<f64>>,
    /// The same, of those requests during which the thread did not stand still, and which did not wait behind others that
    /// had been held up by a halt.
    pub undisturbed: Vec<Vec<f64>>,
    /// The longest time for which the thread stood still, in microseconds.
    pub halt: f64,
}

/// A stream and its connections.
struct Lane<'s, 'a> {
    stream: &'s mut Stream<'a>,
    /// In turn: a server closes one that it never hears of.
    free: VecDeque<Connection>,
    /// Those that wait for an answer, and since when that is due.
    asked: Vec<(Connection, Instant)>,
    next: usize,
    due: Instant,
    step: Duration,
    micros: Vec<f64>,
    undisturbed: Vec<f64>,
}

/// The halts of the thread, and what they held up.
struct Halts {
    last: Instant,
    longest: Duration,
    /// The end of the last halt, while requests that were due before it are not answered yet.
    held_up: Option<Instant>,
    /// Since when nothing is held up.
    clear_since: Instant,
}

impl Halts {
    /// A turn begins now.
    fn turn(&mut self, now: Instant, lanes: &[Lane<'_, '_>]) {
        let turn = now - self.last;
        (self.last, self.longest) = (now, self.longest.max(turn));
        if turn > HALT {
            self.held_up = Some(now);
        } else if self.held_up.is_some_and(|end| !lanes.iter().any(|lane| lane.owes(end))) {
            (self.held_up, self.clear_since) = (None, now);
        }
    }
}

/// Sends what falls due while `goes_on` says so, which is asked again and again with the time since the beginning, and
/// waits for every answer.
///
/// # Errors
/// When a connection breaks, or an answer is not a success or does not come.
pub fn run(streams: &mut [Stream<'_>], goes_on: &mut dyn FnMut(Duration) -> bool) -> Result<Heard> {
    let mut lanes = streams.iter_mut().map(Lane::new).collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    lanes.iter_mut().for_each(|lane| lane.due = began + lane.step);
    let mut halts = Halts { last: began, longest: Duration::ZERO, held_up: None, clear_since: began };
    let mut end = None;
    while end.is_none_or(|end| lanes.iter().any(|lane| !lane.asked.is_empty() || lane.due <= end)) {
        let now = Instant::now();
        halts.turn(now, &lanes);
        if end.is_none() && !goes_on(now - began) {
            end = Some(now);
        }
        for lane in &mut lanes {
            lane.send(end.unwrap_or(now))?;
            lane.hear(&halts)?;
        }
    }
    let mut heard = Heard { halt: halts.longest.as_secs_f64() * 1e6, ..Heard::default() };
    for mut lane in lanes {
        lane.micros.sort_unstable_by(f64::total_cmp);
        lane.undisturbed.sort_unstable_by(f64::total_cmp);
        heard.micros.push(lane.micros);
        heard.undisturbed.push(lane.undisturbed);
    }
    Ok(heard)
}

impl<'s, 'a> Lane<'s, 'a> {
    fn new(stream: &'s mut Stream<'a>) -> Result<Self> {
        let free: VecDeque<Connection> = stream.load.connect()?.into();
        free.iter().try_for_each(Connection::hurry)?;
        let step = Duration::from_secs(1) / stream.rate;
        let (asked, micros, undisturbed) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { stream, free, asked, next: 0, due: Instant::now(), step, micros, undisturbed })
    }

    /// Whether something that was due by then is not answered.
    fn owes(&self, by: Instant) -> bool {
        self.due <= by || self.asked.iter().any(|(_, due)| *due <= by)
    }

    /// Sends what was due at `now`, as long as a connection is free.
    fn send(&mut self, now: Instant) -> Result<()> {
        while self.due <= now {
            let Some(mut connection) = self.free.pop_front() else { return Ok(()) };
            let requests = self.stream.load.requests;
            connection.send(&requests[self.next % requests.len()])?;
            self.next += 1;
            self.asked.push((connection, self.due));
            self.due += self.step;
        }
        Ok(())
    }

    /// Takes in what has been answered.
    fn hear(&mut self, halts: &Halts) -> Result<()> {
        let (mut place, protocol) = (0, self.stream.load.protocol);
        while let Some((connection, due)) = self.asked.get_mut(place) {
            let due = *due;
            match connection.answer_now(protocol)? {
                Some(answer) => {
                    let now = Instant::now();
                    let micros = (now - due).as_secs_f64() * 1e6;
                    self.micros.push(micros);
                    // A halt within this turn counts, too.
                    if halts.held_up.is_none() && due > halts.clear_since && now - halts.last <= HALT {
                        self.undisturbed.push(micros);
                    }
                    (self.stream.heed)(answer)?;
                    self.free.push_back(self.asked.remove(place).0);
                }
                None => {
                    ensure!(due.elapsed() < PATIENCE, "no answer within {PATIENCE:?}");
                    place += 1;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::client::Protocol;

    #[test]
    fn what_the_server_delays_is_counted_for_every_request_behind() {
        const PAUSE: Duration = Duration::from_millis(100);
        const REQUESTS: u64 = 50;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        // Answers at once, but rests before the tenth answer.
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut byte = [0];
            for number in 0.. {
                if socket.read(&mut byte).expect("a request") == 0 {
                    return number;
                }
                if number == 9 {
                    std::thread::sleep(PAUSE);
                }
                socket.write_all(b"*0\r\n").expect("a reader");
            }
            0
        });
        let (requests, mut answers) = ([b"?".to_vec()], 0);
        let load = Load { address, protocol: Protocol::Redis, requests: &requests, connections: 1, depth: 1 };
        let mut heed = |answer: &[u8]| {
            answers += 1;
            ensure!(answer == b"*0\r\n", "another answer");
            Ok(())
        };
        let mut streams = [Stream { load, rate: 1_000, heed: &mut heed }];
        let heard = run(&mut streams, &mut |elapsed| elapsed < Duration::from_millis(REQUESTS)).expect("answers");
        let micros = &heard.micros[0];
        // None is left out, and the ones behind the tenth wait for what is left of its pause.
        assert!(micros.len() + 1 >= REQUESTS as usize && micros.is_sorted(), "{micros:?}");
        let late = micros.iter().filter(|late| **late >= (PAUSE.as_secs_f64() * 1e6 - REQUESTS as f64 * 1e3)).count();
        assert!(late + 11 >= REQUESTS as usize, "{micros:?}");
        assert_eq!(server.join().expect("no panic"), micros.len());
        assert_eq!(answers, micros.len());
    }

    #[test]
    fn what_a_halt_of_the_client_holds_up_is_told_apart() {
        const STEP: Duration = Duration::from_millis(20);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut byte = [0];
            while socket.read(&mut byte).expect("a request") > 0 {
                socket.write_all(b"*0\r\n").expect("a reader");
            }
        });
        let (requests, mut answers) = ([b"?".to_vec()], 0);
        let load = Load { address, protocol: Protocol::Redis, requests: &requests, connections: 1, depth: 1 };
        // Stands still over five requests.
        let mut heed = |_: &[u8]| {
            answers += 1;
            if answers == 10 {
                std::thread::sleep(5 * STEP);
            }
            Ok(())
        };
        let mut streams = [Stream { load, rate: 50, heed: &mut heed }];
        let heard = run(&mut streams, &mut |elapsed| elapsed < 30 * STEP).expect("answers");
        server.join().expect("no panic");
        let (all, undisturbed) = (&heard.micros[0], &heard.undisturbed[0]);
        let step = STEP.as_secs_f64() * 1e6;
        assert!(heard.halt >= 5.0 * step);
        assert!(all.iter().filter(|late| **late >= step).count() >= 3, "{all:?}");
        // A machine that halts the thread once more only takes away more of them; most are left on any.
        assert!(undisturbed.len() + 4 <= all.len() && !undisturbed.is_empty(), "{undisturbed:?} of {all:?}");
    }
}
