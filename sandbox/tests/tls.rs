//! TLS: the certificate authority, the names of the server, the versions.

mod common;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use cmauth_sandbox::user::{self, User};
use cmauth_sandbox::{Fault, Sandbox};
use common::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

fn start_tls() -> Sandbox {
    start_with(|options| options.tls = true)
}

fn connect(
    sandbox: &Sandbox,
    ca_pem: &str,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let port = sandbox.url().rsplit_once(':').unwrap().1;
    let socket = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    Ok(StreamOwned::new(connection, socket))
}

fn get(
    sandbox: &Sandbox,
    ca_pem: &str,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> io::Result<Response> {
    let mut stream = connect(sandbox, ca_pem, name, version)?;
    stream.write_all(request("GET", "/login", "localhost", &[], "").as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(Response::parse(&response))
}

#[test]
fn both_versions_and_all_three_names_are_served() {
    let sandbox = start_tls();
    assert!(sandbox.url().starts_with("https://localhost:"), "{}", sandbox.url());
    let ca_pem = sandbox.ca_pem().unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for name in ["localhost", "127.0.0.1", "::1"] {
            let response = get(&sandbox, ca_pem, name, version).unwrap();
            assert_eq!(response.status, 200);
            assert!(response.header("set-cookie").unwrap().contains("; Secure"), "{response:?}");
        }
    }
}

#[test]
fn another_name_or_another_authority_is_not_trusted() {
    let (sandbox, other) = (start_tls(), start_tls());
    let tls13 = &rustls::version::TLS13;
    let error = get(&sandbox, sandbox.ca_pem().unwrap(), "example.com", tls13).unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    let error = get(&sandbox, other.ca_pem().unwrap(), "localhost", tls13).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn a_connection_without_tls_does_not_affect_others() {
    let sandbox = start_tls();
    let port = sandbox.url().rsplit_once(':').unwrap().1;
    let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // The connection may end or be reset.
    let _ = socket.read_to_end(&mut Vec::new());
    assert_eq!(get(&sandbox, sandbox.ca_pem().unwrap(), "localhost", &rustls::version::TLS13).unwrap().status, 200);
}

#[test]
fn the_scripted_user_trusts_only_the_given_authority() {
    let sandbox = start_tls();
    let page = page(&sandbox, "write");
    let user = User { ca_pem: sandbox.ca_pem().map(str::to_owned), ..User::default() };
    assert!(user::log_in(&page, &user).unwrap().starts_with("https://example.com/?code="));
    let error = user::log_in(&page, &User::default()).unwrap_err();
    assert!(error.to_string().contains("certificate authority"), "{error}");
    let stranger = User { ca_pem: start_tls().ca_pem().map(str::to_owned), ..User::default() };
    let error = user::log_in(&page, &stranger).unwrap_err();
    assert!(error.to_string().starts_with("TLS with https://localhost"), "{error}");
}

#[test]
fn close_notify_can_come_without_the_end_of_tcp() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let sandbox = start_tls();
        sandbox.set_faults(&[Fault::CloseNotifyIdle.once()]).unwrap();
        let mut stream = connect(&sandbox, sandbox.ca_pem().unwrap(), "localhost", version).unwrap();
        stream.write_all(request("GET", "/login", "localhost", &[], "").as_bytes()).unwrap();
        // Without close_notify, this would be an error.
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        stream.sock.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert_eq!(stream.sock.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_handshake_can_end_be_reset_hang_or_meet_plain_http() {
    for (fault, wanted) in [
        (Fault::CloseInHandshake, io::ErrorKind::UnexpectedEof),
        (Fault::ResetInHandshake, io::ErrorKind::ConnectionReset),
        (Fault::SilenceInHandshake, io::ErrorKind::WouldBlock),
        (Fault::PlainInHandshake, io::ErrorKind::InvalidData),
    ] {
        let sandbox = start_tls();
        sandbox.set_faults(&[fault.once()]).unwrap();
        let ca_pem = sandbox.ca_pem().unwrap();
        let mut stream = connect(&sandbox, ca_pem, "localhost", &rustls::version::TLS13).unwrap();
        stream.sock.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(stream.write_all(b"GET").unwrap_err().kind(), wanted, "{fault}");
        assert_eq!(get(&sandbox, ca_pem, "localhost", &rustls::version::TLS13).unwrap().status, 200);
    }
}
