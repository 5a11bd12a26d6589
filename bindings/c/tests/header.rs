//! The committed header is the one that the sources generate.
//!
//! `make header` runs this test with `CMAUTH_WRITE_HEADER=1`, which writes `include/cmauth.h`.

mod common;

use std::fs;
use std::path::Path;

use common::root;

/// The modules of bindings/c/src with exported functions, in the order of the header. Each is a group of the header.
const MODULES: &[&str] = &[
    "config",
    "client",
    "cancel",
    "login",
    "browser",
    "tokens",
    "user",
    "session",
    "signed_url",
    "store",
    "error",
    "log",
    "version",
];

#[test]
fn the_committed_header_is_the_one_that_the_sources_generate() {
    let path = root().join("include/cmauth.h");
    let generated = generate();
    if std::env::var_os("CMAUTH_WRITE_HEADER").is_some() {
        fs::write(&path, &generated).unwrap();
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let mut lines = committed.lines().zip(generated.lines()).enumerate();
    if let Some((i, (old, new))) = lines.find(|(_, (old, new))| old != new) {
        panic!("include/cmauth.h is stale: run `make header`\nline {}:\n-{old}\n+{new}", i + 1);
    }
    assert!(committed == generated, "include/cmauth.h is stale at its end: run `make header`");
}

/// cbindgen's header, with a first page and a comment before each group of functions.
fn generate() -> String {
    let sources = root().join("bindings/c/src");
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    // It has a type and no function, so it is no group of the header.
    let context = sources.join("context.rs");
    let mut builder = cbindgen::Builder::new().with_config(config).with_src(context);
    for module in MODULES {
        builder = builder.with_src(sources.join(module).with_extension("rs"));
    }
    let mut generated = Vec::new();
    builder.generate().expect("cbindgen reads the sources").write(&mut generated);
    let generated = plain_enums(&String::from_utf8(generated).unwrap());

    let mut header = comment(&module_comment(&sources.join("lib.rs")));
    header.push_str("/* Generated from bindings/c/src by `make header`. Do not edit. */\n\n");
    let mut rest = generated.as_str();
    for module in MODULES {
        // The first function that the module defines, with the comment before it.
        let source = fs::read_to_string(sources.join(module).with_extension("rs")).unwrap();
        let name = source
            .lines()
            .find_map(|line| line.split_once("extern \"C\" fn ")?.1.split('(').next())
            .expect("a module has a function");
        let at = rest.find(&format!("{name}(")).expect("the function is in the header");
        let at = rest[..at].rfind("/**").expect("the function has a comment");
        header.push_str(&rest[..at]);
        header.push_str(&comment(&module_comment(&sources.join(module).with_extension("rs"))));
        header.push('\n');
        rest = &rest[at..];
    }
    header.push_str(rest);
    // Some compilers read a header in the machine's code page.
    let header = header.replace('…', "...");
    assert!(header.is_ascii(), "the header's comments are ASCII");
    header
}

/// In place of enum types, the header has `int32_t` and names for its values: the size of an enum type is the compiler's choice,
/// and other languages read `int32_t` without a question. cbindgen's own form has a branch for each standard of C and C++.
fn plain_enums(generated: &str) -> String {
    const BEGIN: &str = "\n#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L\n  : int32_t\n\
                         #endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L\n {";
    const END: &str = "};\n#ifndef __cplusplus\n#if __STDC_VERSION__ >= 202311L\n";
    let mut parts = generated.split(BEGIN);
    let mut header = parts.next().unwrap().to_owned();
    for part in parts {
        // The text before ends with "enum name".
        let at = header.rfind("enum ").expect("an enum has a name");
        let name = header.split_off(at)["enum ".len()..].to_owned();
        let (values, rest) = part.split_once(END).expect("an enum ends");
        let (_, rest) = rest.split_once("#endif // __cplusplus\n").expect("a typedef ends");
        header.push_str(&format!("typedef int32_t {name};\nenum {{{values}}};\n{rest}"));
    }
    header
}

#[test]
fn every_group_begins_with_two_lines_that_say_when_you_need_it() {
    for module in MODULES {
        let comment = module_comment(&root().join("bindings/c/src").join(module).with_extension("rs"));
        assert_eq!(comment.lines().count(), 2, "{module}: {comment}");
        assert!(comment.contains(". You need "), "{module}: {comment}");
    }
}

/// The text of a file's `//!` lines.
fn module_comment(path: &Path) -> String {
    let source = fs::read_to_string(path).unwrap();
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n").collect()
}

fn comment(text: &str) -> String {
    let mut comment = "/*\n".to_owned();
    for line in text.lines() {
        comment.push_str(format!(" * {line}").trim_end());
        comment.push('\n');
    }
    comment + " */\n"
}
