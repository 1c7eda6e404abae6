//! `usher-engine ask`: one question at the console, answered exactly.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use serde::Serialize;
use usher_index::{AuditEntry, Commit, IdType, Time, VisitorId};
use usher_loader::clock::Clock;
use usher_loader::{audit, time};

use super::live::{Opening, no_key};
use super::{FAILED, OK, USAGE};
use crate::ask::audiences::Audiences;
use crate::ask::disclose::Disclosed;
use crate::ask::expand::suggest;
use crate::ask::expr::Expr;
use crate::ask::lookup::{Lookup, NameTable, Only};
use crate::ask::parse::{ParseError, parse};
use crate::ask::rules::Matcher;
use crate::ask::size::{Count, count};
use crate::ask::unknown::Unknown;
use crate::keep::catalogue;

/// What another owner of the live state is told.
const HOLDER: &str = "usher-engine ask";
/// Who asks, for the audit.
const CONSOLE: &str = "at the console";
/// How much of an expression is shown on each side of a mistake, in characters.
const SHOWN_AROUND: usize = 36;

/// The arguments of `usher-engine ask`.
#[derive(clap::Args)]
pub struct AskArgs {
    /// The data folder
    #[arg(long, value_name = "DIR", env = "USHER_DATA")]
    pub data: PathBuf,
    /// Counts the visitors of an expression, such as 'interest.theatre and not crm.spectator'
    #[arg(value_name = "EXPR", required_unless_present = "visitor", conflicts_with = "visitor")]
    pub expression: Option<String>,
    /// Looks one visitor up instead
    #[arg(long, value_name = "ID")]
    pub visitor: Option<String>,
    /// The type of the visitor's id
    #[arg(long, value_name = "TYPE", default_value_t)]
    pub id_type: IdType,
    /// Answers in JSON, as a lookup always does
    #[arg(long)]
    pub json: bool,
    /// Answers as of this moment, RFC 3339 or Unix seconds, instead of the present one
    #[arg(long, value_name = "TIME", env = "USHER_NOW", value_parser = time::parse)]
    pub now: Option<Time>,
    /// The file with the pseudonym key [default: DIR.key, beside the data folder]
    #[arg(long, value_name = "FILE", env = "USHER_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// A charter that holds for this answer only
    #[arg(long, value_name = "FILE", env = "USHER_CHARTER")]
    pub charter: Option<PathBuf>,
}

impl fmt::Debug for AskArgs {
    /// Without the visitor's id, which must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskArgs")
            .field("data", &self.data)
            .field("expression", &self.expression)
            .finish_non_exhaustive()
    }
}

enum Question<'a> {
    Count(Expr),
    Visitor(VisitorId<'a>),
}

/// Answers on `out`; says on `err` what went wrong and which names are unknown. The exit code: 0 answered, 1 failed,
/// 2 the expression or the id is none.
pub fn run(args: &AskArgs, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let question = match understand(args) {
        Ok(question) => question,
        Err(complaint) => {
            // Nothing can be done for an operator whose standard error is closed.
            _ = writeln!(err, "{complaint}");
            return USAGE;
        }
    };
    match answer(args, &question, out, err) {
        Ok(()) => OK,
        Err(error) => {
            _ = writeln!(err, "usher-engine: {error:#}");
            FAILED
        }
    }
}

fn understand(args: &AskArgs) -> Result<Question<'_>, String> {
    if let Some(id) = &args.visitor {
        return VisitorId::new(id).map(Question::Visitor).map_err(|error| format!("usher-engine: --visitor: {error}"));
    }
    let text = args.expression.as_deref().unwrap_or_default();
    parse(text).map(Question::Count).map_err(|error| point_at(text, &error))
}

fn answer(args: &AskArgs, question: &Question<'_>, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<()> {
    let (keyless, route) = match question {
        Question::Count(_) => (true, "POST /v1/size"),
        Question::Visitor(_) => (false, "GET /v1/visitors/{id}/segments"),
    };
    let (key_file, charter) = (args.key_file.as_deref(), args.charter.as_deref());
    let opening = Opening { data: &args.data, key_file, charter, keyless, verb: HOLDER, route };
    let (snapshot, overlay, state) = opening.open()?;
    let now = Clock::new(args.now).now();
    let audiences = state.as_ref().map_or_else(|| Ok(Audiences::default()), catalogue::audiences)?;
    match question {
        Question::Count(expr) => {
            if let Some(state) = state {
                let (what, detail) = audit::exact_count(CONSOLE, args.expression.as_deref().unwrap_or_default());
                let entry = AuditEntry { at: now, what: what.to_owned(), detail, receipt: None };
                state.commit(&Commit { audit: &[entry], ..Commit::default() })?;
            }
            let mut size = count(&snapshot, &overlay, &audiences.expand(expr)?, now)?;
            suggest(&mut size.unknown, &audiences.after("").map(|(name, _)| &**name));
            print_count(size, now, args.json, out, err)
        }
        Question::Visitor(id) => {
            let Some(key) = snapshot.key() else { bail!(no_key(&args.data)?) };
            let rules = Matcher::new(Arc::default(), &snapshot, catalogue::rules(&audiences));
            let names = NameTable::new(&snapshot);
            let mut lookup = Lookup::new(&snapshot, &names, &overlay).with_rules(Some(&rules));
            let mut line = Vec::new();
            lookup.answer(key.pid(&args.id_type, *id), now, &Only::Everything, &mut line)?;
            line.push(b'\n');
            Ok(out.write_all(&line)?)
        }
    }
}

