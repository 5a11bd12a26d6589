//! A minimal browser: HTTP/1.1 with cookies for one origin, with or without TLS.

use std::collections::BTreeMap;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Error;

pub(super) struct Browser {
    home: Origin,
    tls: Option<TlsConnector>,
    cookies: BTreeMap<String, String>,
}

/// The response to one request.
pub(super) struct Response {
    pub(super) status: u16,
    /// The target of a redirect, as an absolute URL.
    pub(super) location: Option<String>,
    pub(super) body: String,
}

/// Scheme, host and port. Cookies and forms stay within one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    is_https: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Browser {
    pub(super) fn new(url: &str, ca_pem: Option<&str>) -> Result<Browser, Error> {
        let home = Origin::of(url).ok_or_else(|| Error::new(format!("not an http or https URL: {url}")))?;
        let tls = if home.is_https { Some(connector(ca_pem)?) } else { None };
        Ok(Browser { home, tls, cookies: BTreeMap::new() })
    }

    pub(super) fn is_at_home(&self, url: &str) -> bool {
        Origin::of(url).is_some_and(|origin| origin == self.home)
    }

    /// Makes a URL of this origin absolute.
    pub(super) fn resolve(&self, url: &str) -> String {
        if url.starts_with('/') && !url.starts_with("//") {
            format!("{}{url}", self.home.text())
        } else {
            url.to_owned()
        }
    }

    pub(super) async fn get(&mut self, url: &str) -> Result<Response, Error> {
        self.send(Method::GET, url, None).await
    }

    pub(super) async fn post(&mut self, url: &str, form: &str) -> Result<Response, Error> {
        self.send(Method::POST, url, Some(form)).await
    }

    async fn send(&mut self, method: Method, url: &str, form: Option<&str>) -> Result<Response, Error> {
        let socket = TcpStream::connect((self.home.host.as_str(), self.home.port))
            .await
            .map_err(|error| Error::new(format!("{} cannot be reached: {error}", self.home.text())))?;
        let request = self.request(method, url, form)?;
        let response = match &self.tls {
            None => exchange(socket, request).await,
            Some(tls) => {
                let name =
                    ServerName::try_from(self.home.host.clone()).map_err(|error| Error::new(error.to_string()))?;
                let stream = tls.connect(name, socket).await;
                let failed = |error| Error::new(format!("TLS with {} failed: {error}", self.home.text()));
                exchange(stream.map_err(failed)?, request).await
            }
        };
        let (head, body) =
            response.map_err(|error| Error::new(format!("{} closed the connection: {error}", self.home.text())))?;
        for line in head.headers.get_all(header::SET_COOKIE) {
            let pair = line.to_str().ok().and_then(|line| line.split(';').next()?.split_once('='));
            self.cookies.extend(pair.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())));
        }
        let location = head.headers.get(header::LOCATION).filter(|_| head.status.is_redirection());
        let location = location.map(|url| self.resolve(&String::from_utf8_lossy(url.as_bytes())));
        Ok(Response { status: head.status.as_u16(), location, body })
    }

    fn request(&self, method: Method, url: &str, form: Option<&str>) -> Result<Request<Full<Bytes>>, Error> {
        let home = self.home.text();
        let target = without_origin(url);
        let host = home.split_once("://").map_or(home.as_str(), |(_, host)| host);
        let mut request = Request::builder().method(method).uri(target).header(header::HOST, host);
        request = request.header(header::ACCEPT, "text/html,*/*;q=0.8");
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        if form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default().to_owned()));
        request.body(body).map_err(|error| Error::new(format!("unusable URL {url}: {error}")))
    }
}

impl Origin {
    fn of(url: &str) -> Option<Origin> {
        let (scheme, rest) = url.split_once("://")?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None if is_https => 443,
            None => 80,
        };
        Some(Origin { is_https, host: host.to_ascii_lowercase(), port })
    }

    fn text(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}", self.port)
    }
}

/// Path and query of an absolute URL.
fn without_origin(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    match rest.find(['/', '?']) {
        Some(place) if rest[place..].starts_with('/') => rest[place..].to_owned(),
        Some(place) => format!("/{}", &rest[place..]),
        None => "/".into(),
    }
}

fn connector(ca_pem: Option<&str>) -> Result<TlsConnector, Error> {
    let pem = ca_pem
        .ok_or_else(|| Error::new("https needs the certificate authority of the sandbox, which --ca-out writes"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate.map_err(|error| error.to_string());
        let added = added.and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| Error::new(format!("the certificate authority cannot be read: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Sends one request on a connection, and closes it.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> hyper::Result<(hyper::http::response::Parts, String)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The request reports an error of the connection.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head, String::from_utf8_lossy(&body).into_owned()))
}
