//! The ABI changes only with a line in the changelog, and a function that is newer than the first release says so.
//!
//! `bindings/c/abi.txt` lists every function, number and structure of the header at the last release. Before the first
//! release it lists those of the day on which the list was made. The changelog must name each difference under
//! `[Unreleased]`. `make abi` writes the list at a release.

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
    // The type whose values the next enum names.
    let mut number_type = String::new();
    let mut depth = 0;
    let mut one = String::new();
    for c in code.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ';' && depth <= 0 {
            let words: Vec<&str> = one.split_whitespace().filter(|word| *word != "CM_MUST_USE").collect();
            // The brace that ends extern "C" comes before nothing.
            let declaration = words.join(" ").trim_start_matches("} ").to_owned();
            if let Some(name) = declaration.strip_prefix("typedef int32_t ").filter(|name| !name.contains('(')) {
                name.clone_into(&mut number_type);
            }
            // One line for each number, so that a new number adds one line.
            match declaration.strip_prefix("enum {").and_then(|values| values.strip_suffix('}')) {
                Some(values) => found.extend(
                    values
                        .split(',')
                        .map(str::trim)
                        .filter(|value| !value.is_empty())
                        .map(|value| format!("{number_type}: {value}")),
                ),
                None => _ = found.insert(declaration),
            }
            one.clear();
            depth = 0;
        } else {
            one.push(c);
        }
    }
    found
}

/// The name that the changelog must contain for a line: that of the function, type or number.
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
fn the_abi_changes_only_with_a_line_in_the_changelog() {
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

/// Whether the text contains the name, in full or shortened as in `cm_session_open`, `_start`.
fn mentions(text: &str, name: &str) -> bool {
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let parts: Vec<usize> = name.match_indices('_').map(|(at, _)| at).collect();
    words.contains(&name) || parts.iter().any(|&at| words.contains(&&name[at..]))
}

#[test]
fn the_list_sees_every_kind_of_change() {
    let header = "/** about */\ntypedef int32_t cm_a;\nenum {\n  CM_A_ONE = 1,\n  CM_A_TWO = 2,\n};\n\ntypedef struct cm_b cm_b;\n\
                  typedef struct {\n  size_t size;\n  int (*load)(void *context);\n} cm_c;\n#ifdef __cplusplus\n\
                  extern \"C\" {\n#endif\nCM_MUST_USE cm_a cm_do(const cm_b *b,\n    int n);\n#ifdef __cplusplus\n}\n#endif\n";
    let lines: Vec<String> = declarations(header).into_iter().collect();
    assert_eq!(
        lines,
        [
            "cm_a cm_do(const cm_b *b, int n)",
            "cm_a: CM_A_ONE = 1",
            "cm_a: CM_A_TWO = 2",
            "typedef int32_t cm_a",
            "typedef struct cm_b cm_b",
            "typedef struct { size_t size; int (*load)(void *context); } cm_c",
        ]
    );
    let names: Vec<&str> = lines.iter().map(|line| name(line)).collect();
    assert_eq!(names, ["cm_do", "CM_A_ONE", "CM_A_TWO", "cm_a", "cm_b", "cm_c"]);
    assert!(mentions("`cm_do` and more", "cm_do") && mentions("`cm_session_open`, `_start`", "cm_session_start"));
    assert!(!mentions("`cm_done`, all of `cm_...`", "cm_do"));
}

type Version = (u32, u32);

/// "0.2" at the beginning of a text.
fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Every function of the header with its comment.
fn functions(header: &str) -> Vec<(String, &str)> {
    let documented = header.split("/**").skip(1).filter_map(|part| part.split_once("*/"));
    documented
        .filter_map(|(comment, code)| {
            let declaration = code.split(';').next().unwrap_or_default().trim();
            let is_function = declaration.contains('(') && !declaration.contains("(*") && !declaration.starts_with('#');
            let words: Vec<&str> = declaration.split_whitespace().collect();
            (is_function && !declaration.contains('{')).then(|| (name(&words.join(" ")).to_owned(), comment))
        })
        .collect()
}

/// The functions whose "Since x.y" is missing or wrong. `released` are the functions of the last release, if there was
/// one.
fn wrong_since(header: &str, released: &BTreeSet<&str>, last_release: Option<Version>) -> Vec<String> {
    let problem = |name: &str, since: Option<Version>| match (since, last_release) {
        (Some((0, 1)), _) => Some("leave out \"Since 0.1\": the first page says it"),
        (Some(_), None) => Some("leave out \"Since\": there was no release yet"),
        (Some(since), Some(last)) if since > last && released.contains(name) => Some("it is older than its \"Since\""),
        (Some(since), Some(last)) if since <= last && !released.contains(name) => {
            Some("it is newer than its \"Since\"")
        }
        (None, Some(_)) if !released.contains(name) => Some("say \"Since\" and the version of the next release"),
        _ => None,
    };
    let functions = functions(header).into_iter();
    functions
        .filter_map(|(name, comment)| {
            let since = comment.split("Since ").skip(1).find_map(version);
            problem(&name, since).map(|problem| format!("{name}: {problem}"))
        })
        .collect()
}

#[test]
fn only_functions_that_are_newer_than_the_first_release_say_since_when_they_exist() {
    let header = fs::read_to_string(root().join("include/cmauth.h")).unwrap();
    let list = fs::read_to_string(root().join("bindings/c/abi.txt")).unwrap();
    let released: BTreeSet<&str> = list.lines().map(name).collect();
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let last_release = changelog.split("\n## [").skip(1).find_map(version);
    assert!(functions(&header).len() > 70, "{:?}", functions(&header));
    let wrong = wrong_since(&header, &released, last_release);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_since_that_is_missing_or_wrong_is_found() {
    let header = "/** */\nvoid cm_old(void);\n/** Since 0.1. */\nvoid cm_first(void);\n/** */\nint cm_new(void);\n\
                  /** Since 0.3. */\nint cm_next(void);\n/** Since 0.2. */\nint cm_last(void);\n\
                  /** about */\ntypedef void (*cm_callback)(void);\n";
    let problems = |released: &[&str], last| {
        let wrong = wrong_since(header, &released.iter().copied().collect(), last);
        wrong.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(problems(&["cm_old", "cm_first", "cm_last"], Some((0, 2))), ["cm_first", "cm_new"]);
    assert_eq!(problems(&["cm_old", "cm_new", "cm_next"], Some((0, 2))), ["cm_first", "cm_next", "cm_last"]);
    assert_eq!(problems(&[], None), ["cm_first", "cm_next", "cm_last"]);
}

#[test]
fn comments_leave_the_rules_for_all_functions_to_the_first_page() {
    let header = fs::read_to_string(root().join("include/cmauth.h")).unwrap();
    let rules =
        ["receives the details", "Any thread", "One thread at a time", "; not NULL", "Free it with", "an error with"];
    for (name, comment) in functions(&header) {
        for rule in rules {
            assert!(!comment.contains(rule), "{name}: \"{rule}\" is a rule of the first page");
        }
    }
}
