//! Compiles and runs C and C++ programs against the sandbox with TLS: the test programs of bindings/c/tests/c and cpp,
//! the examples, and the programs in the README.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use cmauth_sandbox::Fault;
use common::user::{
    CLIENT_ID, CLIENT_SECRET, run_with_user, run_with_user_trusting, run_with_user_until_enter, tls_sandbox,
};
use common::{Link, command_for, compile, compile_with, program, root, run, scratch};

/// Compiles and runs a test program twice: linked with the shared and with the static library.
fn run_both_links(source: &str) {
    for (link, how) in [(Link::Shared, "shared"), (Link::Static, "static")] {
        let name = format!("{}-{how}", source.replace('.', "-"));
        let built = compile(&program(source), link, &name);
        run_with_user(command_for(&built), &tls_sandbox(), &name);
    }
}

#[test]
fn a_c_program_logs_in_refreshes_and_logs_out() {
    run_both_links("end_to_end.c");
}

#[test]
fn sixteen_threads_share_one_client() {
    run_both_links("threads.c");
}

#[test]
fn a_session_works_with_each_kind_of_store() {
    run_both_links("session.c");
}

#[test]
fn stores_keep_their_file_destroy_their_context_once_and_report_their_generation() {
    run_both_links("stores.c");
}

#[test]
fn children_of_a_fork_can_lock_a_store_in_memory() {
    run_both_links("memory_fork.c");
}

#[test]
fn a_login_receives_its_redirect_on_this_machine() {
    run_both_links("listen.c");
}

#[test]
fn every_member_of_the_cpp_header_works() {
    run_both_links("every_member.cpp");
}

#[test]
fn the_cpp_header_returns_results_without_exceptions() {
    let flags = ["-fno-exceptions", "-fno-rtti"];
    let built = compile_with(&program("no_exceptions.cpp"), Link::Shared, "no-exceptions", &flags);
    run_with_user(command_for(&built), &tls_sandbox(), "no-exceptions");
}

#[test]
fn a_child_of_a_fork_has_connections_of_its_own() {
    run_both_links("fork.c");
}

#[test]
fn signals_neither_break_calls_nor_end_the_process() {
    let built = compile(&program("signals.c"), Link::Shared, "signals");
    run_with_user(command_for(&built), &tls_sandbox(), "signals");
    // Every pooled connection is reset before the next call writes to it.
    let sandbox = tls_sandbox();
    sandbox.set_faults(&[Fault::ResetIdle.always()]).unwrap();
    run_with_user(command_for(&built), &sandbox, "signals-resets");
}

#[test]
fn a_cancel_ends_the_calls_of_its_thread_or_client_and_no_others() {
    run_both_links("cancel.c");
}

#[test]
fn handles_can_be_freed_while_calls_use_them() {
    run_both_links("handles.c");
}

#[test]
fn tokens_are_kept_fresh_and_given_without_waiting() {
    run_both_links("fresh.c");
}

#[test]
fn a_plugin_with_a_log_can_be_unloaded_and_the_host_s_log_goes_on() {
    let host = compile_with(&program("plugin_host.c"), Link::Shared, "plugin-host", &["-ldl"]);
    let plugin = compile_with(&program("plugin.c"), Link::Shared, "plugin", &["-shared", "-fPIC"]);
    run(command_for(&host).arg(&plugin));
    if let Some(mut command) = common::valgrind(&host) {
        run(command.arg(&plugin));
    }
}

