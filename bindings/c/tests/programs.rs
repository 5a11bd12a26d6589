//! Programs in C and C++, built as a user builds them, run against the sandbox over TLS: the tests of bindings/c/tests/c, the
//! examples, and the programs of the README.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use cmauth_sandbox::Fault;
use common::user::{CLIENT_ID, CLIENT_SECRET, run_with_user, run_with_user_trusting, tls_sandbox};
use common::{Link, compile, program, root, scratch};

/// Compiles and runs one program in both ways of linking.
fn run_both_links(source: &str, name: &str) -> String {
    let mut printed = String::new();
    for (link, name) in [(Link::Shared, format!("{name}-shared")), (Link::Static, format!("{name}-static"))] {
        let built = compile(&root().join(source), link, &name);
        printed = run_with_user(program(&built), &tls_sandbox(), &name);
    }
    printed
}

#[test]
fn the_whole_story_in_c() {
    run_both_links("bindings/c/tests/c/end_to_end.c", "story");
}

#[test]
fn sixteen_threads_share_one_client() {
    run_both_links("bindings/c/tests/c/threads.c", "threads");
}

#[test]
fn a_session_with_each_kind_of_store() {
    run_both_links("bindings/c/tests/c/session.c", "session");
}

#[test]
fn stores_keep_to_their_file_destroy_their_context_once_and_tell_their_generation() {
    run_both_links("bindings/c/tests/c/stores.c", "stores");
}

#[test]
fn children_of_a_fork_are_not_locked_out_of_a_store_in_memory() {
    run_both_links("bindings/c/tests/c/memory_fork.c", "memory-fork");
}

#[test]
fn a_login_comes_back_to_this_machine() {
    run_both_links("bindings/c/tests/c/listen.c", "listen");
}

#[test]
fn everything_of_the_cpp_header() {
    run_both_links("bindings/c/tests/cpp/every_member.cpp", "all-cpp");
}

#[test]
fn a_child_of_a_fork_has_connections_of_its_own() {
    run_both_links("bindings/c/tests/c/fork.c", "fork");
}

#[test]
fn signals_neither_break_calls_nor_end_the_process() {
    let built = compile(&root().join("bindings/c/tests/c/signals.c"), Link::Shared, "signals");
    run_with_user(program(&built), &tls_sandbox(), "signals");
    // Every kept connection is reset before its next call, which then writes into it.
    let sandbox = tls_sandbox();
    sandbox.set_faults(&[Fault::ResetIdle.always()]).unwrap();
    run_with_user(program(&built), &sandbox, "signals-resets");
}

#[test]
fn the_log_has_a_line_for_every_event_and_no_secret() {
    run_both_links("bindings/c/tests/c/log.c", "log");
}

#[test]
fn no_secret_is_left_in_memory_once_the_handles_are_freed() {
    run_both_links("bindings/c/tests/c/memory.c", "memory");
}

#[test]
fn nothing_leaks_and_no_memory_is_misused() {
    for (source, name) in [
        ("bindings/c/tests/c/end_to_end.c", "story-valgrind"),
        ("bindings/c/tests/c/threads.c", "threads-valgrind"),
        ("bindings/c/tests/c/session.c", "session-valgrind"),
        ("bindings/c/tests/c/stores.c", "stores-valgrind"),
        ("bindings/c/tests/c/listen.c", "listen-valgrind"),
        ("bindings/c/tests/cpp/every_member.cpp", "all-cpp-valgrind"),
    ] {
        let built = compile(&root().join(source), Link::Shared, name);
        if let Some(command) = common::valgrind(&built) {
            run_with_user(command, &tls_sandbox(), name);
        }
    }
    let built = compile(&root().join("bindings/c/tests/c/nulls.c"), Link::Shared, "nulls-valgrind");
    if let Some(mut command) = common::valgrind(&built) {
        common::run(&mut command);
    }
}

#[test]
fn the_examples_tell_the_story_and_show_no_token() {
    for source in ["examples/c/login.c", "examples/cpp/login.cpp"] {
        let name = source.replace(['/', '.'], "-");
        let built = compile(&root().join(source), Link::Shared, &name);
        let printed = run_with_user(program(&built), &tls_sandbox(), &name);
        for step in ["Logged in.", "Refreshed", "Logged out"] {
            assert!(printed.contains(step), "{source}: {step} is not in {printed}");
        }
        let masked = printed.lines().filter(|line| line.contains("... (42 characters)")).count();
        assert_eq!(masked, 4, "{source}: {printed}");
        assert!(!printed.contains(":10003"), "{source}: {printed}");
    }
}

