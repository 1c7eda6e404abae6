//! House rules as tests: lengths, leftovers, floors, arrows between crates, dead links and files that nobody compiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::source::{Source, files, functions, root};

/// Lines of a Rust file; aim at 300.
const MAX_FILE_LINES: usize = 400;
/// Lines of a function.
const MAX_FUNCTION_LINES: usize = 70;

/// What the top level may hold, beside files whose names begin with a dot and the folder that cargo builds in.
const TOP_LEVEL: [&str; 9] =
    ["Cargo.lock", "Cargo.toml", "README.md", "bench", "data-samples", "engine", "loader", "target", "tests"];

/// The floors of usher-index. A module imports from its own floor or lower ones, and never in a circle. A folder is
/// one module.
const FLOORS: [&[&str]; 5] = [
    &["breath", "id", "text", "time", "error", "refusal"],
    &["bytes", "checksum", "mmap", "files", "charter", "segments", "entry", "bits", "bitpack", "change", "witness"],
    &[
        "pseudonym",
        "membership",
        "dictionary",
        "huffman",
        "gaps",
        "profiles",
        "containers",
        "kernels",
        "times",
        "image",
        "manifest",
        "veils",
        "bars",
    ],
    &["lookups", "overlay", "recent", "shard", "snapshot", "state", "sweep"],
    &["build", "writer", "batch", "fold"],
];

/// Which of our crates a crate may name.
const ARROWS: [(&str, &[&str]); 3] =
    [("engine/index", &[]), ("loader", &["usher-index"]), ("engine", &["usher-index", "usher-loader"])];

/// Where `unsafe` may stand, as the beginning of a path.
const UNSAFE: [&str; 2] = ["engine/index/src/mmap", "engine/index/src/kernels"];

/// What usher-index never does: `now` and chance are arguments there, and nothing waits.
const NOT_INSIDE: [&str; 7] =
    ["SystemTime", "Instant::now", "getrandom", "RandomState::new", "async fn", ".await", "println!"];

/// Fails with the whole list when there is one.
fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.contains("/benches/")
}

/// The lines that hold the word, as `path:line`.
fn lines_with(path: &str, text: &str, word: &str) -> Vec<String> {
    let hits = (1..).zip(text.lines()).filter(|(_, line)| line.contains(word));
    hits.map(|(number, line)| format!("{path}:{number}: {}", line.trim())).collect()
}

#[test]
fn files_and_functions_are_short() {
    let mut found = Vec::new();
    for Source { path, text, code } in files(".rs") {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            found.push(format!("{path}: {lines} lines"));
        }
        let long = functions(&code).into_iter().filter(|(_, lines)| *lines > MAX_FUNCTION_LINES);
        found.extend(long.map(|(line, lines)| format!("{path}:{line}: a function of {lines} lines")));
    }
    assert_none("a file has at most 400 lines, a function 70", &found);
}

#[test]
fn nothing_is_left_for_later() {
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("to", "do!")];
    let endings = [".rs", ".md", ".toml", ".yml", ".html", ".js", ".css", "/run"];
    let texts = endings.iter().flat_map(|ending| files(ending));
    let found: Vec<String> = texts
        .flat_map(|source| {
            markers.iter().flat_map(move |word| lines_with(&source.path, &source.text, word)).collect::<Vec<_>>()
        })
        .collect();
    assert_none("what is not done stands in no file", &found);
}

#[test]
fn no_machine_is_named() {
    let places = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
    let endings = [".rs", ".md", ".toml", ".yml", ".html", ".js", ".css", ".txt", "/run"];
    let texts = endings.iter().flat_map(|ending| files(ending));
    let found: Vec<String> = texts
        .flat_map(|source| {
            places.iter().flat_map(move |place| lines_with(&source.path, &source.text, place)).collect::<Vec<_>>()
        })
        .collect();
    assert_none("a path of somebody's machine", &found);
}

#[test]
fn shipped_code_does_not_unwrap() {
    let compiled = reached(Source::shipped);
    let shipped = files(".rs").into_iter().filter(|source| compiled.contains(&source.path) && !is_test(&source.path));
    let found: Vec<String> =
        shipped.flat_map(|source| lines_with(&source.path, &source.shipped(), concat!(".unw", "rap()"))).collect();
    assert_none("an unwrap outside tests: return an error, or `expect` with the reason why it cannot happen", &found);
}

#[test]
fn unsafe_stands_in_two_places() {
    let mut found = Vec::new();
    for source in files(".rs").iter().filter(|source| !UNSAFE.iter().any(|place| source.path.starts_with(place))) {
        found.extend(lines_with(&source.path, &source.code, concat!("un", "safe ")));
    }
    assert_none("unsafe code belongs into the map of files and the kernels", &found);
}

#[test]
fn the_index_reads_no_clock_and_waits_for_nobody() {
    let mut found = Vec::new();
    for source in files(".rs").iter().filter(|source| source.path.starts_with("engine/index/src/")) {
        let code = source.shipped();
        found.extend(NOT_INSIDE.iter().flat_map(|word| lines_with(&source.path, &code, word)));
    }
    assert_none("usher-index takes `now` as an argument, and has no chance, no network and no output", &found);
}

/// The module of usher-index that a file belongs to: `image/writer.rs` to `image`; `None` for lib.rs.
fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("engine/index/src/")?;
    let name = inside.split('/').next()?.trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Which modules of the crate the code names.
fn imports(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, word) in code.match_indices("crate::") {
        let rest = &code[at + word.len()..];
        let group = rest.strip_prefix('{').map_or(rest, |inner| inner.split(';').next().unwrap_or(inner));
        let several = rest.starts_with('{');
        let mut depth = 0;
        for part in group.split_inclusive(['{', '}', ',']) {
            let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if depth == 0 && !name.is_empty() {
                names.insert(name);
            }
            depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
            if !several {
                break;
            }
        }
    }
    names
}

