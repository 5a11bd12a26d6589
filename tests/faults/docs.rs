//! `docs/errors.md` is made from the table of `main`, and held to it: `CMAUTH_WRITE_DOCS=1` writes it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cmauth::{Advice, Status};
use cmauth_sandbox::{Fault, Kind};

use super::{Wants, wanted};

const BEGIN: &str = "<!-- made by tests/faults from here; CMAUTH_WRITE_DOCS=1 cargo test --test faults docs -->\n";

/// The tables of `docs/errors.md`, a part for each kind of fault.
fn tables() -> String {
    let mut text = BEGIN.to_owned();
    let mut kind = None;
    for &fault in Fault::ALL {
        if kind != Some(fault.kind()) {
            kind = Some(fault.kind());
            let (title, about) = heading(fault.kind());
            write!(text, "\n### {title}\n\n{about}\n\n").unwrap();
            text.push_str("| Fault | What happens | exchange_code | refresh | logout | What the host does |\n");
            text.push_str("|---|---|---|---|---|---|\n");
        }
        let (plain, tls) = (wanted(fault, false), wanted(fault, true));
        let rows = match (fault.needs_tls(), plain == tls) {
            (true, _) => vec![(" (https)", tls)],
            (false, true) => vec![("", tls)],
            (false, false) => vec![(" (http)", plain), (" (https)", tls)],
        };
        for (scheme, wants) in rows {
            let [exchange, refresh, logout] = wants.map(|want| match want {
                None => "OK".to_owned(),
                Some((status, advice)) => format!("{}, {}", status.name(), advice.name()),
            });
            let (about, host) = (fault.about(), host(wants));
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
            "With https the handshake fails and nothing was sent. With http the request is on its way.",
        ),
        Kind::Handshake => ("The TLS handshake", "Nothing was sent."),
        Kind::Response => (
            "The way of the answer",
            "The server has done what it was asked for; its answer is lost or cannot be read. A code is burned, a logout is \
             done, and a refresh token is still good (unless the server gives a new one with each refresh, which the \
             guide's does not).",
        ),
        Kind::Edit => (
            "The fields of the answer",
            "The server has done what it was asked for and says it wrongly. What cannot be used is refused; what is only \
             for information is left out. A logout's answer has no fields.",
        ),
        Kind::Canned => ("Answers that are no tokens", "Errors of the server, and of what stands between."),
        Kind::Idle => (
            "Between two calls",
            "The call before was good, and its connection was kept. Nobody notices, also with `max_retries` 0; an \
             exchange has a fresh connection anyway.",
        ),
    }
}

/// What the host does about a row of the table.
fn host(wants: Wants) -> String {
    let what = |advice: Advice| match advice {
        Advice::LogIn => "send the user to the login page",
        Advice::Retry => "try again later",
        Advice::Fix => "have somebody look at it",
        Advice::Refresh => "refresh, then log out",
        other => panic!("no fault has the advice {other:?}"),
    };
    let names = ["exchange_code", "refresh", "logout"];
    let mut groups: Vec<(Advice, Vec<&str>)> = Vec::new();
    for (want, name) in wants.iter().zip(names) {
        let Some((_, advice)) = want else { continue };
        match groups.iter_mut().find(|(found, _)| found == advice) {
            Some((_, calls)) => calls.push(name),
            None => groups.push((*advice, vec![name])),
        }
    }
    match groups.as_slice() {
        [] => "nothing".to_owned(),
        [(advice, calls)] if calls.len() + wants.iter().filter(|want| want.is_none()).count() == 3 => {
            what(*advice).to_owned()
        }
        groups => {
            let words = groups.iter().map(|(advice, calls)| format!("{}: {}", calls.join(", "), what(*advice)));
            words.collect::<Vec<_>>().join("; ")
        }
    }
}

#[test]
fn the_docs_have_this_table_and_every_status_and_advice() {
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
