//! What programs were compiled against changes only with a line in the changelog.
//!
//! `bindings/c/abi.txt` has every function, number and structure of the header as of the last release (before the first: as of
//! the day the list was made). Whatever differs from it must be named under `[Unreleased]`. `make abi` rewrites it, at a release.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::root;

/// The declarations of the header, each in one line, without comments.
fn declarations(header: &str) -> BTreeSet<String> {
    let mut text = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let code = code.join(" ").replace("extern \"C\" {", "");

    let mut found = BTreeSet::new();
    let mut depth = 0;
    let mut one = String::new();
    for c in code.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ';' && depth <= 0 {
            let words: Vec<&str> = one.split_whitespace().filter(|word| *word != "CM_MUST_USE").collect();
            // The brace that ends extern "C" comes before nothing.
            found.insert(words.join(" ").trim_start_matches("} ").to_owned());
            one.clear();
            depth = 0;
        } else {
            one.push(c);
        }
    }
    // A line for each number, so that a new one is one new line.
    found.into_iter().flat_map(|declaration| numbers(&declaration)).collect()
}

fn numbers(declaration: &str) -> Vec<String> {
    match (declaration.strip_prefix("typedef enum {"), declaration.rsplit_once("} ")) {
        (Some(body), Some((_, name))) => {
            let body = body.rsplit_once('}').map_or(body, |(body, _)| body);
            let values = body.split(',').map(str::trim).filter(|value| !value.is_empty());
            values.map(|value| format!("{name}: {value}")).collect()
        }
        _ => vec![declaration.to_owned()],
    }
}

/// The name by which the changelog speaks of a line: the first that begins with cm_ or CM_, of a function its own.
fn name(line: &str) -> &str {
    let names = || line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.len() > 3);
    let before = line.split('(').next().unwrap_or(line);
    if line.contains(": CM_") {
        return names().find(|word| word.starts_with("CM_")).unwrap_or(line);
    }
    if line.starts_with("typedef") {
        return names().rfind(|word| word.starts_with("cm_")).unwrap_or(line);
    }
    before.rsplit([' ', '*']).next().unwrap_or(line)
}

#[test]
fn what_is_promised_changes_only_with_a_line_in_the_changelog() {
    let header = fs::read_to_string(root().join("include/cmauth.h")).unwrap();
    let now = declarations(&header);
    assert!(now.len() > 100, "{}: {now:#?}", now.len());
    let path = root().join("bindings/c/abi.txt");
    if std::env::var_os("CMAUTH_WRITE_ABI").is_some() {
        let lines: Vec<String> = now.into_iter().collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        return;
    }
    let before: BTreeSet<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let (_, unreleased) = changelog.split_once("## [Unreleased]").unwrap();
    let unreleased = unreleased.split("\n## [").next().unwrap();
    let gone = before.difference(&now).map(|line| ("-", line));
    let come = now.difference(&before).map(|line| ("+", line));
    let silent: Vec<String> = gone
        .chain(come)
        .filter(|(_, line)| !mentions(unreleased, name(line)))
        .map(|(sign, line)| format!("{sign} {line}"))
        .collect();
    assert!(
        silent.is_empty(),
        "the ABI changed, and CHANGELOG.md does not say so under [Unreleased]:\n{}",
        silent.join("\n")
    );
}

/// Whether the text names it, in full or as in `cm_session_open`, `_start`.
fn mentions(text: &str, name: &str) -> bool {
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let parts: Vec<usize> = name.match_indices('_').map(|(at, _)| at).collect();
    words.contains(&name) || parts.iter().any(|&at| words.contains(&&name[at..]))
}

#[test]
fn the_list_sees_every_kind_of_change() {
    let header = "/** about */\ntypedef enum {\n  CM_A_ONE = 1,\n  CM_A_TWO = 2,\n} cm_a;\n\ntypedef struct cm_b cm_b;\n\
                  typedef struct {\n  size_t size;\n  int (*load)(void *context);\n} cm_c;\n#ifdef __cplusplus\n\
                  extern \"C\" {\n#endif\nCM_MUST_USE cm_a cm_do(const cm_b *b,\n    int n);\n#ifdef __cplusplus\n}\n#endif\n";
    let lines: Vec<String> = declarations(header).into_iter().collect();
    assert_eq!(
        lines,
        [
            "cm_a cm_do(const cm_b *b, int n)",
            "cm_a: CM_A_ONE = 1",
            "cm_a: CM_A_TWO = 2",
            "typedef struct cm_b cm_b",
            "typedef struct { size_t size; int (*load)(void *context); } cm_c",
        ]
    );
    let names: Vec<&str> = lines.iter().map(|line| name(line)).collect();
    assert_eq!(names, ["cm_do", "CM_A_ONE", "CM_A_TWO", "cm_b", "cm_c"]);
    assert!(mentions("`cm_do` and more", "cm_do") && mentions("`cm_session_open`, `_start`", "cm_session_start"));
    assert!(!mentions("`cm_done`, all of `cm_...`", "cm_do"));
}
