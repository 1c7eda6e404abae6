//! The loader as the long runs use it: within this process, or as one of its own that may be killed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use usher_loader::cmd::Streams;

/// Makes the command of a process that is `usher-loader` with these arguments. Tests and the benchmarks re-run
/// themselves for that.
pub type Victim<'a> = &'a dyn Fn(&[&str]) -> Command;

/// Runs the loader in this process; gives exit code, standard output and standard error.
#[must_use]
pub fn loader(args: &[&str]) -> (u8, String, String) {
    let (mut input, mut out, mut err) = (std::io::empty(), Vec::new(), Vec::new());
    let mut streams = Streams { input: &mut input, out: &mut out, err: &mut err, progress: false };
    let code = usher_loader::cmd::run([&["usher-loader"], args].concat(), &mut streams);
    (code, String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
}

/// The same, where it must go well.
///
/// # Errors
/// With what the loader said when it did not.
pub fn load(args: &[&str]) -> Result<()> {
    let (code, _, err) = loader(args);
    ensure!(code == 0, "the loader ended with {code}: {err}");
    Ok(())
}

/// Lets the victim run to its end; gives exit code and standard error.
///
/// # Errors
/// When it cannot be started, or a signal ended it.
pub fn to_its_end(victim: Victim<'_>, args: &[&str]) -> Result<(i32, String)> {
    let ended = victim(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let code = ended.status.code().with_context(|| format!("the loader was ended by {}", ended.status))?;
    Ok((code, String::from_utf8_lossy(&ended.stderr).into_owned()))
}

/// The path as an argument.
///
/// # Errors
/// When it is not UTF-8.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
