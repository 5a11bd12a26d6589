//! The header is what the sources say: `include/cmauth.h` is generated here, and compared with the committed one.
//!
//! `make header` runs this with `CMAUTH_WRITE_HEADER=1`, which writes it.

mod common;

use std::fs;
use std::path::Path;

use common::root;

/// The modules in the order of use, each with the beginning of its functions' names.
const MODULES: &[(&str, &str)] = &[
    ("config", "cm_config_"),
    ("client", "cm_"),
    ("login", "cm_login_"),
    ("tokens", "cm_tokens_"),
    ("session", "cm_"),
    ("store", "cm_store_"),
    ("error", "cm_error_"),
    ("log", "cm_"),
    ("version", "cm_"),
];

#[test]
fn the_committed_header_is_the_one_that_the_sources_make() {
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

/// cbindgen's header, with the conventions as its first page and a heading before each group of functions.
fn generate() -> String {
    let sources = root().join("bindings/c/src");
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for (module, _) in MODULES {
        builder = builder.with_src(sources.join(module).with_extension("rs"));
    }
    let mut drawn = Vec::new();
    builder.generate().expect("cbindgen reads the sources").write(&mut drawn);
    let drawn = String::from_utf8(drawn).unwrap();

    let mut header = comment(&module_comment(&sources.join("lib.rs")));
    header.push_str("/* Generated from bindings/c/src by `make header`; never edited. */\n\n");
    let mut rest = drawn.as_str();
    for (module, _) in MODULES {
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
    // Some compilers read a header in the code page of their machine.
    let header = header.replace('…', "...");
    assert!(header.is_ascii(), "the header's comments are ASCII");
    header
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
