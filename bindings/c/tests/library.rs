//! Checks of the built library and its headers, without a server.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::{Link, command_for, compile, library, program, root, run, scratch};

fn header() -> String {
    fs::read_to_string(root().join("include/cmauth.h")).unwrap()
}

/// Every function that the header declares.
fn declared() -> BTreeSet<String> {
    header()
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#']))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("cm_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_library_exports_exactly_the_functions_of_the_header() {
    let output = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library().join("libcmauth.so")));
    let exported: BTreeSet<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.rsplit(' ').next().map(str::to_owned))
        .collect();
    assert!(declared().len() > 30, "{:?}", declared());
    assert_eq!(exported, declared());
}

#[test]
fn the_library_has_its_soname_and_a_link_of_that_name_beside_it() {
    let output = run(Command::new("readelf").arg("-d").arg(library().join("libcmauth.so")));
    let dynamic = String::from_utf8(output.stdout).unwrap();
    assert!(dynamic.contains("soname: [libcmauth.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    let link = fs::read_link(library().join("libcmauth.so.0")).unwrap();
    assert_eq!(link.to_str(), Some("libcmauth.so"));
}

#[test]
fn the_header_compiles_alone_and_twice_in_old_c_and_in_cpp() {
    let folder = scratch("header");
    for (file, compiler, standards) in
        [("twice.c", "cc", &["-std=c99", "-std=c17"][..]), ("twice.cpp", "c++", &["-std=c++11", "-std=c++17"])]
    {
        let source = folder.join(file);
        fs::write(&source, "#include <cmauth.h>\n#include <cmauth.h>\n").unwrap();
        for standard in standards {
            run(Command::new(compiler)
                .args([standard, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
                .arg(root().join("include"))
                .arg(&source));
        }
    }
}

#[test]
fn the_cpp_header_compiles_with_every_warning_on_each_compiler_in_each_standard() {
    let source = scratch("header").join("both.cpp");
    fs::write(&source, "#include <cmauth.hpp>\n#include <cmauth.hpp>\n").unwrap();
    for compiler in ["g++", "clang++"] {
        if Command::new(compiler).arg("--version").output().is_err() {
            common::skip_without(compiler);
            continue;
        }
        for standard in ["-std=c++17", "-std=c++20", "-std=c++2b"] {
            for source in [source.clone(), program("every_member.cpp"), root().join("examples/cpp/login.cpp")] {
                run(Command::new(compiler)
                    .args([standard, "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"])
                    .args(["-fsyntax-only", "-I"])
                    .arg(root().join("include"))
                    .arg(source));
            }
        }
    }
}

#[test]
fn the_cpp_header_has_every_function_of_the_c_header() {
    let wrapped = fs::read_to_string(root().join("include/cmauth.hpp")).unwrap();
    // C++ gets the status from the call.
    let needless = ["cm_error_status"];
    // As a call, as the function that frees a handle, or as an argument.
    let used = |name: &String| ["(", ">", ")"].iter().any(|end| wrapped.contains(&format!("{name}{end}")));
    let missing: Vec<_> =
        declared().into_iter().filter(|name| !used(name) && !needless.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_function_has_an_example() {
    let examples: Vec<String> = fs::read_dir(root().join("examples/c"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let missing: Vec<_> = declared()
        .into_iter()
        .filter(|name| !examples.iter().any(|example| example.contains(&format!("{name}("))))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn doxygen_makes_the_reference_without_a_warning() {
    if Command::new("doxygen").arg("--version").output().is_err() {
        common::skip_without("doxygen");
        return;
    }
    let out = scratch("reference");
    run(Command::new("doxygen")
        .arg("docs/c/Doxyfile")
        .env("OUT", &out)
        .env("VERSION", env!("CARGO_PKG_VERSION"))
        .current_dir(root()));
    let page = fs::read_to_string(out.join("cmauth_8h.html")).unwrap();
    for name in declared() {
        assert!(page.contains(&format!(">{name}</a>")) || page.contains(&name), "{name} is not in the reference");
    }
    assert!(!page.contains("<script"), "the pages must not need scripts");
}

#[test]
fn the_program_on_the_header_s_first_page_compiles_and_has_at_most_20_lines() {
    let text = common::first_page_program(&header());
    assert!(text.starts_with("#include <cmauth.h>"), "{text}");
    let lines = text.lines().count();
    assert!(lines <= 20, "{lines} lines");
    let source = scratch("first-page").join("program.c");
    fs::write(&source, text).unwrap();
    compile(&source, Link::Shared, "first-page");
}

#[test]
fn a_panic_in_any_function_is_caught_without_output() {
    let built = compile(&program("panics.c"), Link::Shared, "panics");
    let output = run(Command::new(built).env("LD_LIBRARY_PATH", common::panicking_library()));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let source = fs::read_to_string(program("panics.c")).unwrap();
    assert_calls_every_function(&source, "panics.c");
}

#[test]
fn every_function_takes_null_in_every_place() {
    for (link, name) in [(Link::Shared, "nulls-shared"), (Link::Static, "nulls-static")] {
        let built = compile(&program("nulls.c"), link, name);
        run(&mut command_for(&built));
    }
    // A new function of the header must be in that program too.
    let source = fs::read_to_string(program("nulls.c")).unwrap();
    assert_calls_every_function(&source, "nulls.c");
}

fn assert_calls_every_function(source: &str, name: &str) {
    let names: BTreeSet<&str> = source.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for function in declared() {
        assert!(names.contains(function.as_str()), "{name} does not call {function}");
    }
}
