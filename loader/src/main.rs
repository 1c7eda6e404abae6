//! The program `usher-loader`: see [`usher_loader::cmd`].

use std::io::{self, BufWriter, IsTerminal};
use std::process::ExitCode;

use usher_loader::cmd::{Streams, run};

fn main() -> ExitCode {
    let mut streams = Streams {
        input: &mut io::stdin().lock(),
        out: &mut BufWriter::new(io::stdout().lock()),
        err: &mut io::stderr(),
        progress: io::stderr().is_terminal(),
    };
    ExitCode::from(run(std::env::args_os(), &mut streams))
}
