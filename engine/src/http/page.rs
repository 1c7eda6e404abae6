//! The planner's page: a few static files in the program, at `/` and `/page/NAME`. The page asks the same routes as
//! everybody else.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use usher_index::checksum::digest;

use super::problem::{Kind, Problem};
use super::reply::{self, JSON, Reply};

/// Nothing from elsewhere, nothing inline, no frame, no form that leaves the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// The name of the file that `/` answers with.
const INDEX: &str = "index.html";
/// That of `/docs`.
const DOCS: &str = "docs.html";
/// That of `/openapi.json`.
const OPENAPI: &str = "openapi.json";

/// A file of the page.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    /// The digest of the bytes: a browser that has them is told so.
    tag: HeaderValue,
}

macro_rules! assets {
    ($($media_type:ident: $($name:literal)+;)+) => {
        /// The files, with their media types.
        const FILES: &[(&str, &str, &[u8])] = &[
            $($(($name, $media_type, include_bytes!(concat!("../../page/", $name))),)+)+
        ];
    };
}

assets! {
    HTML: "index.html" "docs.html";
    JSON: "openapi.json";
    IMAGE: "icon.svg";
    CSS: "base.css" "layout.css" "controls.css" "parts.css" "views.css" "views-more.css" "charts.css" "docs.css";
    SCRIPT: "main.js" "docs.js" "address.js" "api.js" "dom.js" "expression.js" "format.js" "i18n.js" "memory.js" "store.js"
        "en.js" "en-more.js" "fr.js" "fr-more.js" "parts.js" "picker.js" "chips.js" "scale.js"
        "chart-bars.js" "chart-heat.js" "chart-reach.js" "chart-trend.js"
        "view-audience.js" "view-card.js" "view-charter.js" "view-lookalike.js" "view-overlap.js" "view-saved.js"
        "view-segments.js" "view-visitor.js";
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |&(name, media_type, bytes)| {
        let tag = format!("\"{}\"", digest(bytes));
        let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes are a header's value");
        Asset { name, media_type, bytes, tag }
    };
    FILES.iter().map(asset).collect()
});

/// `GET /`: the page.
///
/// # Errors
/// Never; it is an asset as the others.
pub fn index(headers: &HeaderMap) -> Result<Reply, Problem> {
    asset(headers, INDEX)
}

/// `GET /docs`: the interface, for people.
///
/// # Errors
/// Never.
pub fn docs(headers: &HeaderMap) -> Result<Reply, Problem> {
    asset(headers, DOCS)
}

/// `GET /openapi.json`: the interface, for programs.
///
/// # Errors
/// Never.
pub fn openapi(headers: &HeaderMap) -> Result<Reply, Problem> {
    asset(headers, OPENAPI)
}

/// `GET /page/{name}`: a file of the page.
///
/// # Errors
/// [`Kind::NotFound`] when the page has no such file.
pub fn asset(headers: &HeaderMap, name: &str) -> Result<Reply, Problem> {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let asset = found.ok_or_else(|| Problem::new(Kind::NotFound, "The page has no such file; it begins at /."))?;
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| names(value, &asset.tag));
    let mut reply = reply::of(asset.media_type, if known { Vec::new() } else { asset.bytes.to_vec() });
    if known {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = reply.headers_mut();
    headers.insert(header::ETAG, asset.tag.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(reply)
}

/// Whether an `If-None-Match` names `tag`; a weak mark is looked over, as RFC 9110 has it.
fn names(value: &HeaderValue, tag: &HeaderValue) -> bool {
    let listed = value.to_str().unwrap_or("").split(',').map(str::trim);
    listed.map(|one| one.strip_prefix("W/").unwrap_or(one)).any(|one| one == "*" || one.as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(name: &str) -> &'static str {
        let (_, _, bytes) = FILES.iter().find(|(other, ..)| *other == name).unwrap();
        std::str::from_utf8(bytes).unwrap()
    }

    /// What stands between `before` and `after`, each time.
    fn between<'t>(text: &'t str, before: &str, after: char) -> Vec<&'t str> {
        text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
    }

    #[test]
    fn a_browser_that_has_a_file_is_told_so() {
        let mut headers = HeaderMap::new();
        let first = index(&headers).unwrap();
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(first.status(), 200);
        for (held, status) in [
            (tag.to_str().unwrap().to_owned(), 304),
            (format!("\"x\", W/{}", tag.to_str().unwrap()), 304),
            ("*".to_owned(), 304),
            ("\"x\"".to_owned(), 200),
        ] {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(&held).unwrap());
            let again = index(&headers).unwrap();
            assert_eq!((again.status().as_u16(), &again.headers()[header::ETAG]), (status, &tag), "{held}");
            assert_eq!(reply::bytes_of(again).is_empty(), status == 304, "{held}");
        }
        assert!(asset(&headers, "../page.rs").is_err());
    }

    #[test]
    fn every_file_is_reached_from_the_page_and_nothing_else_is() {
        let mut open = vec![INDEX, DOCS];
        let mut seen = BTreeSet::from([INDEX, DOCS, OPENAPI]);
        while let Some(name) = open.pop() {
            let text = text(name);
            let linked = [between(text, "\"/page/", '"'), between(text, " from \"./", '"')].concat();
            open.extend(linked.into_iter().filter(|next| seen.insert(next)));
        }
        let all: BTreeSet<&str> = FILES.iter().map(|(name, ..)| *name).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn nothing_inline_and_nothing_from_elsewhere() {
        for (name, media_type, _) in FILES {
            let text = text(name);
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{name}");
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "Function(", "document.write"] {
                assert!(!text.contains(word), "{name}: {word}");
            }
            if *media_type == HTML {
                assert_eq!(text.matches("<script").count(), text.matches("<script type=\"module\" src=").count());
                assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" on"), "{name}");
            }
        }
    }

    /// The keys of a table of words, each with the places that it leaves to be filled in.
    fn words(names: [&str; 2]) -> Vec<(String, BTreeSet<String>)> {
        let lines = names.into_iter().flat_map(|name| text(name).lines());
        let pairs = lines.filter_map(|line| line.strip_prefix("    \"")?.split_once("\": \""));
        let holes = |text: &str| between(text, "{", '}').into_iter().map(str::to_owned).collect();
        pairs.map(|(key, text)| (key.to_owned(), holes(text))).collect()
    }

    #[test]
    fn both_languages_say_the_same() {
        let (english, french) = (words(["en.js", "en-more.js"]), words(["fr.js", "fr-more.js"]));
        assert!(english.len() > 300, "{}", english.len());
        for (one, other) in english.iter().zip(&french) {
            let may_drop = one.0.starts_with("chip.days.");
            assert!(one == other || may_drop && one.0 == other.0, "{one:?} is not {other:?}");
        }
        assert_eq!(english.len(), french.len());
        let keys: BTreeSet<&str> = english.iter().map(|(key, _)| &**key).collect();
        assert_eq!(keys.len(), english.len(), "a key stands twice");
        for (name, ..) in FILES.iter().filter(|(name, ..)| name.ends_with(".js")) {
            for key in between(text(name), " t(\"", '"').into_iter().chain(between(text(name), "(t(\"", '"')) {
                assert!(keys.contains(key), "{name}: there are no words for {key}");
            }
            for key in between(text(name), "plural(\"", '"') {
                assert!(keys.contains(&*format!("{key}.one")) && keys.contains(&*format!("{key}.other")), "{key}");
            }
        }
    }
}