/// The answer to a count, as `POST /v1/size` gives it to those who may see it exactly.
#[derive(Serialize)]
struct Size {
    visitors: Disclosed,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<Unknown>,
    as_of: String,
}

fn print_count(counted: Count, now: Time, json: bool, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<()> {
    for unknown in &counted.unknown {
        let meant = unknown.nearest.as_ref().map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"));
        // A segment of such a name would have to be quoted to be asked for.
        let kind = if unknown.name.starts_with('@') { "audience" } else { "segment" };
        writeln!(err, "warning: no {kind} is called `{}`: it counts as empty{meant}", unknown.name)?;
    }
    if json {
        let visitors = Disclosed::exact(counted.visitors);
        let size = Size { visitors, unknown: counted.unknown, as_of: time::format(now) };
        writeln!(out, "{}", serde_json::to_string(&size)?)?;
    } else {
        writeln!(out, "{}", counted.visitors)?;
    }
    Ok(())
}

/// The mistake, and below it the expression with a caret under the column.
fn point_at(text: &str, error: &ParseError) -> String {
    let at = error.column.saturating_sub(1);
    let first = at.saturating_sub(SHOWN_AROUND);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().map(plain).skip(first).take(at - first + SHOWN_AROUND).collect();
    let mut indent = at - first;
    if first > 0 {
        shown.insert(0, '…');
        indent += 1;
    }
    if text.chars().count() > at + SHOWN_AROUND {
        shown.push('…');
    }
    format!("usher-engine: {error}\n  {shown}\n  {:indent$}^", "")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use usher_index::entry::Entry;
    use usher_index::{Change, Commit, Key, Segment, State, Tick};

    use super::super::{FAILED, OK, USAGE};
    use super::{AskArgs, run};
    use crate::ask::sample::{HOUR, Sample};

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: AskArgs,
    }

    /// Exit code, standard output and standard error of `ask` with these arguments.
    fn ask(arguments: &[&str]) -> (u8, String, String) {
        let command = Command::try_parse_from([&["ask"], arguments].concat()).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&command.args, &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_count_and_a_lookup() {
        let sample = Sample::new([("anna", "interest.theatre", 2), ("ben", "interest.theatre", 1), ("ben", "crm", 2)]);
        let (data, key) = (sample.folder(), sample.key_file());
        let now = Sample::at(0).unix().to_string();
        let later = Sample::at(1).unix().to_string();
        let asked =
            |expr: &str, now: &str, more: &[&str]| ask(&[&["--data", &data, "--now", now, expr], more].concat());

        assert_eq!(asked("interest.theatre", &now, &[]), (OK, "2\n".to_owned(), String::new()));
        assert_eq!(asked("interest.* and not crm", &later, &[]), (OK, "1\n".to_owned(), String::new()));
        let (code, out, err) = asked("interest.theater", &now, &["--json"]);
        let json = r#"{"visitors":{"exact":0},"unknown":[{"name":"interest.theater","nearest":"interest.theatre"}],"as_of":"2027-01-15T08:00:00Z"}"#;
        assert_eq!((code, out.trim_end()), (OK, json));
        assert!(err.contains("did you mean `interest.theatre`?"), "{err}");

        let thresholds = "at least 2 of (interest.theatre, crm, interest.* within 1 day)";
        assert_eq!(asked(thresholds, &now, &[]), (OK, "2\n".to_owned(), String::new()));
        assert_eq!(asked("interest.* within 1 hour", &later, &[]).1, "0\n");
        let (code, out, err) = asked("crm or @autumn", &now, &[]);
        assert_eq!((code, out.as_str()), (OK, "1\n"));
        assert_eq!(err, "warning: no audience is called `@autumn`: it counts as empty\n");

        let lookup = |more: &[&str]| ask(&[&["--data", &data, "--now", &now, "--visitor", "ben"], more].concat());
        let (code, out, _) = lookup(&["--key-file", &key]);
        assert_eq!((code, out.as_str()), (OK, "{\"segments\":[\"crm\",\"interest.theatre\"],\"audiences\":[]}\n"));
        let (_, out, _) = lookup(&["--key-file", &key, "--id-type", "maid"]);
        assert_eq!(out, "{\"segments\":[],\"audiences\":[]}\n");
        let (code, _, err) = lookup(&[]);
        assert!(code == FAILED && err.contains("--key-file"), "{err}");
    }

    #[test]
    fn what_no_build_has_folded_counts() {
        let sample = Sample::new([("anna", "interest.theatre", 2), ("ben", "interest.theatre", 2)]);
        let (data, key_file) = (sample.folder(), sample.key_file());
        let key = Key::from_hex(&std::fs::read_to_string(&key_file).unwrap()).unwrap();
        let state = State::open(data.as_ref(), &key, "usher-engine serve on 127.0.0.1:8080").unwrap();
        let ticks = |hours: i64| Tick::new((Sample::at(hours).unix() / HOUR) as u32);
        let entry = Entry { observed: ticks(0), expiry: ticks(2) };
        let changes = [
            Change::OptOut { pid: sample.pid("anna") },
            Change::Row { pid: sample.pid("carl"), segment: 0, entry },
            Change::Row { pid: sample.pid("ben"), segment: 0, entry },
        ];
        let segments = [Segment { name: "interest.opera".into(), source: "sample".into() }];
        state.commit(&Commit { changes: &changes, segments: &segments, ..Commit::default() }).unwrap();
        let now = Sample::at(0).unix().to_string();
        let asked = |more: &[&str]| ask(&[&["--data", &data, "--now", &now, "--key-file", &key_file], more].concat());

        for (more, route) in
            [(&["interest.*"][..], "POST /v1/size"), (&["--visitor", "ben"], "GET /v1/visitors/{id}/segments")]
        {
            let (code, out, err) = asked(more);
            assert_eq!((code, out.as_str()), (FAILED, ""));
            assert!(err.contains("usher-engine serve on 127.0.0.1:8080") && err.contains(route), "{err}");
        }
        drop(state);
        for (expr, count) in [("interest.theatre", "1\n"), ("interest.*", "2\n"), ("interest.opera", "2\n")] {
            let (code, out, err) = asked(&[expr]);
            assert_eq!((code, out.as_str()), (OK, count), "{expr}: {err}");
        }
        let state = State::open(data.as_ref(), &key, "a test").unwrap();
        let lines = state.audit_lines(0, 9).unwrap().into_iter().map(|line| format!("{} {}", line.what, line.detail));
        let asked_for = ["interest.theatre", "interest.*", "interest.opera"];
        let expected = asked_for.map(|expr| format!("exact_count at the console: {expr}"));
        assert_eq!(lines.collect::<Vec<_>>(), expected);
        drop(state);
        for (visitor, segments) in
            [("ben", r#"["interest.opera","interest.theatre"]"#), ("carl", r#"["interest.opera"]"#), ("anna", "[]")]
        {
            assert!(asked(&["--visitor", visitor]).1.contains(segments), "{visitor}");
        }
        let (code, _, err) = ask(&["--data", &data, "--now", &now, "interest.theatre"]);
        assert!(code == FAILED && err.contains("--key-file"), "{err}");
    }

    #[test]
    fn mistakes_are_pointed_at() {
        let (code, out, err) = ask(&["--data", "/nowhere", "interest.theatre\nan crm"]);
        assert_eq!((code, out.as_str()), (USAGE, ""));
        let lines: Vec<&str> = err.lines().collect();
        assert!(lines[0].starts_with("usher-engine: column 18: expected `and`"), "{err}");
        assert_eq!(lines[1..], ["  interest.theatre an crm", &format!("  {:17}^", "")]);

        let long = format!("{} and and {}", "x".repeat(100), "y".repeat(100));
        let (_, _, err) = ask(&["--data", "/nowhere", &long]);
        let lines: Vec<Vec<char>> = err.lines().map(|line| line.chars().collect()).collect();
        let caret = lines[2].len() - 1;
        assert_eq!(lines[1][caret..caret + 3], ['a', 'n', 'd'], "{err}");
        assert!(lines[1].len() < 80, "{err}");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (code, _, err) = ask(&["--data", "/nowhere", "a"]);
        assert!(code == FAILED && err.contains("/nowhere: there is no such folder"), "{err}");
        let id = "x".repeat(300);
        let (code, _, err) = ask(&["--data", "/nowhere", "--visitor", &id]);
        assert!(code == USAGE && err.contains("at most 256 bytes") && !err.contains("xxx"), "{err}");
    }

    #[test]
    fn arguments_are_one_question() {
        let refused =
            |arguments: &[&str]| Command::try_parse_from([&["ask", "--data", "d"], arguments].concat()).is_err();
        assert!(refused(&[]));
        assert!(refused(&["a", "--visitor", "b"]));
        assert!(refused(&["a", "--now", "yesterday"]));
        let command = Command::try_parse_from(["ask", "--data", "d", "--visitor", "raw-id"]).unwrap();
        assert!(!format!("{:?}", command.args).contains("raw-id"));
    }
}
