//! Silent, slow and very many connections to the port.

use super::*;

#[test]
fn silent_and_incomplete_connections_do_not_delay_the_redirect() {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
    // More than the maximum, as a hostile program on this machine might open.
    let silent: Vec<TcpStream> = (0..300)
        .map(|i| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port())).unwrap();
            stream.write_all(&b"GET /"[..i % 5]).unwrap();
            stream
        })
        .collect();
    // A redirect that is sent byte by byte.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port())).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", waiting.redirect(), waiting.login.port());
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    waiting.result().unwrap();
    drop(silent);
}

#[test]
fn slow_connections_do_not_delay_the_redirect() {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
    let port = waiting.login.port();
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..10)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut streams = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    while streams.len() < 30 {
                        let address = (Ipv4Addr::LOCALHOST, port).into();
                        let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) else {
                            break;
                        };
                        streams.push(stream);
                    }
                    streams.retain_mut(|stream| stream.write_all(b"G").is_ok());
                    thread::sleep(Duration::from_millis(500));
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let start = Instant::now();
    let redirect = waiting.redirect();
    assert!(waiting.get(&redirect).starts_with("HTTP/1.1 200"));
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|thread| thread.join().unwrap());
    waiting.result().unwrap();
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[test]
fn a_connection_without_a_complete_request_is_closed_after_its_timeout() {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
    let start = Instant::now();
    let streams = ["", "GET /"].map(|beginning| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port())).unwrap();
        stream.write_all(beginning.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
        stream
    });
    for mut stream in streams {
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
        assert!(start.elapsed() >= Duration::from_secs(10), "{:?}", start.elapsed());
    }
    waiting.get(&waiting.redirect());
    waiting.result().unwrap();
}

/// Another program on this machine: two threads open connections as fast as they can and send nothing.
struct Flood {
    opened: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Starts the threads and waits until they have opened some connections.
    fn start(port: u16) -> Flood {
        let (opened, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let open = |_| {
            let (opened, stop) = (opened.clone(), stop.clone());
            thread::spawn(move || {
                let mut open = VecDeque::new();
                while !stop.load(Ordering::Relaxed) && opened.load(Ordering::Relaxed) < 20_000 {
                    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
                    opened.fetch_add(1, Ordering::Relaxed);
                    open.push_back(stream);
                    if open.len() > 200 {
                        open.pop_front();
                    }
                }
            })
        };
        let threads = (0..2).map(open).collect();
        let flood = Flood { opened, stop, threads };
        flood.wait_for(100, Duration::from_secs(10));
        flood
    }

    /// Waits until `more` connections were opened, but not longer than `timeout`, because a busy port also delays the attacker.
    fn wait_for(&self, more: usize, timeout: Duration) {
        let (until, wanted) = (Instant::now() + timeout, self.opened.load(Ordering::Relaxed) + more);
        while self.opened.load(Ordering::Relaxed) < wanted && Instant::now() < until {
            thread::yield_now();
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// The response that a browser gets while the port is flooded. It sends the first `at_once` bytes of its request, waits for some
/// milliseconds, and sends the rest.
fn redirect_in_a_flood(at_once: usize) -> std::io::Result<String> {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
    let flood = Flood::start(waiting.login.port());
    let host = format!("Host: 127.0.0.1:{}\r\n\r\n", waiting.login.port());
    let request = format!("GET {} HTTP/1.1\r\n{host}", waiting.redirect());
    let (first, second) = request.split_at(at_once.min(request.len()));
    let page = (|| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port()))?;
        stream.write_all(first.as_bytes())?;
        if !second.is_empty() {
            flood.wait_for(100, Duration::from_millis(10));
            stream.write_all(second.as_bytes())?;
        }
        let mut page = String::new();
        stream.read_to_string(&mut page).map(|_| page)
    })();
    waiting.login.cancel();
    let _ = waiting.result();
    page
}

#[test]
fn no_redirect_is_lost_while_the_port_is_flooded_with_connections() {
    let five = || -> Vec<_> { [usize::MAX, 40, 0, usize::MAX, 40].map(redirect_in_a_flood).into() };
    let browsers: Vec<_> = (0..8).map(|_| thread::spawn(five)).collect();
    let pages = browsers.into_iter().flat_map(|browser| browser.join().unwrap());
    let lost: Vec<_> = pages.filter(|page| !page.as_ref().is_ok_and(|page| page.starts_with("HTTP/1.1 200"))).collect();
    assert!(lost.is_empty(), "{} of 40 are lost: {lost:?}", lost.len());
}
