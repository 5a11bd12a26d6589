//! Reports a test that is skipped because a tool of the system is missing.

use std::io::Write;

/// Prints that the current test is skipped because `tool` is missing, and which command installs it.
///
/// # Panics
/// In CI, where every tool must be installed.
pub fn skip_without(tool: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must have {tool}: see scripts/setup-ci");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    // libtest hides what a passing test prints with eprintln!, so this writes to standard error directly; the line break ends
    // a line that libtest has begun.
    let _ = write!(std::io::stderr(), "\nSKIPPED: {test}: no {tool} here; `make setup-ci` installs it\n");
}