#[test]
fn the_index_imports_downwards() {
    let mut found = Vec::new();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let compiled = reached(Source::shipped);
    for source in files(".rs").into_iter().filter(|source| compiled.contains(&source.path)) {
        let Some(name) = module(&source.path) else { continue };
        let Some(own) = floor(name) else {
            found.push(format!("{}: has no floor; give `{name}` one in tests/it/tidy.rs and DESIGN", source.path));
            continue;
        };
        for import in imports(&source.shipped()) {
            match floor(&import) {
                None => {
                    found.push(format!("{}: imports crate::{import}, which is no module with a floor", source.path));
                }
                Some(other) if other > own => {
                    found.push(format!("{}: floor {own} imports crate::{import} of floor {other}", source.path));
                }
                Some(_) if import != name => {
                    graph.entry(name.to_owned()).or_default().insert(import);
                }
                Some(_) => {}
            }
        }
    }
    found.extend(circle(graph).map(|left| format!("a circle among {}", left.join(", "))));
    assert_none("usher-index imports from its own floor or lower ones, never in a circle", &found);
}

/// The modules that are left when every module whose imports are all gone has gone, if any.
fn circle(mut graph: BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    loop {
        let waiting: BTreeSet<String> = graph.keys().cloned().collect();
        let before = graph.len();
        graph.retain(|_, imports| imports.iter().any(|import| waiting.contains(import)));
        if graph.is_empty() {
            return None;
        }
        if graph.len() == before {
            return Some(graph.into_keys().collect());
        }
    }
}

#[test]
fn arrows_between_crates_run_one_way() {
    let mut found = Vec::new();
    for (folder, allowed) in ARROWS {
        let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("a valid manifest");
        let named = manifest.get("dependencies").and_then(toml::Value::as_table).expect("dependencies");
        let wrong = named.keys().filter(|name| name.starts_with("usher-") && !allowed.contains(&name.as_str()));
        found.extend(wrong.map(|name| format!("{folder}/Cargo.toml: depends on {name}")));
    }
    assert_none("index <- loader <- engine", &found);
}

#[test]
fn versions_stand_in_one_table() {
    let mut found = Vec::new();
    for source in files("Cargo.toml").iter().filter(|source| source.path != "Cargo.toml") {
        let manifest: toml::Table = source.text.parse().expect("a valid manifest");
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(named) = manifest.get(table).and_then(toml::Value::as_table) else { continue };
            let own = named.iter().filter(|(_, how)| how.get("workspace") != Some(&toml::Value::Boolean(true)));
            found.extend(own.map(|(name, _)| format!("{}: {name}", source.path)));
        }
    }
    assert_none("a crate names a dependency, never its version: `x.workspace = true`", &found);
}

/// The Rust files that `mod` leads to, from the roots of the crates, when a file is read as `code`.
fn reached(code: impl Fn(&Source) -> String) -> BTreeSet<String> {
    let sources: BTreeMap<String, Source> = files(".rs").into_iter().map(|s| (s.path.clone(), s)).collect();
    let roots = ["/src/lib.rs", "/src/main.rs", "tests/it/main.rs"];
    let mut open: Vec<String> =
        sources.keys().filter(|path| roots.iter().any(|end| path.ends_with(end))).cloned().collect();
    open.extend(sources.keys().filter(|path| path.contains("/benches/") || path.contains("/examples/")).cloned());
    let mut reached: BTreeSet<String> = open.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let (folder, file) = path.rsplit_once('/').expect("every file lies in a folder");
        let stem = file.trim_end_matches(".rs");
        let inside =
            if ["lib", "main", "mod"].contains(&stem) { folder.to_owned() } else { format!("{folder}/{stem}") };
        for name in modules(&code(&sources[&path])) {
            for child in [format!("{inside}/{name}.rs"), format!("{inside}/{name}/mod.rs")] {
                if sources.contains_key(&child) && reached.insert(child.clone()) {
                    open.push(child);
                }
            }
        }
    }
    reached
}

#[test]
fn every_rust_file_is_compiled() {
    let reached = reached(|source| source.code.clone());
    let lost: Vec<String> = files(".rs").into_iter().map(|s| s.path).filter(|path| !reached.contains(path)).collect();
    assert_none("a Rust file that no `mod` names", &lost);
}

/// The names of `mod NAME;`.
fn modules(code: &str) -> Vec<String> {
    let declared = code.split(';').filter_map(|statement| statement.trim_end().rsplit_once("mod "));
    let simple = |name: &&str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    declared.map(|(_, name)| name.trim()).filter(simple).map(str::to_owned).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut found = Vec::new();
    for source in files(".md") {
        let file = root().join(&source.path);
        let folder = file.parent().expect("every file lies in a folder");
        for link in source.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or(link);
            let outside = link.contains("://") || link.starts_with("mailto:") || target.is_empty();
            if !outside && !folder.join(target).exists() {
                found.push(format!("{}: {link}", source.path));
            }
        }
    }
    assert_none("a link into nothing", &found);
    for expected in ["README.md", "engine/index/FORMAT.md"] {
        assert!(root().join(expected).is_file(), "{expected} is missing");
    }
}

#[test]
fn the_top_level_is_a_short_list() {
    let names = fs::read_dir(root()).expect("the workspace").flatten().map(|entry| entry.file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let found: Vec<String> =
        names.filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str())).collect();
    assert_none("the top level holds only what DESIGN names; configuration hides behind dots", &found);
}