#[test]
fn the_examples_of_the_reference_run() {
    let settings = compile(&root().join("examples/c/settings.c"), Link::Shared, "example-settings");
    let printed = String::from_utf8(common::run(&mut program(&settings)).stdout).unwrap();
    assert!(printed.contains("after cancel: CANCELLED"), "{printed}");
    for (source, said) in [("calls", "logged out"), ("session", "logged out"), ("desktop", "logged in twice")] {
        let name = format!("example-{source}");
        let built = compile(&root().join(format!("examples/c/{source}.c")), Link::Shared, &name);
        let printed = run_with_user(program(&built), &tls_sandbox(), &name);
        assert!(printed.contains(said), "{source}: {printed}");
    }
}

#[test]
fn the_system_s_trust_counts_by_default_and_its_absence_is_said() {
    let built = compile(&root().join("examples/c/login.c"), Link::Shared, "system-trust");
    let sandbox = tls_sandbox();
    let system = scratch("system-trust").join("system.pem");
    fs::write(&system, sandbox.ca_pem().unwrap()).unwrap();
    // Where OpenSSL's variable points is the system's store, for us as for curl.
    let mut command = program(&built);
    command.env("SSL_CERT_FILE", &system).env("SSL_CERT_DIR", "/nowhere");
    let printed = run_with_user_trusting(command, &sandbox, None);
    assert!(printed.contains("Logged out"), "{printed}");

    let output = program(&built)
        .env("SSL_CERT_FILE", "/nowhere")
        .env("SSL_CERT_DIR", "/nowhere")
        .env("CMAUTH_CLIENT_ID", CLIENT_ID)
        .env("CMAUTH_CLIENT_SECRET", CLIENT_SECRET)
        .env_remove("CMAUTH_CA_FILE")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("TLS: the system has no trusted root certificates"), "{told}");
}

#[test]
fn an_example_without_a_key_says_where_to_get_one() {
    let built = compile(&root().join("examples/c/login.c"), Link::Shared, "no-key");
    let output = program(&built).env_remove("CMAUTH_CLIENT_ID").env_remove("CMAUTH_CLIENT_SECRET").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("https://dealer.cameramanager.com"));
}

/// The README's program in one language, pointed at the sandbox by two lines that a test adds.
fn readme_program(language: &str, extension: &str) -> std::path::PathBuf {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("```{language}\n")).unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let lines = text.lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= 20, "the README's {language} program has {lines} lines");

    let (making, set) = match extension {
        "c" => ("cm_config_new(", ["cm_config_set_base_url(config, ", "cm_config_set_ca_file(config, "]),
        _ => ("cm::Config config(", ["config.set_base_url(", "config.set_ca_file("]),
    };
    let made = text.lines().position(|line| line.contains(making)).unwrap();
    let end = made + text.lines().skip(made).position(|line| line.ends_with(';')).unwrap();
    let mut with_sandbox = "#include <stdlib.h>\n".to_owned();
    for (i, line) in text.lines().enumerate() {
        with_sandbox += line;
        with_sandbox += "\n";
        if i == end {
            for (set, variable) in set.iter().zip(["CMAUTH_BASE_URL", "CMAUTH_CA_FILE"]) {
                with_sandbox += &format!("{set}getenv(\"{variable}\"));\n");
            }
        }
    }
    let source = scratch("readme").join(format!("program.{extension}"));
    fs::write(&source, with_sandbox).unwrap();
    source
}

#[test]
fn the_readme_s_programs_log_in() {
    for (language, extension) in [("c", "c"), ("cpp", "cpp")] {
        let source = readme_program(language, extension);
        let name = format!("readme-{extension}");
        let built = compile(&source, Link::Shared, &name);
        // Into a pipe, C's standard output would wait for a full buffer; on a terminal it is written line by line.
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg(built).env("LD_LIBRARY_PATH", common::library());
        let printed = run_with_user(command, &tls_sandbox(), &name);
        assert!(printed.contains("logged in, 4"), "{printed}");
    }
}

#[test]
fn the_readme_s_c_program_is_the_one_on_the_header_s_first_page() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let header = fs::read_to_string(root().join("include/cmauth.h")).unwrap();
    let (_, rest) = readme.split_once("```c\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    for line in text.lines().filter(|line| !line.is_empty()) {
        assert!(header.contains(&format!(" *     {line}\n")), "not in the header: {line}");
    }
}

#[test]
fn a_program_of_the_reader_s_own_builds_with_one_command() {
    // The README's command, as it stands there, from the project's folder.
    let folder = scratch("own");
    let source = folder.join("app.c");
    fs::write(&source, "#include <cmauth.h>\n#include <stdio.h>\nint main(void) { puts(cm_version()); return 0; }\n")
        .unwrap();
    let built = folder.join("a.out");
    common::run(
        Command::new("gcc")
            .arg(&source)
            .arg("-Iinclude")
            .arg("-L")
            .arg(common::library())
            .args(["-lcmauth", "-o"])
            .arg(&built)
            .current_dir(root()),
    );
    let output = common::run(&mut program(Path::new(&built)));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), cmauth::VERSION);
}
