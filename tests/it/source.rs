//! The workspace's own files, and just enough reading of Rust to judge them: what is code, what is a comment or a
//! string, where a function ends.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate of the tests lies in the workspace").to_path_buf()
}

/// A text file of the workspace.
pub struct Source {
    /// From the root, with `/`.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// With every comment, string and character blanked, line by line and byte by byte; only for Rust files.
    pub code: String,
}

impl Source {
    /// The code without what is only compiled for tests, blanked likewise.
    pub fn shipped(&self) -> String {
        let mut code = self.code.clone().into_bytes();
        let mut from = 0;
        while let Some(at) = find(&code, b"#[cfg(test)]", from) {
            let end = item_end(&code, at);
            code[at..end].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
            from = end;
        }
        String::from_utf8(code).expect("blanked code is ASCII")
    }
}

/// Every file with this ending that is part of the workspace.
pub fn files(ending: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    paths.sort();
    let named = paths.iter().filter(|path| path.to_string_lossy().ends_with(ending));
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).ok()?;
        let inside = path.strip_prefix(root()).expect("found below the root");
        let code = if ending == ".rs" { blank(&text) } else { String::new() };
        Some(Source { path: inside.to_string_lossy().replace('\\', "/"), text, code })
    };
    named.filter_map(read).collect()
}

/// All files, but not what is built, downloaded or git's.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let name = entry.file_name();
        let path = entry.path();
        if !path.is_dir() {
            paths.push(path);
        } else if !["target", ".git", "node_modules"].iter().any(|skipped| name == *skipped) {
            walk(&path, paths);
        }
    }
}

/// Blanks comments, strings and characters; keeps every line feed in its place.
pub fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let Some(end) = token_end(bytes, at) else {
            out.push(if bytes[at].is_ascii() { bytes[at] } else { b'?' });
            at += 1;
            continue;
        };
        out.extend(bytes[at..end].iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
        at = end;
    }
    String::from_utf8(out).expect("only ASCII was kept")
}

/// Where the comment, string or character that begins here ends; `None` when none does.
fn token_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => Some(find(bytes, b"\n", at).unwrap_or(bytes.len())),
        [b'/', b'*', ..] => Some(comment_end(bytes, at)),
        [b'"', ..] => Some(string_end(bytes, at + 1)),
        [b'r', b'"' | b'#', ..] if !word_before || bytes[at - 1] == b'b' => raw_string_end(bytes, at + 1),
        [b'\'', b'\\', ..] => Some(find(bytes, b"'", at + 3).map_or(bytes.len(), |end| end + 1)),
        // A character holds one; a lifetime is not closed.
        [b'\'', ..] => {
            let char_bytes = std::str::from_utf8(&rest[1..]).ok()?.chars().next()?.len_utf8();
            (rest.get(1 + char_bytes) == Some(&b'\'')).then_some(at + char_bytes + 2)
        }
        _ => None,
    }
}

fn comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (1, at + 2);
    while depth > 0 && at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// `None` when it is a raw name such as `r#type`.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at..].iter().take_while(|b| **b == b'#').count();
    if bytes.get(at + hashes) != Some(&b'"') {
        return None;
    }
    let close = [vec![b'"'], vec![b'#'; hashes]].concat();
    Some(find(bytes, &close, at + hashes + 1).map_or(bytes.len(), |end| end + close.len()))
}

fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(needle.len()).position(|window| window == needle).map(|at| from + at)
}

/// Where the item that begins here ends: behind its `;` or its closing brace.
fn item_end(code: &[u8], from: usize) -> usize {
    let (mut braces, mut others) = (0, 0);
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'{' => braces += 1,
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b';' if braces == 0 && others == 0 => return at + 1,
            b'}' => {
                braces -= 1;
                if braces <= 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// The functions of blanked code: the line of `fn` and the number of lines.
pub fn functions(code: &str) -> Vec<(usize, usize)> {
    let starts = code.match_indices("fn ").filter(|(at, _)| {
        let before = code[..*at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || c == '(') && code[at + 3..].starts_with(|c: char| c.is_alphabetic())
    });
    let lines = |range: Range<usize>| code[range].matches('\n').count();
    starts.map(|(at, _)| (lines(0..at) + 1, lines(at..item_end(code.as_bytes(), at)) + 1)).collect()
}

#[test]
fn reading_rust_is_right_about_strings_and_braces() {
    let text = "fn a() { let x = \"} // no\"; } // {\nfn b<'a>(c: &'a str) {\n  let _ = ('{', r#\"}\"}\"#, '\\'', \"\\\"{\");\n}\n";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(functions(&code), [(1, 1), (2, 3)]);
    let source =
        Source { path: String::new(), text: String::new(), code: "a\n#[cfg(test)]\nmod t { x.y() }\nb".to_owned() };
    assert_eq!(source.shipped().split_whitespace().collect::<Vec<_>>(), ["a", "b"]);
}
