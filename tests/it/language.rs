//! Expressions mean what their users think they mean, and mistakes are shown where they are.

use usher_engine::ask::parse::{MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_LEAVES, ParseError, parse};

/// What a text is printed back as: the same set, with no more parentheses and quotes than it needs.
fn printed(text: &str) -> String {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

fn refused(text: &str) -> ParseError {
    parse(text).expect_err(text)
}

#[test]
fn good_expressions_are_printed_back_in_their_plainest_form() {
    for (text, plain) in [
        (
            "interest.theatre and interest.ticketing and not crm.spectator",
            "interest.theatre and interest.ticketing and not crm.spectator",
        ),
        ("interest.theatre", "interest.theatre"),
        ("\"interest.theatre\"", "interest.theatre"),
        ("  a   AND\tb\nOr NOT c ", "a and b or not c"),
        ("(a)and(b)", "a and b"),
        ("((a or b)) and (not (c))", "(a or b) and not c"),
        ("(a and b) or (c and d)", "a and b or c and d"),
        ("a and (b or c) and d", "a and (b or c) and d"),
        ("not (not a)", "not not a"),
        ("not(a or b)", "not (a or b)"),
        ("interest.* and not geo.*", "interest.* and not geo.*"),
        ("\"art & music.\"*", "\"art & music.\"*"),
        ("\"geo.\"*", "geo.*"),
        ("\"geo.*\"", "\"geo.*\""),
        ("\"say \\\"hi\\\" \\\\ bye\"", "\"say \\\"hi\\\" \\\\ bye\""),
        ("\"and\" and \"Within\"", "\"and\" and \"Within\""),
        ("théâtre or дети or 演劇", "théâtre or дети or 演劇"),
        ("crm:past-2024_a or 42 or -x", "crm:past-2024_a or 42 or -x"),
        ("android or notes or oregon", "android or notes or oregon"),
        ("\"income <=50K\"", "\"income <=50K\""),
    ] {
        assert_eq!(printed(text), plain, "{text}");
        assert_eq!(parse(plain), parse(text), "{plain} and {text} are one tree");
    }
}

#[test]
fn operators_bind_as_in_school() {
    for (text, explicit) in [
        ("a or b and c", "a or (b and c)"),
        ("a and b or c and d", "(a and b) or (c and d)"),
        ("not a and b", "(not a) and b"),
        ("not a or b and not c", "(not a) or (b and (not c))"),
        ("not not a and b", "(not (not a)) and b"),
    ] {
        assert_eq!(parse(text), parse(explicit), "{text}");
    }
    assert_ne!(parse("a or b and c"), parse("(a or b) and c"));
    assert_ne!(parse("not a and b"), parse("not (a and b)"));
}

#[test]
fn mistakes_are_shown_at_their_column() {
    for (text, column, expected, found) in [
        ("", 1, "a segment", "the end of the expression"),
        ("   ", 4, "a segment", "the end of the expression"),
        ("a and", 6, "a segment", "the end of the expression"),
        ("and a", 1, "a segment", "`and`"),
        ("a or or b", 6, "a segment", "`or`"),
        ("a not b", 3, "`and`, `or`", "`not`"),
        ("interest theatre", 10, "`and`, `or`", "double quotes"),
        ("(a or b", 8, "`)`", "the end"),
        ("a or b)", 7, "`and`, `or` or the end", "closes nothing"),
        ("()", 2, "a segment", "`)`"),
        ("not", 4, "a segment", "the end"),
        ("théâtre et musique", 9, "`and`, `or`", "`et`"),
        ("a && b", 3, "`and`, `or`", "write `and`"),
        ("a | b", 3, "`and`, `or`", "write `or`"),
        ("!a", 1, "a segment", "write `not`"),
        ("'a'", 1, "a segment", "double quotes"),
        ("*", 1, "a segment", "interest.*"),
        ("interest*", 9, "`and`, `or`", "interest.*"),
        ("interest.*theatre", 11, "`and`, `or`", "`theatre`"),
        ("a and \"b", 9, "closing", "the end"),
        ("\"a\\n\"", 3, "no other escapes", "`\\n`"),
        ("a or \"\"", 6, "1 to 256 bytes", "0 bytes"),
        ("\"tab\there\"", 1, "without control characters", "U+0009"),
        ("a\u{0}", 2, "`and`, `or`", "U+0000"),
    ] {
        let error = refused(text);
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.expected.contains(expected), "{text}: {error}");
        assert!(error.found.contains(found), "{text}: {error}");
        assert!(error.to_string().contains(&format!("column {column}")), "{error}");
    }
}

#[test]
fn thresholds_spans_and_audiences_are_printed_back() {
    for (text, plain) in [
        ("a and @autumn", "a and @autumn"),
        ("AT LEAST 2 of(a,b or c,( not d ))", "at least 2 of (a, b or c, not d)"),
        ("not (at least 1 of (a))", "not at least 1 of (a)"),
        ("interest.theatre within 7 days", "interest.theatre within 7 days"),
        ("interest.* Within 2 weeks", "interest.* within 14 days"),
        ("not a within 24 HOURS and b within 1 minute", "not a within 1 day and b within 1 minute"),
        ("\"night life\" within 36 hours", "\"night life\" within 36 hours"),
        (
            "at least 2 of (a within 1 week, @b, at least 1 of (c, d))",
            "at least 2 of (a within 7 days, @b, at least 1 of (c, d))",
        ),
        ("least or of or days or \"at\" or \"within\"", "least or of or days or \"at\" or \"within\""),
    ] {
        assert_eq!(printed(text), plain, "{text}");
        assert_eq!(parse(plain), parse(text), "{plain} and {text} are one tree");
    }
}

