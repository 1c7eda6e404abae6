//! The engine's commands, one file each. [`run`] is the whole program, so that tests can call it in their own process.

use std::ffi::OsString;
use std::io::Write;

use clap::{Parser, Subcommand};

pub mod ask;
pub mod demo;
mod live;
pub mod lookalike;
pub mod serve;

/// Exit code: everything was done.
pub const OK: u8 = 0;
/// Exit code: something failed, and stderr says what.
pub const FAILED: u8 = 1;
/// Exit code: the command line is wrong.
pub const USAGE: u8 = 2;

/// Answers which segments a visitor belongs to, and how many people an expression means.
#[derive(Parser)]
#[command(name = "usher-engine", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serves an index over HTTP, and follows what loaders publish in it.
    Serve(serve::ServeArgs),
    /// Counts the visitors of an expression exactly, or looks one visitor up.
    Ask(ask::AskArgs),
    /// Finds who resembles a list of visitors, and says how well.
    Lookalike(lookalike::LookalikeArgs),
    /// Loads a theatre's world into a temporary folder, serves it and says what to try.
    Demo(demo::DemoArgs),
}

/// Runs the command that the arguments spell, the program's name first, and gives its exit code: [`OK`], [`FAILED`] or
/// [`USAGE`].
pub fn run<I, T>(args: I, out: &mut dyn Write, err: &mut dyn Write) -> u8
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    match Cli::try_parse_from(args) {
        Ok(Cli { verb: Verb::Serve(args) }) => report(serve::run(&args, out, err), err),
        Ok(Cli { verb: Verb::Demo(args) }) => report(demo::run(&args, out, err), err),
        Ok(Cli { verb: Verb::Ask(args) }) => ask::run(&args, out, err),
        Ok(Cli { verb: Verb::Lookalike(args) }) => report(lookalike::run(&args, out, err), err),
        Err(error) => usage(&error, out, err),
    }
}

fn report(done: anyhow::Result<u8>, err: &mut dyn Write) -> u8 {
    done.unwrap_or_else(|error| {
        // Whoever closed stderr does not want to hear of it.
        _ = writeln!(err, "usher-engine: {error:#}");
        FAILED
    })
}

/// Help and version go to stdout and are a success; everything else is a mistake of the command line.
fn usage(error: &clap::Error, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let (to, code): (&mut dyn Write, u8) = if error.use_stderr() { (&mut *err, USAGE) } else { (&mut *out, OK) };
    if write!(to, "{}", error.render()).is_ok() { code } else { FAILED }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(args: &[&str]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(std::iter::once(&"usher-engine").chain(args), &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let (code, out, _) = command(&["--version"]);
        assert_eq!((code, out.as_str()), (OK, concat!("usher-engine ", env!("CARGO_PKG_VERSION"), "\n")));
        let (code, out, _) = command(&["serve", "--help"]);
        assert!(code == OK && out.contains("--listen") && out.contains("--charter"), "{out}");
    }

    #[test]
    fn mistakes_are_told_apart_from_failures() {
        let (code, _, err) = command(&["serve"]);
        assert!(code == USAGE && err.contains("--data"), "{err}");
        let (code, _, err) = command(&["serve", "--data", "d", "--listen", "0.0.0.0:80"]);
        assert!(code == USAGE && err.contains("no API keys"), "{err}");
        let (code, _, err) = command(&["serve", "--data", "/proc/version", "--listen", "127.0.0.1:0"]);
        assert!(code == FAILED && err.contains("/proc/version"), "{err}");
    }
}
