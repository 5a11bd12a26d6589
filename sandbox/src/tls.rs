//! TLS: makes a certificate authority, and a certificate of the server that it signs.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;

/// A new certificate authority, and an acceptor whose certificate it signed.
pub(crate) struct Authority {
    pub(crate) ca_pem: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl Authority {
    pub(crate) fn new() -> io::Result<Authority> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "cmauth-sandbox test CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().map_err(io::Error::other)?)
            .map_err(io::Error::other)?;

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
        Ok(Authority { ca_pem: ca.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}
