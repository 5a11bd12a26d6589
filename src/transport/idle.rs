//! Who closes kept connections that nobody uses any more, most of which the server has closed by then.
//!
//! ureq closes them at the next call, which may be hours away; until then they would be in CLOSE_WAIT. The system closes
//! nothing by itself after a time, so this takes a thread: one for all clients of a process, which is there only while
//! connections are open. It is counted by `threads`.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::process::Process;
use crate::panic::catch_panic;
use crate::per_process::{Owned, PerProcess};

static KEEPER: PerProcess<Keeper> = PerProcess::new();

#[derive(Default)]
struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// There is a thread.
    runs: bool,
    watched: Vec<Weak<Process>>,
}

/// The thread looks at the connections so often.
fn interval(kept_for: Duration) -> Duration {
    kept_for / 5
}

/// For how long a connection may be used again so that it can be closed in time.
pub(super) fn usable_for(kept_for: Duration) -> Duration {
    kept_for - interval(kept_for)
}

/// A connection was opened: from now on it is closed in time.
pub(super) fn watch(process: &Weak<Process>) {
    let keeper = KEEPER.get_or_make(|_| Keeper::default());
    let mut state = keeper.state();
    if !state.watched.iter().any(|watched| watched.ptr_eq(process)) {
        state.watched.push(process.clone());
        keeper.changed.notify_all();
    }
    if !state.runs {
        let thread = keeper.clone();
        let started = thread::Builder::new().name("cmauth-idle".to_owned()).spawn(move || {
            if catch_panic(|| run(&thread)).is_err() {
                thread.state().runs = false;
            }
        });
        // Without it connections are closed at the next call, which works as well.
        state.runs = started.is_ok();
    }
}

/// Lets the thread see early that no connection is left.
pub(super) fn look_again() {
    if let Some(keeper) = KEEPER.get() {
        // Without the lock, which this thread may have; at worst the thread sees it at its next look.
        keeper.changed.notify_all();
    }
}

fn run(keeper: &Owned<Keeper>) {
    let mut looked = Instant::now();
    let mut state = keeper.state();
    loop {
        state.watched.retain(|watched| watched.upgrade().is_some_and(|process| process.has_connections()));
        let watched: Vec<_> = state.watched.iter().filter_map(Weak::upgrade).collect();
        let Some(interval) = watched.iter().map(|process| interval(process.kept_for)).min() else {
            state.runs = false;
            return;
        };
        let left = interval.saturating_sub(looked.elapsed());
        if !left.is_zero() {
            drop(watched);
            state = keeper.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        drop(state);
        looked = Instant::now();
        for process in watched {
            process.close_idle();
        }
        state = keeper.state();
    }
}

impl Keeper {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Barrier;

    use super::super::{Method, Request, Transport};
    use super::*;
    use crate::config::Config;

    const CALLS: usize = 20;
    const KEPT_FOR: Duration = Duration::from_secs(1);

    /// A server that takes `CALLS` connections, answers one request on each, and keeps them open.
    fn serve(listener: &TcpListener) -> Vec<TcpStream> {
        let mut connections = Vec::new();
        for _ in 0..CALLS {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                connection.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            connections.push(connection);
        }
        for connection in &mut connections {
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
        connections
    }

    /// Sockets of this machine that are connected to `port` and in CLOSE_WAIT.
    fn in_close_wait(port: u16) -> usize {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!(":{port:04X}");
        let is = |line: &&str| {
            let mut fields = line.split_whitespace().skip(2);
            fields.next().is_some_and(|remote| remote.ends_with(&port)) && fields.next() == Some("08")
        };
        table.lines().filter(is).count()
    }

    fn until(what: &str, is: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn kept_connections_that_the_server_closed_are_closed_without_another_call() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let mut config = Config::new("id", "secret");
        config.set_base_url(&url).set_proxy(Some(""));
        let transport = Transport::with(&config, KEPT_FOR).unwrap();
        let (url, begin) = (format!("{url}/"), Barrier::new(CALLS));
        let call = || {
            begin.wait();
            let request = Request { method: Method::Delete, url: &url, authorization: "a", form: None, once: false };
            transport.send(&request, Instant::now() + Duration::from_secs(20)).unwrap();
        };
        let connections = thread::scope(|scope| {
            for _ in 0..CALLS {
                scope.spawn(call);
            }
            serve(&listener)
        });
        let begun = Instant::now();
        drop(connections);
        until("nothing to close", || in_close_wait(port) > 0);
        until("in CLOSE_WAIT", || in_close_wait(port) == 0);
        assert!(!transport.process().has_connections());
        // The keep time, and what a busy machine needs.
        assert!(begun.elapsed() < KEPT_FOR + Duration::from_secs(2), "{:?}", begun.elapsed());
        until("a thread without a connection", || !KEEPER.get().unwrap().state().runs);
    }
}
