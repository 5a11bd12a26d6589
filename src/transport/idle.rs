//! Closes connections that no call has used for a while, before the server does.
//!
//! ureq closes them only at the next call, which may be hours away. Once the server has closed them, they would stay in
//! CLOSE_WAIT until then. This takes a thread: the [`Reaper`], one for all clients of a process. It runs only while
//! connections are open, and `threads` counts it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::process::Process;
use crate::panic::catch_panic;
use crate::per_process::{Owned, PerProcess};

static REAPER: PerProcess<Reaper> = PerProcess::new();

#[derive(Default)]
struct Reaper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_running: bool,
    watched: Vec<Weak<Process>>,
}

/// The time between two checks of the thread.
fn interval(max_idle_age: Duration) -> Duration {
    max_idle_age / 5
}

/// How long a connection may be idle: then no call uses it again, and the next check closes it. That check comes at most
/// one interval later, so no connection is idle for longer than `max_idle_age`.
pub(super) fn max_reuse_age(max_idle_age: Duration) -> Duration {
    max_idle_age - interval(max_idle_age)
}

/// Makes the thread watch the connections of `process`, which has opened one.
pub(super) fn watch(process: &Weak<Process>) {
    let reaper = REAPER.get_or_make(|_| Reaper::default());
    let mut state = reaper.state();
    if !state.watched.iter().any(|watched| watched.ptr_eq(process)) {
        state.watched.push(process.clone());
        reaper.changed.notify_all();
    }
    if !state.is_running {
        let thread = reaper.clone();
        let started = thread::Builder::new().name("cmauth-idle".to_owned()).spawn(move || {
            if catch_panic(|| run(&thread)).is_err() {
                thread.state().is_running = false;
            }
        });
        // Without the thread, ureq closes connections at the next call.
        state.is_running = started.is_ok();
    }
}

/// Makes the thread check soon whether any connection is left.
pub(super) fn notify() {
    if let Some(reaper) = REAPER.get() {
        // Without the lock, because this thread may hold it. If the notification is lost, the thread checks an interval
        // later.
        reaper.changed.notify_all();
    }
}

fn run(reaper: &Owned<Reaper>) {
    let mut last_check = Instant::now();
    let mut state = reaper.state();
    loop {
        state.watched.retain(|watched| watched.upgrade().is_some_and(|process| process.has_connections()));
        let watched: Vec<_> = state.watched.iter().filter_map(Weak::upgrade).collect();
        let Some(interval) = watched.iter().map(|process| interval(process.max_idle_age)).min() else {
            state.is_running = false;
            return;
        };
        let left = interval.saturating_sub(last_check.elapsed());
        if !left.is_zero() {
            drop(watched);
            state = reaper.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        drop(state);
        last_check = Instant::now();
        for process in watched {
            process.close_idle();
        }
        state = reaper.state();
    }
}

impl Reaper {
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
    const MAX_IDLE_AGE: Duration = Duration::from_secs(1);

    /// Accepts `CALLS` connections, responds to one request on each, and keeps them open.
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

    fn wait_until(what: &str, is: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn idle_connections_that_the_server_closed_are_closed_without_another_call() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let mut config = Config::new("id", "secret");
        config.set_base_url(&url).set_proxy(Some(""));
        let transport = Transport::with(&config, MAX_IDLE_AGE).unwrap();
        let (url, barrier) = (format!("{url}/"), Barrier::new(CALLS));
        let call = || {
            barrier.wait();
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
        wait_until("no connection is in CLOSE_WAIT", || in_close_wait(port) > 0);
        wait_until("a connection stays in CLOSE_WAIT", || in_close_wait(port) == 0);
        assert!(!transport.process().has_connections());
        // 2 s more for a busy machine.
        assert!(begun.elapsed() < MAX_IDLE_AGE + Duration::from_secs(2), "{:?}", begun.elapsed());
        wait_until("the thread runs without a connection", || !REAPER.get().unwrap().state().is_running);
    }
}
