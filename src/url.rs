//! Makes and parses URLs: base URLs, redirect URIs, and query parameters. All other modules do it through this one.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ureq::http::Uri;

use crate::text::check_text;
use crate::wipe::Zeroizing;

/// The characters of a parameter that are percent-encoded: all but the unreserved ones of RFC 3986, section 2.3. The
/// result means the same in a query and in a form body.
pub(crate) const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `name=value&…`, with each value percent-encoded, in the given order. Wiped when dropped: values can be secrets.
pub(crate) fn encode_query(parameters: &[(&str, &str)]) -> Zeroizing<String> {
    // Three bytes for each byte, the worst case: a growing string would leave copies behind.
    let capacity = parameters.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut query = Zeroizing::new(String::with_capacity(capacity));
    for (name, value) in parameters {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        query.extend(utf8_percent_encode(value, COMPONENT));
    }
    query
}

/// The query of a URL, without the fragment.
pub(crate) fn query_of(url: &str) -> Option<&str> {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    url.split_once('?').map(|(_, query)| query)
}

/// All values of `name` in a query, percent-decoded. `Err` if one is not UTF-8.
///
/// A `+` stays a plus. In a form it would be a space, but this server writes a space as `%20`, and a plus in an echoed
/// value as `%2B` or as `+`.
pub(crate) fn query_values<'a>(query: &'a str, name: &str) -> Result<Vec<Cow<'a, str>>, std::str::Utf8Error> {
    query
        .split('&')
        .filter(|pair| is_named(pair, name))
        .map(|pair| percent_decode_str(pair.split_once('=').map_or("", |(_, value)| value)).decode_utf8())
        .collect()
}

/// Whether a parameter of a query, `name=value`, has this name, also if the name is percent-encoded.
pub(crate) fn is_named(pair: &str, name: &str) -> bool {
    percent_decode_str(pair.split('=').next().unwrap_or_default()).eq(name.bytes())
}

const BAD_PORT: &str = "the port is not a number from 1 to 65535";

/// Checks a redirect URI as the guide requires it: it begins with http:// or https://. The error says what is wrong
/// with it.
pub(crate) fn check_redirect_uri(redirect_uri: &str) -> Result<(), &'static str> {
    check_text(redirect_uri)?;
    let lower = redirect_uri.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err("begin it with http:// or https://");
    }
    Ok(())
}

/// Says what is wrong with the characters of a URL, if a parser would only say that it is none.
pub(crate) fn check_characters(url: &str) -> Result<(), &'static str> {
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("it has a blank or a control character; was it read with its line end?");
    }
    if !url.is_ascii() {
        return Err("it has a character that is not ASCII; write a host name in its punycode form (\"xn--...\"), and \
                    percent-encode a path");
    }
    Ok(())
}

