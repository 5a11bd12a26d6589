//! Helpers of the tests of the C ABI: they build the library as a user does, and compile test programs.

#![allow(dead_code, reason = "each test uses a part of this")]

#[path = "../../../../tests/common/skip.rs"]
mod skip;
pub mod user;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub use skip::skip_without;

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The build folder, also if CARGO_TARGET_DIR is set: tests run from `<target>/<profile>/deps`.
fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}

/// The folder with `libcmauth.so` and `libcmauth.a` of a release build.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build("release", &target(), &[]))
}

/// The folder with the library of a build with debug information, for valgrind.
fn checked_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build("checked", &target(), &[]))
}

/// The folder with the library that panics on demand. It has a build folder of its own, because it must not be shipped.
pub fn panicking_library() -> PathBuf {
    build("checked", &target().join("panic-test"), &["--features", "panic-test"])
}

/// The target triple if scripts/sanitize runs the tests with AddressSanitizer; otherwise `None`.
pub fn sanitized() -> Option<String> {
    std::env::var("CMAUTH_SANITIZE").ok()
}

fn build(profile: &str, target: &Path, features: &[&str]) -> PathBuf {
    // The compiler flags come from the environment. Naming the target keeps them away from build scripts.
    let (target, named) = match sanitized() {
        None => (target.to_owned(), None),
        Some(triple) => (target.join("sanitized"), Some(triple)),
    };
    let profile = if named.is_some() { "checked" } else { profile };
    run(Command::new(env!("CARGO"))
        .args(["build", "--profile", profile, "--package", "cmauth-c", "--target-dir"])
        .arg(&target)
        .args(named.iter().flat_map(|triple| ["--target", triple]))
        .args(features)
        .current_dir(root()));
    named.map_or(target.clone(), |triple| target.join(triple)).join(profile)
}

/// The source of a test program: `bindings/c/tests/c/NAME.c` or `bindings/c/tests/cpp/NAME.cpp`.
pub fn program(name: &str) -> PathBuf {
    let extension = Path::new(name).extension().expect("a test program's name has an extension");
    root().join("bindings/c/tests").join(extension).join(name)
}

/// The program on the first page of the header.
pub fn first_page_program(header: &str) -> String {
    let first_page = header.lines().take_while(|line| *line != " */");
    let program = first_page.filter_map(|line| line.strip_prefix(" *     "));
    program.map(|line| format!("{line}\n")).collect()
}

/// A folder for the files that one test makes.
pub fn scratch(name: &str) -> PathBuf {
    let folder = target().join("c-tests").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[derive(Clone, Copy, PartialEq)]
pub enum Link {
    Shared,
    Static,
}

/// Compiles a C or C++ program, treats warnings as errors, and returns the path of the executable.
pub fn compile(source: &Path, link: Link, name: &str) -> PathBuf {
    compile_with(source, link, name, &[])
}

/// As [`compile`], with further libraries.
pub fn compile_with(source: &Path, link: Link, name: &str, libraries: &[&str]) -> PathBuf {
    let is_c = source.extension().is_some_and(|extension| extension == "c");
    let (compiler, standard) = if is_c { ("cc", "-std=c99") } else { ("c++", "-std=c++17") };
    let program = scratch(name).join("program");
    let mut command = Command::new(compiler);
    command
        .args([standard, "-D_GNU_SOURCE", "-pedantic", "-Wall", "-Wextra", "-Werror", "-g", "-pthread"])
        .arg("-I")
        .arg(root().join("include"))
        .arg(source)
        .arg("-o")
        .arg(&program);
    if sanitized().is_some() {
        command.arg("-fsanitize=address");
    }
    match link {
        Link::Shared => command.arg("-L").arg(library()).arg("-lcmauth"),
        Link::Static => command.arg(library().join("libcmauth.a")).args([
            "-lgcc_s",
            "-lutil",
            "-lrt",
            "-lpthread",
            "-lm",
            "-ldl",
            "-lc",
        ]),
    };
    run(command.args(libraries));
    program
}

/// A command that runs a compiled program with the shared library of the build folder.
pub fn command_for(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env("LD_LIBRARY_PATH", library());
    command
}

/// A command that runs a compiled program in valgrind. It fails after an invalid access, a use of an uninitialised
/// value or a leak. `None` if valgrind is missing, which is printed. In CI it must not be missing.
pub fn valgrind(path: &Path) -> Option<Command> {
    if sanitized().is_some() {
        return None; // AddressSanitizer does not work in valgrind.
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        skip_without("valgrind");
        return None;
    }
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"])
        .arg(format!("--suppressions={}", root().join("bindings/c/tests/c/valgrind.supp").display()))
        .arg(path)
        .env("LD_LIBRARY_PATH", checked_library());
    Some(command)
}

/// Runs a command, and fails the test if the command fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