#[test]
fn mistakes_in_thresholds_spans_and_audiences_are_shown_at_their_column() {
    for (text, column, expected, found) in [
        ("at", 3, "`least`", "the end"),
        ("at 2 of (a, b)", 4, "`least`", "`2`"),
        ("at least of (a)", 10, "a number from 1", "`of`"),
        ("at least 0 of (a)", 10, "a number from 1", "`0`"),
        ("at least two of (a)", 10, "a number from 1", "`two`"),
        ("at least 2 (a, b)", 12, "`of`", "`(`"),
        ("at least 2 of a, b", 15, "`(`", "`a`"),
        ("at least 2 of (a, b", 20, "`,` or `)`", "the end"),
        ("at least 2 of (a b)", 18, "`,` or `)`", "double quotes"),
        ("at least 2 of (a,, b)", 18, "a segment", "`,`"),
        ("at least 1 of ()", 16, "a segment", "`)`"),
        ("a or at least 3 of (a, b)", 15, "a number from 1 to 2", "`3`"),
        ("at least 99999999999 of (a)", 10, "a number from 1", "`99999999999`"),
        ("a, b", 2, "`and`, `or`", "`,`"),
        ("within 7 days", 1, "a segment", "\"within\""),
        ("a within days", 10, "a number of minutes", "`days`"),
        ("a within 0 days", 10, "a number of minutes", "`0`"),
        ("a within 7", 11, "`minutes`, `hours`, `days` or `weeks`", "the end"),
        ("a within 7 years", 12, "`minutes`, `hours`, `days` or `weeks`", "`years`"),
        ("a within 7 dayss", 12, "`minutes`, `hours`, `days` or `weeks`", "`dayss`"),
        ("a within 9999999 weeks", 10, "at most 136 years", "`9999999`"),
        ("(a or b) within 7 days", 10, "`and`, `or`", "one segment or `prefix.*`"),
        ("@autumn within 7 days", 9, "`and`, `or`", "one segment or `prefix.*`"),
        ("a within 7 days within 3 days", 17, "`and`, `or`", "one segment or `prefix.*`"),
        ("a and @", 7, "an audience's name", "0 bytes"),
        ("@ autumn", 1, "an audience's name", "0 bytes"),
        ("@autumn.*", 9, "`and`, `or`", "`*`"),
    ] {
        let error = refused(text);
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.expected.contains(expected) && error.found.contains(found), "{text}: {error}");
    }
    assert!(parse(&format!("@{}", "a".repeat(128))).is_ok());
    assert_eq!(refused(&format!("a or @{}", "a".repeat(129))).column, 6);
}

#[test]
fn limits_hold_at_their_edge() {
    let nested = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(printed(&nested(MAX_DEPTH)), "a");
    assert_eq!(refused(&nested(MAX_DEPTH + 1)).column, MAX_DEPTH + 1);
    assert!(parse(&format!("{}a", "not ".repeat(MAX_DEPTH))).is_ok());
    assert_eq!(refused(&format!("{}a", "not ".repeat(MAX_DEPTH + 1))).column, 4 * MAX_DEPTH + 1);

    let lists = |n: usize| format!("{}a{}", "at least 1 of (".repeat(n), ")".repeat(n));
    assert!(parse(&lists(MAX_DEPTH)).is_ok());
    assert_eq!(refused(&lists(MAX_DEPTH + 1)).column, 15 * MAX_DEPTH + 1);

    let listed = |n: usize| format!("at least 1 of ({})", vec!["@a"; n].join(", "));
    assert!(parse(&listed(MAX_LEAVES)).is_ok() && parse(&listed(MAX_LEAVES + 1)).is_err());

    let joined = |n: usize| vec!["a"; n].join(" and ");
    assert!(parse(&joined(MAX_LEAVES)).is_ok());
    assert!(refused(&joined(MAX_LEAVES + 1)).expected.contains(&MAX_LEAVES.to_string()));

    let long = |n: usize| format!("\"{}\"{}", "é".repeat(128), " ".repeat(n - 258));
    assert!(parse(&long(MAX_EXPRESSION_BYTES)).is_ok());
    assert!(refused(&long(MAX_EXPRESSION_BYTES + 1)).expected.contains(&MAX_EXPRESSION_BYTES.to_string()));
    assert_eq!(refused(&"x".repeat(257)).column, 1);
}

#[test]
fn no_text_makes_the_parser_panic() {
    // Every string of up to four pieces of the language, and what stands beside it.
    let pieces = [
        "a",
        "x.",
        "*",
        "(",
        ")",
        "\"",
        "\\",
        "and ",
        "or ",
        "not ",
        " ",
        "@",
        "within ",
        "7 ",
        "days ",
        "at least ",
        "of ",
        "é",
        "\0",
        ",",
    ];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        texts = texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
        for text in &texts {
            match parse(text) {
                Ok(tree) => assert_eq!(parse(&tree.to_string()).as_ref(), Ok(&tree), "{text:?}"),
                Err(error) => assert!((1..=text.chars().count() + 1).contains(&error.column), "{text:?}: {error}"),
            }
        }
    }
}
