//! TLS: with a bad certificate or handshake, a call fails before a secret is sent, and the error names the reason.

#[path = "common/skip.rs"]
mod skip;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cmauth::{Advice, Client, Config, Error, Status};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const TOKENS: &str = r#"{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":1}"#;

/// A folder for the files of one test, in the build folder.
fn folder() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A certificate authority, and the file with its certificate.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder().join(format!("{name}.pem"));
        fs::write(&file, issuer.pem()).unwrap();
        Authority { issuer, file }
    }

    /// A server with a certificate of this authority. It responds to each request with tokens.
    fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        listen(move |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            if stream.read(&mut [0; 4096]).is_ok() {
                let length = TOKENS.len();
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{TOKENS}");
            }
        })
    }
}

/// Serves each connection with `serve`, on a thread that ends with the test process.
fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    format!("https://localhost:{port}")
}

fn refresh(url: &str, set: impl FnOnce(&mut Config)) -> Result<(), Error> {
    let mut config = Config::new("id", "secret");
    config.set_base_url(url).set_proxy(Some("")).set_max_retries(0);
    set(&mut config);
    Client::new(&config)?.refresh("r").map(|_| ())
}

fn assert_tls_error(result: Result<(), Error>, reason: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::Tls, Advice::Fix), "{error}");
    assert!(error.message().contains(reason), "{error}");
    assert!(!error.request_sent());
}

#[test]
fn a_ca_file_is_trusted_in_place_of_the_system_s_certificates_or_in_addition() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let url = ours.server(|_| {});
    refresh(&url, |config| _ = config.set_ca_file(&ours.file)).unwrap();
    refresh(&url, |config| _ = config.add_ca_file(&other.file).add_ca_file(&ours.file)).unwrap();
    refresh(&url, |config| _ = config.set_ca_file(&other.file).add_ca_file(&ours.file)).unwrap();
}

#[test]
fn an_untrusted_authority_is_rejected() {
    let (ours, other) = (Authority::new("ours"), Authority::new("untrusted"));
    let url = ours.server(|_| {});
    assert_tls_error(refresh(&url, |_| {}), "the issuer of its certificate, \"ours\", is not trusted");
    let replaced = refresh(&url, |config| _ = config.set_ca_file(&other.file));
    assert_tls_error(replaced, "the issuer of its certificate, \"ours\", is not trusted");
}

#[test]
fn a_certificate_for_another_host_is_rejected() {
    let ours = Authority::new("ours");
    let url = ours.server(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("rest.cameramanager.com".try_into().unwrap())];
    });
    assert_tls_error(refresh(&url, |config| _ = config.set_ca_file(&ours.file)), "is for another host");
}

#[test]
fn a_certificate_that_has_expired_or_is_not_valid_yet_is_rejected() {
    let ours = Authority::new("ours");
    let expired = ours.server(|params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_tls_error(refresh(&expired, |config| _ = config.set_ca_file(&ours.file)), "has expired");
    let early = ours.server(|params| params.not_before = date_time_ymd(2090, 1, 1));
    assert_tls_error(refresh(&early, |config| _ = config.set_ca_file(&ours.file)), "is not valid yet");
}

#[test]
fn a_port_without_tls_is_rejected() {
    let url = listen(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    assert_tls_error(refresh(&url, |_| {}), "does not speak TLS");
}

/// A running `openssl s_server`. Dropping it ends the program.
struct OpenSsl(Child);

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn tls_below_1_2_is_rejected() {
    if Command::new("openssl").arg("version").output().is_err() {
        skip::skip_without("openssl");
        return;
    }
    let ours = Authority::new("ours");
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let folder = folder();
    let (key_file, certificate_file) = (folder.join("key.pem"), folder.join("certificate.pem"));
    fs::write(&certificate_file, params.signed_by(&key, &ours.issuer).unwrap().pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    for (version, accepted) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let mut server = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", version, "-cipher", "ALL:@SECLEVEL=0", "-cert"])
            .arg(&certificate_file)
            .arg("-key")
            .arg(&key_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let _server = OpenSsl(server);
        let accepting = lines.map_while(Result::ok).find(|line| line.starts_with("ACCEPT")).unwrap();
        let port = accepting.rsplit(':').next().unwrap();
        let result = refresh(&format!("https://localhost:{port}"), |config| {
            config.set_ca_file(&ours.file).set_timeout(std::time::Duration::from_millis(500));
        });
        if accepted {
            // The handshake succeeded. The server of openssl prints the request and does not respond.
            assert_eq!(result.unwrap_err().status(), Status::Timeout, "{version}");
        } else {
            assert_tls_error(result, "no TLS 1.2 or 1.3");
        }
    }
}

#[test]
fn the_error_for_an_unusable_ca_file_names_it() {
    let folder = folder();
    let missing = folder.join("missing.pem");
    let (empty, garbage, broken) = (folder.join("empty.pem"), folder.join("garbage"), folder.join("broken.pem"));
    fs::write(&empty, "").unwrap();
    fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nnot base64!\n").unwrap();
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for (path, problem) in [
        (&missing, "No such file"),
        (&empty, "it has no certificate"),
        (&garbage, "not a PEM file"),
        (&broken, "a certificate in it is invalid"),
    ] {
        for setting in ["ca_file", "add_ca_file"] {
            let error = refresh("https://localhost:1", |config| match setting {
                "ca_file" => _ = config.set_ca_file(path),
                _ => _ = config.add_ca_file(path),
            })
            .unwrap_err();
            assert_eq!(error.status(), Status::InvalidArgument);
            assert!(error.message().starts_with(&format!("{setting}: {path:?}: ")), "{error}");
            assert!(error.message().contains(problem), "{error}");
        }
    }
}
