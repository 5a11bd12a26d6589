//! A request and its response, as `client` sees them, and the reading of a response.

use std::io::Read;
use std::time::{Duration, Instant};

use ureq::http::header::{HeaderValue, RETRY_AFTER};
use ureq::{Body, http};

use super::progress::Progress;
use crate::wipe::Zeroizing;

/// The longest body of a response.
pub(crate) const MAX_RESPONSE_LEN: usize = 64 * 1024;

/// How long a call waits for a body that only adds details to an error.
const MAX_DETAILS_WAIT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Delete,
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

/// A request. The transport adds `Accept: application/json` and the `User-Agent`.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Base URL, path and query.
    pub(crate) url: &'a str,
    /// The value of `Authorization`.
    pub(crate) authorization: &'a str,
    /// A form body. Without one, a POST has `Content-Length: 0`.
    pub(crate) form: Option<&'a str>,
    /// It must not reach the server twice, so the transport sends it on a new connection.
    pub(crate) once: bool,
}

impl Request<'_> {
    /// An upper bound for the bytes of head and body. The other headers are short.
    pub(super) fn max_len(&self) -> usize {
        self.url.len() + self.authorization.len() + self.form.map_or(0, str::len) + 2048
    }
}

/// A response. Its body is wiped when dropped: it can hold tokens.
pub(crate) struct Response {
    pub(crate) http_status: u16,
    /// The transport sent the request twice, because the first connection was stale.
    pub(crate) resent: bool,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why a response could not be read.
pub(super) enum ReadError {
    Http(ureq::Error),
    /// The body is too long. With the HTTP status.
    TooLarge(u16),
}

impl Response {
    /// Reads a response. The body of a 2xx of the token endpoint, of a 400 or of a 401 decides its meaning: without it,
    /// the read fails. The body of any other error adds details only, so the call does not wait long for it.
    pub(super) fn read(method: Method, mut response: http::Response<Body>) -> Result<Response, ReadError> {
        let http_status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(parse_retry_after);
        let succeeded = (200..300).contains(&http_status);
        let decides = succeeded || matches!(http_status, 400 | 401);
        if !decides {
            Progress::set_body_deadline(Instant::now() + MAX_DETAILS_WAIT);
        }
        if succeeded && method == Method::Delete {
            return Ok(Response { http_status, resent: false, retry_after, body: Zeroizing::default() });
        }

        // One allocation if the length is known: a growing vector would leave copies behind.
        let expected = response.body().content_length().unwrap_or(4096);
        let capacity = usize::try_from(expected).unwrap_or(MAX_RESPONSE_LEN).min(MAX_RESPONSE_LEN);
        let mut body = Zeroizing::new(Vec::with_capacity(capacity + 1));
        let result = response.body_mut().as_reader().take(MAX_RESPONSE_LEN as u64 + 1).read_to_end(&mut body);
        match result {
            Ok(_) if body.len() <= MAX_RESPONSE_LEN => {}
            Ok(_) if succeeded => return Err(ReadError::TooLarge(http_status)),
            Err(error) if decides => return Err(ReadError::Http(error.into())),
            Ok(_) | Err(_) => body = Zeroizing::default(),
        }
        Ok(Response { http_status, resent: false, retry_after, body })
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn parse_retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    Some(at.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

/// A header value that ureq does not log; `None` if a header cannot carry the text.
pub(super) fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_comes_as_seconds_or_as_a_date() {
        assert_eq!(parse_retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let far = parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
        assert!(far > Duration::from_secs(1_000_000));
        for malformed in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(parse_retry_after(malformed), None, "{malformed}");
        }
    }
}
