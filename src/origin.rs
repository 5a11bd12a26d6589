//! [`Origin`]: scheme, host and port of a URL (RFC 6454). They decide which URLs may get the access token: those of the client's
//! own origin, and of the origins that the program allows.

use std::fmt;

use crate::url::{check_characters, encode_query, is_loopback, is_named, parts};
use crate::wipe::Zeroizing;

/// Scheme, host and port, normalized for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin that a program allows: a URL without path, query and fragment. It is https, or http for a loopback host. The
    /// error says what is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Origin, String> {
        if parts(text).is_none() && !text.contains(['@', '\\']) {
            return Err("give an origin, such as \"https://media.example\"".to_owned());
        }
        let origin = Origin::of(text)?;
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        if rest.trim_end_matches('/').contains(['/', '?', '#']) {
            return Err(format!("give scheme, host and port only: \"{origin}\""));
        }
        match origin.scheme.as_str() {
            "https" => Ok(origin),
            "http" if is_loopback(&origin.host) => Ok(origin),
            "http" => Err("tokens are sent over https:// only; http:// is allowed for a loopback host".to_owned()),
            _ => Err("begin it with https://".to_owned()),
        }
    }

    /// The origin of a URL. Programs read odd URLs in different ways, so this refuses them: the error says why.
    pub(crate) fn of(url: &str) -> Result<Origin, String> {
        check_characters(url)?;
        let authority = url.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
        if authority.is_some_and(|authority| authority.contains('@')) {
            return Err("leave out the user name and password before the host".to_owned());
        }
        if url.contains('\\') {
            return Err("it has a backslash, which programs read in different ways".to_owned());
        }
        let (scheme, host, port, _) =
            parts(url).ok_or_else(|| "it is not a whole URL, such as \"https://host/path\"".to_owned())?;
        Ok(Origin { scheme, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { scheme, host, port } = self;
        match (scheme.as_str(), port) {
            ("https", 443) | ("http", 80) => write!(f, "{scheme}://{host}"),
            _ => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

/// The URL with the query parameter `name`, whose value is percent-encoded. It replaces the parameters of this name that are there,
/// however they are written. All other characters stay as they are.
pub(crate) fn with_parameter(url: &str, name: &str, value: &str) -> Zeroizing<String> {
    let (before, fragment) = url.split_once('#').map_or((url, None), |(before, fragment)| (before, Some(fragment)));
    let (path, query) = before.split_once('?').unwrap_or((before, ""));
    let parameter = encode_query(&[(name, value)]);
    // One allocation: a growing string would leave copies of the value behind.
    let mut made = Zeroizing::new(String::with_capacity(url.len() + parameter.len() + 2));
    made.push_str(path);
    made.push('?');
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !is_named(pair, name)) {
        made.push_str(pair);
        made.push('&');
    }
    made.push_str(&parameter);
    if let Some(fragment) = fragment {
        made.push('#');
        made.push_str(fragment);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_one_origin_have_equal_origins_however_they_are_written() {
        let own = Origin::of("https://rest.example.com").unwrap();
        for same in ["https://rest.example.com/a?b#c", "HTTPS://REST.example.com:443", "https://rest.example.com?x=@"] {
            assert_eq!(Origin::of(same).unwrap(), own, "{same}");
        }
        for other in [
            "http://rest.example.com",
            "https://rest.example.com:8443",
            "https://rest.example.com.evil.example",
            "https://evil.example/rest.example.com",
            "https://rest.example.com./",
            "https://evil.example?rest.example.com",
            "https://evil.example#@rest.example.com",
        ] {
            assert_ne!(Origin::of(other).unwrap(), own, "{other}");
        }
        assert_eq!(own.to_string(), "https://rest.example.com");
        assert_eq!(Origin::of("http://[::1]:80/x").unwrap().to_string(), "http://[::1]");
        assert_eq!(Origin::of("https://h:8443").unwrap().to_string(), "https://h:8443");
    }

    #[test]
    fn urls_that_programs_read_in_different_ways_have_no_origin() {
        for (url, problem) in [
            ("https://rest.example.com@evil.example/", "user name"),
            ("https://user:password@rest.example.com/", "user name"),
            ("https://rest.example.com\\@evil.example/", "user name"),
            ("https://evil.example\\.rest.example.com/", "backslash"),
            ("https://rest.example.com/\\x", "backslash"),
            ("https://rest.example.com/ x", "blank"),
            ("https://rest.example.com\n", "blank"),
            ("https://rest.ex\u{e4}mple.com", "ASCII"),
            ("//rest.example.com/x", "not a whole URL"),
            ("/x", "not a whole URL"),
            ("", "not a whole URL"),
            ("https://:443/", "not a whole URL"),
            ("https://rest.example.com:0/", "not a whole URL"),
            ("https://rest.example.com:+443/", "not a whole URL"),
            // Other programs find the host in the brackets.
            ("https://rest.example.com:[2001:db8::66]:443/x", "not a whole URL"),
            ("https://rest.example.com:443[2001:db8::66]:443/", "not a whole URL"),
            ("https://rest.example.com:[evil.test]:443/", "not a whole URL"),
            ("https://[2001:db8::1]evil.test:443/", "not a whole URL"),
            ("https://[evil.test]/", "not a whole URL"),
            ("https://[v1.evil]/", "not a whole URL"),
            ("https://rest.example.com:99999/", "not a whole URL"),
            ("https://rest.example.com:/", "not a whole URL"),
            ("file:///etc/passwd", "not a whole URL"),
        ] {
            let error = Origin::of(url).unwrap_err();
            assert!(error.contains(problem), "{url}: {error}");
        }
    }

    #[test]
    fn an_allowed_origin_is_https_or_loopback_and_nothing_more_than_an_origin() {
        for good in
            ["https://media.example", "https://media.example:8443/", "http://127.0.0.1:8080", "http://localhost"]
        {
            Origin::parse(good).unwrap();
        }
        for (bad, problem) in [
            ("http://media.example", "https:// only"),
            ("ftp://media.example", "give an origin"),
            ("wss://media.example:1", "begin it with https://"),
            ("https://media.example/path", "\"https://media.example\""),
            ("https://media.example?x", "\"https://media.example\""),
            ("media.example", "give an origin"),
            ("*", "give an origin"),
        ] {
            let error = Origin::parse(bad).unwrap_err();
            assert!(error.contains(problem), "{bad}: {error}");
        }
        // A pattern is no host name, so it allows nothing but itself.
        let pattern = Origin::parse("https://*.media.example");
        assert!(pattern.is_err() || pattern != Origin::of("https://a.media.example"));
    }

    #[test]
    fn a_parameter_is_encoded_and_replaces_those_of_its_name() {
        for (url, signed) in [
            ("https://h/p", "https://h/p?access_token=t%3A%2B1"),
            ("https://h", "https://h?access_token=t%3A%2B1"),
            ("https://h/p?", "https://h/p?access_token=t%3A%2B1"),
            ("https://h/p?a=%2B0000&b", "https://h/p?a=%2B0000&b&access_token=t%3A%2B1"),
            ("https://h/p?access_token=old&a=1&access_token=x#f", "https://h/p?a=1&access_token=t%3A%2B1#f"),
            ("https://h/p?%61ccess_token=old", "https://h/p?access_token=t%3A%2B1"),
            ("https://h/p?access_token&access_tokens=1", "https://h/p?access_tokens=1&access_token=t%3A%2B1"),
            ("https://h/p#?access_token=f", "https://h/p?access_token=t%3A%2B1#?access_token=f"),
        ] {
            assert_eq!(*with_parameter(url, "access_token", "t:+1"), signed);
        }
    }
}
