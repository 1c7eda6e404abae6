//! A real server and real loaders, killed at random moments while changes are sent.

use std::process::Command;

use usher_bench::kill::{Programs, run};

use crate::programs::loader;

/// Holds what this test binary is to be, and its arguments, a line each.
const VICTIM: &str = "USHER_TEST_KILLED";

/// This test binary as one of the two programs.
pub fn again(role: &str, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a running test has a file"));
    command.args(["kill::the_victims_of_the_other_test", "--exact", "--quiet"]);
    command.env(VICTIM, format!("{role}\n{}", args.join("\n")));
    command
}

#[test]
fn the_victims_of_the_other_test() {
    let Ok(lines) = std::env::var(VICTIM) else { return };
    let args: Vec<&str> = lines.split('\n').collect();
    // Past the capture of the test harness.
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    if args[0] == "engine" {
        let args = [&["usher-engine"], &args[1..]].concat();
        std::process::exit(usher_engine::run(args, &mut out, &mut err).into());
    }
    let said = loader(&args[1..]);
    std::io::Write::write_all(&mut err, said.err.as_bytes()).expect("somebody listens");
    std::process::exit(said.code.into());
}

#[test]
fn what_was_acknowledged_survives_kills_of_server_and_loader() {
    let (engine, loader) = (|args: &[&str]| again("engine", args), |args: &[&str]| again("loader", args));
    let mut out = Vec::new();
    let tally = run(15, 1, &Programs { engine: &engine, loader: &loader }, &mut out);
    let tally = tally.unwrap_or_else(|error| panic!("{error:?}"));
    println!("{}", String::from_utf8_lossy(&out));
    assert!(tally.kills() >= 15 && tally.acknowledged > 0 && tally.violations == 0, "{tally:?}");
}
