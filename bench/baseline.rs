//! The baseline: sends and receives the same bytes over a bare rustls stream, without HTTP, JSON or error handling.
//!
//!     baseline HOST:PORT CA_FILE CALLS
//!
//! It prints the same line of JSON as the C peers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let [address, ca_file, calls] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else { std::process::exit(2) };
    let calls: usize = calls.parse().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file).unwrap()).unwrap();
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    let request = format!(
        "POST /oauth/token?grant_type=refresh_token&scope=write&refresh_token=\
         0f8fad5b-d9cb-469f-a165-70867728950e%3A10003 HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nauthorization: Basic \
         Y2FtZXJhbWFuYWdlci50ZXN0OnF3ZXJ0eXVpb3Bhc2RmZ2hqa2x6eGN2Ym5tMTIzNDU=\r\nuser-agent: libcmauth/0.1.0\r\n\
         accept: application/json\r\n\r\n"
    );
    let mut buffer = vec![0; 16 * 1024];
    let mut length = 0;
    let mut call = |length: &mut usize| {
        stream.write_all(request.as_bytes()).unwrap();
        let mut got = 0;
        // All responses have the length of the first one.
        while got < (*length).max(1) {
            got += stream.read(&mut buffer[got..]).unwrap();
        }
        if *length == 0 {
            *length = got;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"));
    };
    call(&mut length);
    let mut took = Vec::with_capacity(calls);
    let (begun, used) = (Instant::now(), cpu_seconds());
    for _ in 0..calls {
        let one = Instant::now();
        call(&mut length);
        took.push(one.elapsed().as_secs_f64());
    }
    let (wall, used) = (begun.elapsed().as_secs_f64(), cpu_seconds() - used);
    took.sort_by(f64::total_cmp);
    println!(
        "{{\"calls\": {calls}, \"wall\": {wall:.6}, \"cpu\": {used:.6}, \"latency\": {:.7}}}",
        took.get(calls / 2).copied().unwrap_or_default()
    );
}
