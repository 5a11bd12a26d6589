//! TLS: makes a certificate authority, or takes that of an earlier start, and a certificate of the server that it signs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;

/// The files of a certificate authority in its folder.
const KEY_FILE: &str = "ca-key.pem";
const CERTIFICATE_FILE: &str = "ca.pem";

/// A certificate authority, and an acceptor whose certificate it signed.
pub(crate) struct Authority {
    pub(crate) ca_pem: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl Authority {
    /// A new authority, or with a folder the one that is kept there.
    pub(crate) fn new(folder: Option<&Path>) -> io::Result<Authority> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "cmauth-sandbox test CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let (key, ca_pem) = match folder.map(read).transpose()?.flatten() {
            Some(kept) => kept,
            None => {
                let key = KeyPair::generate().map_err(io::Error::other)?;
                let ca_pem = ca.self_signed(&key).map_err(io::Error::other)?.pem();
                if let Some(folder) = folder {
                    write(folder, &key, &ca_pem)?;
                }
                (key, ca_pem)
            }
        };
        let ca = Issuer::new(ca, key);

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut server = CertificateParams::new(names).map_err(io::Error::other)?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Strict verifiers require the key identifier of the signer, and (Apple) at most 825 days.
        server.use_authority_key_identifier_extension = true;
        let now = OffsetDateTime::now_utc();
        server.not_before = now - Duration::days(1);
        server.not_after = now + Duration::days(365);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = server.signed_by(&key, &ca).map_err(io::Error::other)?;

        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Authority { ca_pem, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// The key and the certificate in a folder; `None` if it has neither.
fn read(folder: &Path) -> io::Result<Option<(KeyPair, String)>> {
    let at = |path: &Path, problem: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", path.display()))
    };
    let text = |name: &str| match fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(&folder.join(name), &error)),
    };
    match (text(KEY_FILE)?, text(CERTIFICATE_FILE)?) {
        (None, None) => Ok(None),
        (Some(key), Some(certificate)) => {
            let path = folder.join(KEY_FILE);
            let key = KeyPair::from_pem(&key).map_err(|_| at(&path, &"it is no private key; remove it and ca.pem"))?;
            Ok(Some((key, certificate)))
        }
        (Some(_), None) => Err(at(&folder.join(KEY_FILE), &"ca.pem is missing beside it; remove this file, too")),
        (None, Some(_)) => {
            Err(at(&folder.join(CERTIFICATE_FILE), &"ca-key.pem is missing beside it; remove this file, too"))
        }
    }
}

fn write(folder: &Path, key: &KeyPair, certificate: &str) -> io::Result<()> {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if name == KEY_FILE { 0o600 } else { 0o644 });
        let written = options.open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    fs::create_dir_all(folder)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))?;
    put(KEY_FILE, &key.serialize_pem())?;
    put(CERTIFICATE_FILE, certificate)
}