#[cfg(unix)]
#[test]
fn the_browser_gets_web_pages_only_and_a_machine_without_one_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let built = compile(&program("browser.c"), Link::Shared, "browser");
    let folder = scratch("browser-path");
    let opened = folder.join("opened");
    let script = folder.join("xdg-open");
    fs::write(&script, format!("#!/bin/sh\necho \"$1\" >{}\n", opened.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    run(command_for(&built).env("PATH", &folder));
    assert_eq!(fs::read_to_string(opened).unwrap(), "https://example.com/login?scope=write&state=s-1_2\n");
    fs::remove_file(&script).unwrap();
    run(command_for(&built).arg("none").env("PATH", &folder));
}

#[test]
fn the_log_has_a_line_for_every_event_and_no_secret() {
    run_both_links("log.c");
}

#[test]
fn no_secret_is_left_in_memory_after_the_handles_are_freed() {
    run_both_links("memory.c");
}

#[test]
fn nothing_leaks_and_no_memory_is_misused() {
    for source in [
        "end_to_end.c",
        "threads.c",
        "session.c",
        "stores.c",
        "listen.c",
        "cancel.c",
        "fresh.c",
        "handles.c",
        "every_member.cpp",
    ] {
        let name = format!("{}-valgrind", source.replace('.', "-"));
        let built = compile(&program(source), Link::Shared, &name);
        if let Some(command) = common::valgrind(&built) {
            run_with_user(command, &tls_sandbox(), &name);
        }
    }
    let built = compile(&program("nulls.c"), Link::Shared, "nulls-valgrind");
    if let Some(mut command) = common::valgrind(&built) {
        common::run(&mut command);
    }
}

#[test]
fn the_login_examples_log_in_refresh_and_log_out_and_print_no_token() {
    for source in ["examples/c/login.c", "examples/cpp/login.cpp"] {
        let name = source.replace(['/', '.'], "-");
        let built = compile(&root().join(source), Link::Shared, &name);
        let printed = run_with_user(command_for(&built), &tls_sandbox(), &name);
        for step in ["Logged in.", "Refreshed", "Logged out"] {
            assert!(printed.contains(step), "{source}: {step} is not in {printed}");
        }
        let masked = printed.lines().filter(|line| line.contains("... (42 characters)")).count();
        assert_eq!(masked, 4, "{source}: {printed}");
        assert!(!printed.contains(":10003"), "{source}: {printed}");
    }
}

#[test]
fn the_other_examples_run() {
    let settings = compile(&root().join("examples/c/settings.c"), Link::Shared, "example-settings");
    let printed = String::from_utf8(common::run(&mut command_for(&settings)).stdout).unwrap();
    assert!(printed.contains("after cancel: CANCELLED"), "{printed}");
    for (source, said) in
        [("calls", "logged out"), ("session", "logged out"), ("desktop", "logged in twice"), ("streams", "logged out")]
    {
        let name = format!("example-{source}");
        let built = compile(&root().join(format!("examples/c/{source}.c")), Link::Shared, &name);
        let printed = run_with_user(command_for(&built), &tls_sandbox(), &name);
        assert!(printed.contains(said), "{source}: {printed}");
    }
}

#[test]
fn the_download_example_keeps_its_tokens_and_gives_them_to_no_stranger() {
    let built = compile(&root().join("examples/c/downloads.c"), Link::Shared, "example-downloads");
    let printed = run_with_user(command_for(&built), &tls_sandbox(), "example-downloads");
    for line in ["refused: url: the access token is not sent to https://evil.example", "no refresh for 3", "logged out"]
    {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    assert!(!printed.contains("access_token="), "{printed}");
}

#[cfg(unix)]
#[test]
fn the_doctor_example_finds_what_is_wrong_and_sends_no_secret_to_an_unknown_server() {
    use std::os::unix::fs::PermissionsExt;

    let built = compile(&root().join("examples/c/doctor.c"), Link::Shared, "example-doctor");
    let folder = scratch("example-doctor");
    let sandbox = tls_sandbox();
    let ca_file = folder.join("ca.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    let damaged = folder.join("damaged");
    fs::write(&damaged, "{").unwrap();
    fs::set_permissions(&damaged, fs::Permissions::from_mode(0o600)).unwrap();
    let doctor = |change: &dyn Fn(&mut Command)| {
        let mut command = command_for(&built);
        command
            .arg(folder.join("session"))
            .env("CMAUTH_CLIENT_ID", CLIENT_ID)
            .env("CMAUTH_CLIENT_SECRET", CLIENT_SECRET)
            .env("CMAUTH_BASE_URL", sandbox.url())
            .env("CMAUTH_CA_FILE", &ca_file)
            .env_remove("HTTPS_PROXY")
            .env("NO_PROXY", "localhost");
        change(&mut command);
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(!printed.contains(CLIENT_SECRET) && output.stderr.is_empty(), "{printed}");
        assert_eq!(output.status.success(), printed.lines().all(|line| line.starts_with("ok")), "{printed}");
        printed
    };
    let well = doctor(&|_| ());
    for line in ["ok      settings", "ok      server: name, connection", "ok      store", "ok      session: nobody"] {
        assert!(well.contains(line), "{line} is not in {well}");
    }
    assert_eq!(sandbox.requests().len(), 1);
    let inspected = doctor(&|command| _ = command.env_remove("CMAUTH_CA_FILE"));
    assert!(inspected.contains("fix     server: "), "{inspected}");
    assert!(
        inspected.contains("the issuer of its certificate, \"cmauth-sandbox test CA\", is not trusted"),
        "{inspected}"
    );
    assert_eq!(sandbox.requests().len(), 1, "nothing is sent");
    let wrong = doctor(&|command| _ = command.env("CMAUTH_CLIENT_SECRET", "another"));
    assert!(wrong.contains("fix     server: the server rejected the API key"), "{wrong}");
    let closed = doctor(&|command| _ = command.env("CMAUTH_BASE_URL", "https://localhost:1"));
    assert!(closed.contains("retry   server: cannot connect"), "{closed}");
    let unusable = doctor(&|command| _ = command.env("CMAUTH_CA_FILE", "/no/such/file"));
    assert!(unusable.contains("fix     settings: ") && unusable.contains("/no/such/file"), "{unusable}");
    let mut on_damaged = command_for(&built);
    on_damaged
        .arg(&damaged)
        .env("CMAUTH_CLIENT_ID", CLIENT_ID)
        .env("CMAUTH_CLIENT_SECRET", CLIENT_SECRET)
        .env("CMAUTH_BASE_URL", "https://localhost:1");
    let printed = String::from_utf8(on_damaged.output().unwrap().stdout).unwrap();
    assert!(printed.contains("fix     session: "), "{printed}");
}

#[test]
fn two_browsers_of_a_user_share_a_session_in_the_examples_for_many_users() {
    for source in ["examples/c/many_users.c", "examples/cpp/many_users.cpp"] {
        let name = source.replace(['/', '.'], "-");
        let built = compile(&root().join(source), Link::Shared, &name);
        let folder = scratch(&format!("{name}-sessions"));
        let mut command = command_for(&built);
        command.arg(&folder);
        let printed = run_with_user(command, &tls_sandbox(), &name);
        for line in ["user ", "demo", "two browsers, one session", "logged out"] {
            assert!(printed.contains(line), "{source}: {line} is not in {printed}");
        }
        let left = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        assert!(left.into_iter().all(|file| file.extension().is_some_and(|kind| kind == "lock")), "{source}");
    }
}

#[test]
fn the_curl_example_gets_new_tokens_for_all_requests_at_once() {
    let headers =
        ["/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu", "/usr/local/include"];
    if !headers.iter().any(|folder| Path::new(folder).join("curl/curl.h").exists()) {
        return common::skip_without("libcurl's headers");
    }
    let built = compile_with(&root().join("examples/c/multi.c"), Link::Shared, "example-multi", &["-lcurl"]);
    let sandbox = tls_sandbox();
    let ca_file = scratch("example-multi").join("ca.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    // The server ends the access token between the two rounds.
    let expire = || sandbox.advance(std::time::Duration::from_secs(50_000));
    let mut command = command_for(&built);
    command.env_remove("HTTPS_PROXY").env("no_proxy", "localhost");
    let printed = run_with_user_until_enter(command, &sandbox, Some(&ca_file), expire);
    assert!(printed.contains("20 of 20 requests succeeded, with 20 tries"), "{printed}");
    assert!(printed.contains("20 of 20 requests succeeded, with 40 tries"), "{printed}");
    let refreshes = sandbox.requests().iter().filter(|request| request.target.contains("refresh_token")).count();
    assert_eq!(refreshes, 1);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_wait_of_the_cancel_example() {
    let built = compile(&root().join("examples/c/cancel.c"), Link::Shared, "example-cancel");
    let mut child = command_for(&built).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("waiting"));
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    assert_eq!(lines.next().unwrap().unwrap(), "cancelled; the client still works");
    assert!(child.wait().unwrap().success());
}

/// Without the variables of a test server, an example calls the real server. Here that fails, because the proxy is nobody.
#[test]
fn the_examples_need_no_variables_of_a_test_server() {
    for source in ["session", "desktop", "calls", "streams", "login", "downloads"] {
        let built = compile(&root().join(format!("examples/c/{source}.c")), Link::Shared, &format!("real-{source}"));
        let mut child = command_for(&built)
            .env("CMAUTH_CLIENT_ID", CLIENT_ID)
            .env("CMAUTH_CLIENT_SECRET", CLIENT_SECRET)
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .env_remove("CMAUTH_BASE_URL")
            .env_remove("CMAUTH_CA_FILE")
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let page = lines.find(|line| line.contains("https://rest.cameramanager.com/oauth/authorize"));
        // One of them waits for the browser.
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(page.is_some(), "{source} shows no page of the real server");
    }
}

#[test]
fn the_system_s_certificates_are_trusted_by_default_and_their_absence_is_reported() {
    let built = compile(&root().join("examples/c/login.c"), Link::Shared, "system-trust");
    let sandbox = tls_sandbox();
    let system = scratch("system-trust").join("system.pem");
    fs::write(&system, sandbox.ca_pem().unwrap()).unwrap();
    // The library, like curl, takes the system's certificates from OpenSSL's variables.
    let mut command = command_for(&built);
    command.env("SSL_CERT_FILE", &system).env("SSL_CERT_DIR", "/nowhere");
    let printed = run_with_user_trusting(command, &sandbox, None);
    assert!(printed.contains("Logged out"), "{printed}");

    let output = command_for(&built)
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
    let output =
        command_for(&built).env_remove("CMAUTH_CLIENT_ID").env_remove("CMAUTH_CLIENT_SECRET").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("https://dealer.cameramanager.com"));
}

/// The README's program in one language. Two added lines set the sandbox's URL and CA file.
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
        // C buffers its standard output if it is a pipe. On a terminal it writes each line at once; so does stdbuf.
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg(built).env("LD_LIBRARY_PATH", common::library());
        let printed = run_with_user(command, &tls_sandbox(), &name);
        assert!(printed.contains("logged in"), "{printed}");
    }
}

#[test]
fn the_readme_s_c_program_is_the_one_on_the_header_s_first_page() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let header = fs::read_to_string(root().join("include/cmauth.h")).unwrap();
    let (_, rest) = readme.split_once("```c\n").unwrap();
    let (in_readme, _) = rest.split_once("```").unwrap();
    let lines = |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(in_readme), lines(&common::first_page_program(&header)));
}

#[test]
fn a_program_of_the_reader_s_own_builds_with_one_command() {
    // The README's command, run in the project's folder.
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
    let output = common::run(&mut command_for(Path::new(&built)));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), cmauth::VERSION);
}
