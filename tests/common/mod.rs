//! A scripted server, for tests that need control of each byte. It records the requests and sends the given responses.

#![allow(dead_code, reason = "each test program uses only some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use cmauth::{Client, Config};

pub const ID: &str = "cameramanager.test";
pub const SECRET: &str = "qwertyuiopasdfghjklzxcvbnm12345";
/// `base64(id:secret)` of the API key in the guide's example.
pub const BASIC: &str = "Y2FtZXJhbWFuYWdlci50ZXN0OnF3ZXJ0eXVpb3Bhc2RmZ2hqa2x6eGN2Ym5tMTIzNDU=";

/// The reaction of the server to one request.
#[derive(Clone)]
pub enum Step {
    /// Sends these bytes and keeps the connection open.
    Respond(String),
    /// Closes the connection without a response.
    Close,
    /// Sends these bytes, then closes the connection.
    RespondAndClose(String),
}

/// A response with a status, more header lines and a body.
pub fn response(status: u16, headers: &[&str], body: &str) -> Step {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    Step::Respond(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()))
}

/// A JSON response with the headers of the real server.
pub fn json(status: u16, body: &str) -> Step {
    response(status, &["Content-Type: application/json;charset=UTF-8", "Cache-Control: no-store"], body)
}

pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Takes one step for each request, on all connections together. It repeats the last step.
    pub fn start(steps: Vec<Step>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (received, opened) = (requests.clone(), connections.clone());
        let steps = Arc::new(steps);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                opened.lock().unwrap().push(stream.try_clone().unwrap());
                let (received, steps) = (received.clone(), steps.clone());
                thread::spawn(move || serve(&stream, &received, &steps));
                if Arc::strong_count(&opened) == 1 {
                    return; // The server was dropped, and has made this connection to end this thread.
                }
            }
        });
        Server { url, requests, connections, thread: Some(thread) }
    }

    pub fn client(&self) -> Client {
        self.client_with(|_| {})
    }

    pub fn client_with(&self, set: impl FnOnce(&mut Config)) -> Client {
        let mut config = Config::new(ID, SECRET);
        config.set_base_url(&self.url).set_proxy(Some(""));
        set(&mut config);
        Client::new(&config).unwrap()
    }

    /// All requests so far: head and body, as received.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for connection in std::mem::take(&mut self.connections).lock().unwrap().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Ends the wait of the thread in accept.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(stream: &TcpStream, received: &Mutex<Vec<String>>, steps: &[Step]) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        let step = {
            let mut received = received.lock().unwrap();
            received.push(request);
            steps.get(received.len() - 1).or(steps.last()).cloned()
        };
        let mut writer = stream;
        match step {
            Some(Step::Respond(text)) => {
                if writer.write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
            Some(Step::RespondAndClose(text)) => {
                let _ = writer.write_all(text.as_bytes());
                break;
            }
            Some(Step::Close) | None => break,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut request = String::new();
    let mut length = 0;
    loop {
        let start = request.len();
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
        let line = &request[start..];
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.push_str(std::str::from_utf8(&body).ok()?);
    Some(request)
}