/// Checks a base URL and returns it without slashes at its end. The error says what is wrong with it.
pub(crate) fn parse_base_url(url: &str) -> Result<String, String> {
    check_characters(url)?;
    let uri: Uri = url.parse().map_err(|_| "not a URL; it looks like \"https://rest.cameramanager.com\"".to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("begin it with https:// and a host name".to_owned());
    };
    if authority.as_str().contains('@') {
        return Err("leave out the user name and password before the host".to_owned());
    }
    if authority.host().is_empty() {
        return Err("the host name is missing".to_owned());
    }
    let (host, port) = host_and_port(authority.as_str()).ok_or("the host name is not valid")?;
    if port.is_some_and(|port| parse_port(port).is_none()) {
        return Err(BAD_PORT.to_owned());
    }
    if uri.query().is_some() || url.contains(['?', '#']) {
        return Err("leave out the query and the fragment after the path".to_owned());
    }
    match scheme {
        "https" => {}
        "http" if is_loopback(host) => {}
        "http" => {
            return Err("secrets are sent over https:// only; http:// is allowed for a loopback host".to_owned());
        }
        _ => return Err("begin it with https://".to_owned()),
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Host and port of the part of a URL before the path: `host`, `host:port`, `[IPv6]` or `[IPv6]:port`. `None` for anything
/// else. The `http` crate accepts brackets in other places, where other programs find another host.
fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        let host = &authority[..address.len() + 2];
        return if rest.is_empty() { Some((host, None)) } else { Some((host, Some(rest.strip_prefix(':')?))) };
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    (!host.is_empty() && !authority.contains(['[', ']', '@'])).then_some((host, port))
}

/// A port from 1 on, in digits only: without the sign that Rust's integers may have.
fn parse_port(text: &str) -> Option<u16> {
    let port = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??;
    (port != 0).then_some(port)
}

/// Whether the host of a URL is a loopback host: `localhost`, 127.0.0.0/8 or `[::1]`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let without_brackets = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || without_brackets.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Scheme, host, port and path of a URL, normalized for comparison: scheme and host are in lower case, and a missing
/// port or path is the default one. `None` if the text is not such a URL.
pub(crate) fn parts(url: &str) -> Option<(String, String, u16, String)> {
    let without_fragment = url.split_once('#').map_or(url, |(before, _)| before);
    let uri: Uri = without_fragment.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let (host, port) = host_and_port(uri.authority()?.as_str())?;
    let port = match (port, scheme.as_str()) {
        (Some(port), _) => parse_port(port)?,
        (None, "https") => 443,
        (None, "http") => 80,
        (None, _) => return None,
    };
    Some((scheme, host.to_ascii_lowercase(), port, uri.path().to_owned()))
}

/// What of a whole URL differs from the redirect URI: scheme, host, port or path. `None`: nothing, or the URL is not whole. A slash
/// at the end of the path makes no difference, as in the server's framework.
pub(crate) fn difference(redirect_uri: &str, url: &str) -> Option<&'static str> {
    let before_query = url.split(['?', '#']).next().unwrap_or_default();
    if !before_query.contains("://") {
        return None;
    }
    let (Some(given), Some(expected)) = (parts(url), parts(redirect_uri)) else { return Some("form") };
    let path = |path: &str| path.trim_end_matches('/').to_owned();
    [
        ("scheme", given.0 == expected.0),
        ("host", given.1 == expected.1),
        ("port", given.2 == expected.2),
        ("path", path(&given.3) == path(&expected.3)),
    ]
    .into_iter()
    .find_map(|(name, is_same)| (!is_same).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_as_in_the_guide() {
        assert_eq!(
            *encode_query(&[
                ("grant_type", "authorization_code"),
                ("redirect_uri", "https://example.com"),
                ("t", "aA0-._~ :+&=é"),
            ]),
            "grant_type=authorization_code&redirect_uri=https%3A%2F%2Fexample.com&t=aA0-._~%20%3A%2B%26%3D%C3%A9"
        );
    }

    #[test]
    fn a_query_is_read_without_its_fragment() {
        assert_eq!(query_of("https://h/p?a=1&b=2#c?d"), Some("a=1&b=2"));
        assert_eq!(query_of("https://h/p#c?d"), None);
        assert_eq!(query_of("/p?"), Some(""));
    }

    #[test]
    fn values_are_found_by_their_decoded_name() {
        let query = "a=1&b=%2B+%C3%A9&a=2&%61=3&c";
        assert_eq!(query_values(query, "a").unwrap(), ["1", "2", "3"]);
        assert_eq!(query_values(query, "b").unwrap(), ["++é"]);
        assert_eq!(query_values(query, "c").unwrap(), [""]);
        assert!(query_values(query, "d").unwrap().is_empty());
        assert!(query_values("a=%ff", "a").is_err());
    }

    #[test]
    fn base_urls_are_https_or_loopback() {
        for good in [
            "https://rest.cameramanager.com",
            "https://rest.cameramanager.com:8443/prefix",
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:80",
            "http://localhost",
            "http://LOCALHOST:1",
        ] {
            assert_eq!(parse_base_url(good).as_deref(), Ok(good), "{good}");
        }
        for bad in [
            "",
            "rest.cameramanager.com",
            "/path",
            "http://rest.cameramanager.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "ftp://rest.cameramanager.com",
            "https://user:password@rest.cameramanager.com",
            "https://rest.cameramanager.com?x=1",
            "https://rest.cameramanager.com#x",
            "https://rest.cameramanager.com:99999",
            "https://:443",
            "https://",
            "https://rest.camera manager.com",
            "https://rest.cameramanager.com\r\nX: y",
        ] {
            assert!(parse_base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_base_url_is_told_what_is_wrong_with_it() {
        for (url, problem) in [
            ("https://h:0", "the port"),
            ("https://h:65536", "the port"),
            ("https://h:x", "the port"),
            ("https://h\n", "line end"),
            (" https://h", "a blank"),
            ("https://r\u{e9}corder.example", "punycode"),
            ("https://h/p\u{e9}", "percent-encode"),
            ("https://u@h", "user name"),
            ("https://h/p?q", "the query"),
        ] {
            assert!(parse_base_url(url).unwrap_err().contains(problem), "{url}: {:?}", parse_base_url(url));
        }
        for good in
            ["https://h:1", "https://h:65535", "https://[2001:db8::1]:8443/a/b", "https://xn--bcher-kva.example"]
        {
            parse_base_url(good).unwrap();
        }
    }

    #[test]
    fn a_whole_url_must_lead_to_the_redirect_uri() {
        let uri = "https://Example.com/cb";
        for same in [
            "https://example.com:443/cb?code=a",
            "HTTPS://example.com/cb/?code=a#x",
            "/other?code=a",
            "?code=a",
            "cb?x=https://a",
        ] {
            assert_eq!(difference(uri, same), None, "{same}");
        }
        for (url, part) in [
            ("http://example.com/cb?code=a", "scheme"),
            ("https://example.org/cb?code=a", "host"),
            ("https://example.com.evil.test/cb?code=a", "host"),
            ("https://example.com:444/cb?code=a", "port"),
            ("https://example.com/?code=a", "path"),
            ("https://example.com/cb/x?code=a", "path"),
            ("https://user@example.com/cb?code=a", "form"),
            ("://?code=a", "form"),
        ] {
            assert_eq!(difference(uri, url), Some(part), "{url}");
        }
    }

    #[test]
    fn slashes_at_the_end_of_a_base_url_do_not_double() {
        assert_eq!(parse_base_url("https://h/").as_deref(), Ok("https://h"));
        assert_eq!(parse_base_url("https://h/p//").as_deref(), Ok("https://h/p"));
    }

    #[test]
    fn equal_urls_have_equal_parts_however_they_are_written() {
        assert_eq!(parts("https://Example.com"), parts("HTTPS://example.com:443/?code=x#y"));
        assert_ne!(parts("https://example.com/a"), parts("https://example.com/b"));
        assert_ne!(parts("https://example.com"), parts("http://example.com"));
        assert_eq!(parts("about:blank"), None);
    }
}
