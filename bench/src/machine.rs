//! The machine on which a figure was measured, and what a process took of it.

use std::fs;

use crate::serve::TICKS_A_SECOND;

/// One line: processor, cores, kernel, and the share of processor time that others took since `since`. Rented machines
/// call processors of several generations by the same name, so their numbers are told, too.
#[must_use]
pub fn line(since: &Busy) -> String {
    let told = |name| field("/proc/cpuinfo", name).unwrap_or_else(|| "unknown".into());
    let cpu = format!("{}, family {}, model {}", told("model name"), told("cpu family"), told("model\t"));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let stolen = since.others().map_or("unknown".into(), |share| format!("{:.0} %", share * 100.0));
    format!("{cpu}, {cores} cores, Linux {}; processor time taken by others: {stolen}", kernel.trim())
}

/// Forgets the peak of this process's memory, so that [`peak_memory`] tells of what follows.
pub fn forget_peak() {
    // Where the kernel does not allow it, the peak is of the whole run: larger, never smaller.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most resident memory of this process since [`forget_peak`], in bytes.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    let text = field("/proc/self/status", "VmHWM")?;
    text.trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

/// The resident memory of this process, in bytes; 0 where the kernel does not say.
#[must_use]
pub fn memory() -> u64 {
    let text = field("/proc/self/status", "VmRSS").unwrap_or_default();
    text.trim_end_matches("kB").trim().parse::<u64>().map_or(0, |kib| kib * 1_024)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// For how many seconds a core, which was to run, was not run by the machine beneath; `None` when the kernel does not say.
#[must_use]
pub fn stolen(core: usize) -> Option<f64> {
    let (name, stat) = (format!("cpu{core} "), fs::read_to_string("/proc/stat").ok()?);
    let line = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    line.split_whitespace().nth(7)?.parse().ok().map(|ticks: f64| ticks / TICKS_A_SECOND)
}

/// How busy the machine and this process had been at one moment, in clock ticks.
pub struct Busy {
    machine: Option<u64>,
    own: Option<u64>,
    total: Option<u64>,
}

impl Busy {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or("")
            .split_whitespace()
            .skip(1)
            .filter_map(|number| number.parse().ok())
            .collect();
        let total = (ticks.len() >= 5).then(|| ticks.iter().take(8).sum());
        // All but idle and waiting for a disk.
        let machine = total.map(|total: u64| total - ticks[3] - ticks[4]);
        let own = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        });
        Self { machine, own, total }
    }

    /// The share of the machine's processor time since then that other processes took.
    fn others(&self) -> Option<f64> {
        let now = Self::now();
        let machine = now.machine?.checked_sub(self.machine?)?;
        let own = now.own?.checked_sub(self.own?)?;
        let total = now.total?.checked_sub(self.total?)?;
        (total > 0).then(|| machine.saturating_sub(own) as f64 / total as f64)
    }
}
