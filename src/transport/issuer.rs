//! Names the issuer of a certificate that is not trusted. A firewall that inspects TLS is found that way.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

/// The longest name that is shown, in characters.
const MAX_NAME_LEN: usize = 64;

/// The error for a certificate whose issuer is not trusted, with the issuer's name.
#[derive(Debug)]
pub(super) struct UntrustedIssuer(pub(super) String);

impl fmt::Display for UntrustedIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the issuer \"{}\" is not trusted", self.0)
    }
}

impl std::error::Error for UntrustedIssuer {}

/// Decides as another verifier does, and adds the name of the issuer to the error.
#[derive(Debug)]
pub(super) struct NamingVerifier(pub(super) Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for NamingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map_err(|error| {
            // The certificate next to the root names the authority, as administrators know it.
            let last = intermediates.last().unwrap_or(end_entity);
            match (&error, issuer_of(last)) {
                (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), Some(name)) => {
                    CertificateError::Other(OtherError(Arc::new(UntrustedIssuer(name)))).into()
                }
                _ => error,
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[rustls::DistinguishedName]> {
        self.0.root_hint_subjects()
    }
}

/// The issuer's organization, or else its common name.
fn issuer_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let names = Names(certificate.issuer());
    let find = |wanted: &[u8]| names.clone().find(|(kind, _)| *kind == wanted).map(|(_, name)| name);
    find(ORGANIZATION).or_else(|| find(COMMON_NAME))
}

/// The attribute types of RFC 5280, appendix A.1, in DER: 2.5.4.10 and 2.5.4.3.
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// The attributes of a distinguished name in DER (RFC 5280, section 4.1.2.4): a sequence of sets of pairs.
#[derive(Clone)]
struct Names<'a>(&'a [u8]);

impl<'a> Iterator for Names<'a> {
    type Item = (&'a [u8], String);

    fn next(&mut self) -> Option<Self::Item> {
        let set = element(&mut self.0)?.1;
        // A set has one pair, but for certificates that nobody issues.
        let mut pair = element(&mut &*set)?.1;
        let kind = element(&mut pair)?.1;
        let (string_type, text) = element(&mut pair)?;
        Some((kind, shown(string_type, text)))
    }
}

/// The name as it can be printed. Whoever made the certificate chose it.
fn shown(string_type: u8, text: &[u8]) -> String {
    const BMP_STRING: u8 = 0x1e;
    let text = match string_type {
        BMP_STRING => {
            let units = text.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(text).into_owned(),
    };
    let is_plain = |c: char| c.is_alphanumeric() || c.is_ascii_graphic() && c != '"';
    text.chars().take(MAX_NAME_LEN).map(|c| if is_plain(c) { c } else { ' ' }).collect()
}

/// The type and the content of the first element of `der`, which is advanced past it.
fn element<'a>(der: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (kind, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (digits, after) = rest.split_at_checked(length & 0x7f)?;
        if digits.len() > 2 {
            return None;
        }
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some((*kind, content))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn issuer(names: &[(DnType, DnValue)]) -> Option<String> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        issuer_of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn the_issuer_is_its_organization_or_its_common_name() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        let named = |kind: DnType, text: &str| (kind, utf8(text));
        let both = [named(DnType::CommonName, "Proxy CA 2"), named(DnType::OrganizationName, "Müller & Söhne")];
        assert_eq!(issuer(&both).as_deref(), Some("Müller & Söhne"));
        assert_eq!(issuer(&both[..1]).as_deref(), Some("Proxy CA 2"));
        assert_eq!(issuer(&[named(DnType::CountryName, "DE")]), None);
        assert_eq!(issuer(&[]), None);
        let bmp = DnValue::BmpString(rcgen::string::BmpString::try_from("Firewall ü").unwrap());
        assert_eq!(issuer(&[(DnType::OrganizationName, bmp)]).as_deref(), Some("Firewall ü"));
    }

    #[test]
    fn a_name_that_was_made_to_mislead_is_shortened_and_has_no_lines() {
        let name =
            issuer(&[(DnType::CommonName, DnValue::Utf8String(format!("a\"\r\n\x1b[31m\u{202e}{}", "x".repeat(500))))]);
        let name = name.unwrap();
        assert!(name.starts_with("a    [31m xx"), "{name}");
        assert_eq!(name.chars().count(), MAX_NAME_LEN);
    }

    #[test]
    fn der_that_is_cut_off_or_has_any_length_is_no_name() {
        for der in [
            &[][..],
            &[0x31],
            &[0x31, 0x80],
            &[0x31, 0xff],
            &[0x31, 5, 0x30, 3, 6, 1],
            &[0x31, 0x84, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(Names(der).next(), None, "{der:?}");
        }
        let valid = [0x31, 12, 0x30, 10, 6, 3, 0x55, 4, 10, 0x0c, 3, b'a', b'b', b'c'];
        assert_eq!(Names(&valid).next(), Some((ORGANIZATION, "abc".to_owned())));
        for length in 0..valid.len() {
            assert_eq!(Names(&valid[..length]).next(), None);
        }
    }
}
