//! The program `usher-engine`: see [`usher_engine::run`].

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Standard error stays unlocked: the log of every thread goes there.
    ExitCode::from(usher_engine::run(std::env::args_os(), &mut io::stdout().lock(), &mut io::stderr()))
}
