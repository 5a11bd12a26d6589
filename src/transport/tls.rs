//! TLS settings: the trusted root certificates, by rustls with ring. Certificate checks cannot be turned off.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::config::Config;
use crate::error::{Error, Status};
use crate::transport::issuer::NamingVerifier;

/// The TLS settings of a client: TLS 1.2 and 1.3. Certificates are checked against the system's trusted root
/// certificates or the files of `config`.
pub(super) fn settings(config: &Config) -> Result<ClientConfig, Error> {
    let mut added = Vec::new();
    for path in &config.added_ca_files {
        added.extend(read_pem("add_ca_file", path)?);
    }
    let replaced = config.ca_file.as_deref().map(|path| read_pem("ca_file", path)).transpose()?;

    let provider = Arc::new(provider());
    let impossible = |what: String| Error::new(Status::Internal, what, "report this");
    let verifier: Arc<dyn ServerCertVerifier> = match replaced {
        Some(certificates) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates.into_iter().chain(added));
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| impossible(format!("the CA files cannot be used: {error}")))?
        }
        None => Arc::new(Verifier::new_with_extra_roots(added, provider.clone()).map_err(|error| {
            Error::new(
                Status::Tls,
                format!("the system has no trusted root certificates: {error}"),
                "install them (Debian: package ca-certificates), or set a CA file",
            )
        })?),
    };
    let mut settings = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| impossible(format!("no TLS version is available: {error}")))?
        .dangerous() // rustls' word for any verifier but its own.
        .with_custom_certificate_verifier(Arc::new(NamingVerifier(verifier)))
        .with_no_client_auth();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(settings)
}

/// ring, which prefers AES with 128 bits, as browsers do. Its SHA-256 has processor instructions: a handshake needs a
/// tenth less CPU than with AES-256 and SHA-384.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

/// The settings for a forked child, with a new session cache: the parent's has a lock, which may be held at the fork.
pub(super) fn for_child(settings: &ClientConfig) -> ClientConfig {
    let mut settings = settings.clone();
    settings.resumption = Resumption::in_memory_sessions(32);
    settings
}

fn read_pem(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |problem: String| Error::invalid_argument(setting, format!("{path:?}: {problem}"));
    let certificates =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| {
            match error {
                rustls::pki_types::pem::Error::Io(error) => bad(error.to_string()),
                _ => bad("it is not a PEM file".to_owned()),
            }
        })?;
    if certificates.is_empty() {
        return Err(bad("it has no certificate; it must be a PEM file".to_owned()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| bad(format!("a certificate in it is invalid: {error}")))?;
    }
    Ok(certificates)
}
