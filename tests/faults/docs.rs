//! The tables of `docs/errors.md` are those of `table`. `CMAUTH_WRITE_DOCS=1` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cmauth::{Advice, Status};
use cmauth_sandbox::{Fault, Kind};

use crate::table::{Results, expected};

const BEGIN: &str = "<!-- made by tests/faults from here; CMAUTH_WRITE_DOCS=1 cargo test --test faults docs -->\n";

/// The tables of `docs/errors.md`, one for each kind of fault.
fn tables() -> String {
    let mut text = BEGIN.to_owned();
    let mut kind = None;
    for &fault in Fault::ALL {
        if kind != Some(fault.kind()) {
            kind = Some(fault.kind());
            let (title, about) = heading(fault.kind());
            write!(text, "\n### {title}\n\n{about}\n\n").unwrap();
            text.push_str("| Fault | What happens | exchange_code | refresh | logout | What your program does |\n");
            text.push_str("|---|---|---|---|---|---|\n");
        }
        let (plain, tls) = (expected(fault, false), expected(fault, true));
        let rows = match (fault.needs_tls(), plain == tls) {
            (true, _) => vec![(" (https)", tls)],
            (false, true) => vec![("", tls)],
            (false, false) => vec![(" (http)", plain), (" (https)", tls)],
        };
        for (scheme, results) in rows {
            let [exchange, refresh, logout] = results.map(|result| match result {
                None => "OK".to_owned(),
                Some((status, advice)) => format!("{}, {}", status.name(), advice.name()),
            });
            let (about, host) = (fault.about(), host(results));
            writeln!(text, "| `{fault}`{scheme} | {about} | {exchange} | {refresh} | {logout} | {host} |").unwrap();
        }
    }
    text
}

fn heading(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Listener => ("No connection", "The server cannot be reached. Nothing was sent."),
        Kind::Connection => (
            "A connection that ends at once",
            "With https, the handshake fails and no HTTP request was sent. With http, the request may have been sent.",
        ),
        Kind::Handshake => ("The TLS handshake", "No HTTP request was sent."),
        Kind::Response => (
            "A broken response",
            "The server has served the request, but its response is lost, malformed or unusual. After an exchange, the \
             code can no longer be used. After a logout, the login has ended. After a refresh, the refresh token is still \
             valid, because this server does not replace it.",
        ),
        Kind::Edit => (
            "The fields of a token response",
            "The server has served the request, but a field of its response is malformed. The library rejects a response \
             without usable tokens. If `expires_in` or `scope` is missing or malformed, the tokens are returned without it. \
             The response to a logout has no fields.",
        ),
        Kind::Canned => ("Responses without tokens", "Errors of the server, or of a proxy or firewall on the way."),
        Kind::Idle => (
            "Stale connections",
            "The previous call succeeded, and its connection went into the pool. All calls succeed, even with \
             `max_retries` 0. An exchange always uses a new connection.",
        ),
    }
}

/// What a program does about a row of the table.
fn host(results: Results) -> String {
    let what = |advice: Advice| match advice {
        Advice::LogIn => "send the user to the login page",
        Advice::Retry => "try again later",
        Advice::Fix => "a person must fix the cause",
        Advice::Refresh => "refresh, then log out",
        other => panic!("no fault has the advice {other:?}"),
    };
    let names = ["exchange_code", "refresh", "logout"];
    let mut groups: Vec<(Advice, Vec<&str>)> = Vec::new();
    for (result, name) in results.iter().zip(names) {
        let Some((_, advice)) = result else { continue };
        match groups.iter_mut().find(|(found, _)| found == advice) {
            Some((_, calls)) => calls.push(name),
            None => groups.push((*advice, vec![name])),
        }
    }
    match groups.as_slice() {
        [] => "continue".to_owned(),
        [(advice, calls)] if calls.len() + results.iter().filter(|result| result.is_none()).count() == 3 => {
            what(*advice).to_owned()
        }
        groups => {
            let words = groups.iter().map(|(advice, calls)| format!("{}: {}", calls.join(", "), what(*advice)));
            words.collect::<Vec<_>>().join("; ")
        }
    }
}

#[test]
fn docs_errors_md_has_these_tables_and_each_status_and_advice() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let page = fs::read_to_string(&file).unwrap();
    let (written, found) = page.split_at(page.find(BEGIN).unwrap_or(page.len()));
    let tables = tables();
    if found != tables {
        if std::env::var_os("CMAUTH_WRITE_DOCS").is_some() {
            fs::write(&file, format!("{written}{tables}")).unwrap();
        } else {
            let (mut old, mut new) = (found.lines(), tables.lines());
            let mut diff = String::new();
            loop {
                match (old.next(), new.next()) {
                    (None, None) => break,
                    (a, b) if a == b => {}
                    (a, b) => _ = write!(diff, "- {}\n+ {}\n", a.unwrap_or_default(), b.unwrap_or_default()),
                }
            }
            panic!("docs/errors.md is stale; run with CMAUTH_WRITE_DOCS=1\n{diff}");
        }
    }
    for status in Status::ALL {
        let row = format!("| `{}` | {} |", status.name(), *status as i32);
        assert!(written.contains(&row), "docs/errors.md has no row {row}");
    }
    for advice in Advice::ALL {
        assert!(
            written.contains(&format!("| {} |", advice.name())),
            "docs/errors.md does not explain {}",
            advice.name()
        );
    }
}
