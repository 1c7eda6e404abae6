//! `usher-engine lookalike`: who resembles a list of visitors, for the operator at the console. Stores nothing.

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use usher_index::{IdType, Key, Pid, Time, VisitorId};
use usher_loader::clock::Clock;
use usher_loader::time;

use super::OK;
use super::live::{Opening, no_key};
use crate::ask::lookalike::{Curve, Exclusion, Method, Population, Profiles, Seed, Shown, Trained, train};

/// The arguments of `usher-engine lookalike`.
#[derive(clap::Args)]
pub struct LookalikeArgs {
    /// The data folder
    #[arg(long, value_name = "DIR", env = "USHER_DATA")]
    pub data: PathBuf,
    /// The visitors whom others shall resemble: a file with one id a line
    #[arg(long, value_name = "FILE")]
    pub seed: PathBuf,
    /// A segment, or 'prefix.*', that must not speak about anybody; as often as wanted
    #[arg(long, value_name = "SEGMENT")]
    pub exclude: Vec<Exclusion>,
    /// How visitors are scored
    #[arg(long, value_enum, default_value_t)]
    pub method: Method,
    /// Writes `visitor TAB score` for the visitors of this file, one id a line, who are not in the seed
    #[arg(long, value_name = "FILE")]
    pub score: Option<PathBuf>,
    /// A charter that holds for this answer only
    #[arg(long, value_name = "FILE", env = "USHER_CHARTER")]
    pub charter: Option<PathBuf>,
    /// The type of the ids in both files
    #[arg(long, value_name = "TYPE", default_value_t)]
    pub id_type: IdType,
    /// Answers as of this moment, RFC 3339 or Unix seconds, instead of the present one
    #[arg(long, value_name = "TIME", env = "USHER_NOW", value_parser = time::parse)]
    pub now: Option<Time>,
    /// The file with the pseudonym key [default: DIR.key, beside the data folder]
    #[arg(long, value_name = "FILE", env = "USHER_KEY_FILE")]
    pub key_file: Option<PathBuf>,
}

impl fmt::Debug for LookalikeArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookalikeArgs").field("data", &self.data).field("method", &self.method).finish_non_exhaustive()
    }
}

/// Writes the scores to `out`; curve, warnings and explanation to `err`.
///
/// # Errors
/// When the index or a file cannot be read, another process holds the live state, or the seed is too small.
pub fn run(args: &LookalikeArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    let opening = Opening {
        data: &args.data,
        key_file: args.key_file.as_deref(),
        charter: args.charter.as_deref(),
        keyless: false,
        verb: "usher-engine lookalike",
        route: "POST /v1/lookalikes",
    };
    // Nothing is stored: whoever wants the state need not wait.
    let (snapshot, overlay, _) = opening.open()?;
    let Some(key) = snapshot.key() else { bail!(no_key(&args.data)?) };
    let now = Clock::new(args.now).now();
    let seed = read(&args.seed)?;
    let seed: Vec<Pid> =
        ids(&args.seed, &seed, key, &args.id_type).map(|id| id.map(|(_, pid)| pid)).collect::<Result<_, _>>()?;
    let population = Population::new(&snapshot, &overlay, &args.exclude, now)?;
    for exclusion in population.features().unknown() {
        writeln!(err, "warning: no segment is called `{exclusion}`: it excludes nothing")?;
    }
    let trained = train(&population, &Seed::new(&population, &seed)?, args.method)?;
    describe(&trained, err)?;
    if let Some(file) = &args.score {
        score(file, args, key, &population, &trained, out)?;
    }
    Ok(OK)
}

fn score(
    file: &Path,
    args: &LookalikeArgs,
    key: &Key,
    population: &Population<'_>,
    trained: &Trained,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let text = read(file)?;
    let mut profiles = Profiles::default();
    let mut seen = HashSet::new();
    let mut lines = Vec::new();
    for visitor in ids(file, &text, key, &args.id_type) {
        let (id, pid) = visitor?;
        if !seen.insert(pid) {
            continue;
        }
        if let Some(score) = trained.model.score(population, pid, &mut profiles)? {
            writeln!(lines, "{id}\t{score}")?;
        }
    }
    out.write_all(&lines)?;
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {}, expected one visitor id a line", file.display()))
}

/// The ids of a text's lines that are not empty, with their pseudonyms.
fn ids<'t>(
    file: &'t Path,
    text: &'t str,
    key: &'t Key,
    id_type: &'t IdType,
) -> impl Iterator<Item = anyhow::Result<(&'t str, Pid)>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
    lines.map(move |(number, line)| {
        let id = VisitorId::new(line).with_context(|| format!("{}, line {number}", file.display()))?;
        Ok((line, key.pid(id_type, id)))
    })
}

fn describe(trained: &Trained, err: &mut dyn Write) -> std::io::Result<()> {
    let Trained { curve, explanation, given, matched, scored, is_whole, warnings, .. } = trained;
    let basis = if *is_whole { "all of them" } else { "a sample of them" };
    writeln!(err, "seed: {matched} of {given} matched; scored: {scored} others, the curve from {basis}")?;
    warnings.iter().try_for_each(|warning| writeln!(err, "warning: {warning}"))?;
    print_curve(curve, err)?;
    let sections = [
        ("more often in the seed", &explanation.over),
        ("less often in the seed", &explanation.under),
        ("both, more often in the seed", &explanation.pairs),
    ];
    for (title, shown) in sections.into_iter().filter(|(_, shown)| !shown.is_empty()) {
        writeln!(err, "{title}:")?;
        shown.iter().try_for_each(|shown| print_shown(shown, err))?;
    }
    Ok(())
}

fn print_curve(curve: &Curve, err: &mut dyn Write) -> std::io::Result<()> {
    writeln!(err, "  reach  visitors  threshold  recall  95% interval   lift  lift of the slice")?;
    for point in &curve.points {
        writeln!(
            err,
            "{:6.1}% {:9} {:10.4} {:7.4}  {:.3} - {:.3} {:6.2} {:8.2}",
            100.0 * point.reach,
            point.visitors,
            point.threshold,
            point.recall,
            point.low,
            point.high,
            point.lift,
            point.slice_lift
        )?;
    }
    let percent =
        |reach: Option<f64>| reach.map_or("more than 100 %".to_owned(), |reach| format!("{:.1} %", 100.0 * reach));
    writeln!(
        err,
        "half of the visitors like the seed within {} reach, four fifths within {}; lift below 2 from {} on; at random the recall is the reach",
        percent(curve.half),
        percent(curve.four_fifths),
        percent(curve.lift_below_two)
    )
}

fn print_shown(shown: &Shown, err: &mut dyn Write) -> std::io::Result<()> {
    let (seed, all) = (100.0 * shown.seed_share, 100.0 * shown.population_share);
    let name = shown.segments.join(" and ");
    writeln!(
        err,
        "  {name}: {seed:.1} % of the seed, {all:.1} % of all, lift {:.2}, {} visitors",
        shown.lift, shown.visitors
    )
}
