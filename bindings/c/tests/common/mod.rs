//! What the tests of the C ABI share: the library as a user builds it, and the system's compiler.

#![allow(dead_code, reason = "each test program uses its part")]

pub mod user;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The build folder, wherever CARGO_TARGET_DIR puts it: tests run from `<target>/<profile>/deps`.
fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}

/// The folder with `libcmauth.so` and `libcmauth.a`, built as a user builds them.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build("release", &target(), &[]))
}

/// The folder with the library built for tools that want names and lines.
fn checked_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build("checked", &target(), &[]))
}

/// The folder with the library that panics when told to, in a build folder of its own: it is not the one to ship.
pub fn panicking_library() -> PathBuf {
    build("checked", &target().join("panic-test"), &["--features", "panic-test"])
}

/// The target that scripts/sanitize builds for, with AddressSanitizer in everything; `None` in an ordinary run.
pub fn sanitized() -> Option<String> {
    std::env::var("CMAUTH_SANITIZE").ok()
}

fn build(profile: &str, target: &Path, features: &[&str]) -> PathBuf {
    // The compiler's flags come through the environment; a named target keeps them away from build scripts.
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

/// A folder for what one test compiles.
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

/// Compiles a C or C++ program with every warning an error, and returns the path of what it became.
pub fn compile(source: &Path, link: Link, name: &str) -> PathBuf {
    compile_with(source, link, name, &[])
}

/// The same with further libraries.
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

/// A compiled program, ready to run from the build folder.
pub fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env("LD_LIBRARY_PATH", library());
    command
}

/// A compiled program under valgrind, which fails it for an invalid access, an uninitialised value or a leak. `None`
/// where there is no valgrind, which is said; in CI there is one.
pub fn valgrind(path: &Path) -> Option<Command> {
    if sanitized().is_some() {
        return None; // The sanitizer is there already, and does not go with valgrind.
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI must have valgrind: see scripts/setup-ci");
        eprintln!("SKIPPED: no valgrind here; `make setup-ci` installs it");
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

/// Runs a command that must succeed.
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
