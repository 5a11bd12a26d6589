//! The proxy of a client: checks its URL, or takes it from the environment.
//!
//! `config` checks a URL; `transport` makes ureq's proxy from it, or from the environment. No message has the URL,
//! because that can hold a password.

use std::ffi::OsString;

use crate::error::Error;
use crate::no_proxy;
use crate::url;
use crate::wipe::Zeroizing;

const NOT_A_URL: &str = "not a proxy URL; it looks like \"http://host:3128\" or \"socks5://host:1080\"";

/// The variables for an https server, in the order of curl and Python. Not `HTTP_PROXY`: it is for http, and the client
/// of a CGI program can set it by a header.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Checks the URL of a proxy. The error says what is wrong with it.
pub(crate) fn check(url: &str) -> Result<(), &'static str> {
    parse(url).map(drop)
}

/// Parses the URL of a proxy. "host:port" without a scheme is an HTTP proxy.
pub(crate) fn parse(url: &str) -> Result<ureq::Proxy, &'static str> {
    let proxy = ureq::Proxy::new(url).map_err(|_| NOT_A_URL)?;
    let authority = proxy.uri().authority().map_or("", |authority| authority.as_str());
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host_and_port)| host_and_port);
    let has_port = proxy.uri().port_u16().is_some();
    // If the port is not a number, ureq takes the default port.
    if proxy.host().is_empty() || (host_and_port != proxy.host() && !has_port) {
        return Err(NOT_A_URL);
    }
    // curl would take port 1080 and others port 80: better ask.
    if !url.contains("://") && !has_port {
        return Err("a host without a port; write \"http://host:port\"");
    }
    if proxy.uri().port_u16() == Some(0) {
        return Err("the port is not a number from 1 to 65535");
    }
    Ok(proxy)
}

/// The environment's proxy for the https server at `base_url`. `None` if the environment has none, or if `NO_PROXY`
/// lists the server.
///
/// # Errors
/// [`InvalidArgument`](crate::Status::InvalidArgument): a variable is not the URL of a proxy. The error names the
/// variable.
pub(crate) fn from_environment(base_url: &str) -> Result<Option<ureq::Proxy>, Error> {
    choose(base_url, |name| std::env::var_os(name))
}

fn choose(base_url: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<ureq::Proxy>, Error> {
    // An empty variable counts as unset, as in curl.
    let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
    let no_proxy = ["no_proxy", "NO_PROXY"].iter().find_map(set).unwrap_or_default();
    let Some((_, host, port, _)) = url::parts(base_url) else { return Ok(None) };
    if no_proxy::lists(&no_proxy.to_string_lossy(), &host, port) {
        return Ok(None);
    }
    let Some((name, value)) = VARIABLES.iter().find_map(|name| Some((name, set(name)?))) else { return Ok(None) };
    // Wiped when dropped: it can hold a password.
    let value = value.into_string().map(Zeroizing::new).map_err(|_| Error::invalid_argument(name, NOT_A_URL))?;
    parse(&value).map(Some).map_err(|problem| Error::invalid_argument(name, problem))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    /// The environment, and the proxy that curl, Python and this library use for an https server. Tests compare the
    /// columns of curl and Python with the programs. If these differ, this library does as curl does: Python ignores
    /// `all_proxy`, and an empty variable means "no proxy" to it.
    type Row =
        (&'static [(&'static str, &'static str)], Option<&'static str>, Option<&'static str>, Option<&'static str>);
    const TABLE: &[Row] = &[
        (&[], None, None, None),
        (&[("https_proxy", "a")], Some("a"), Some("a"), Some("a")),
        (&[("HTTPS_PROXY", "a")], Some("a"), Some("a"), Some("a")),
        (&[("https_proxy", "a"), ("HTTPS_PROXY", "b")], Some("a"), Some("a"), Some("a")),
        (&[("http_proxy", "a")], None, None, None),
        (&[("HTTP_PROXY", "a")], None, None, None),
        (&[("HTTPS_PROXY", "a"), ("all_proxy", "b")], Some("a"), Some("a"), Some("a")),
        (&[("all_proxy", "a")], Some("a"), None, Some("a")),
        (&[("ALL_PROXY", "a")], Some("a"), None, Some("a")),
        (&[("all_proxy", "a"), ("ALL_PROXY", "b")], Some("a"), None, Some("a")),
        (&[("https_proxy", ""), ("HTTPS_PROXY", "a")], Some("a"), None, Some("a")),
        (&[("https_proxy", ""), ("all_proxy", "a")], Some("a"), None, Some("a")),
        (&[("https_proxy", "a"), ("no_proxy", "example.test")], None, None, None),
        (&[("https_proxy", "a"), ("NO_PROXY", "example.test")], None, None, None),
        (&[("https_proxy", "a"), ("no_proxy", "x"), ("NO_PROXY", "*")], Some("a"), Some("a"), Some("a")),
        (&[("https_proxy", "a"), ("no_proxy", "*"), ("NO_PROXY", "x")], None, None, None),
        (&[("https_proxy", "a"), ("no_proxy", ""), ("NO_PROXY", "*")], None, Some("a"), None),
    ];

    /// The variables of a row, with a proxy URL for each name.
    fn environment(row: &Row, url: impl Fn(&str) -> String) -> Vec<(&'static str, String)> {
        let is_url = |name: &str, value: &str| !value.is_empty() && !name.eq_ignore_ascii_case("no_proxy");
        let value = |name, value| if is_url(name, value) { url(value) } else { value.to_owned() };
        row.0.iter().map(|(name, text)| (*name, value(name, text))).collect()
    }

    #[test]
    fn the_environment_s_proxy_is_that_of_the_table() {
        for row in TABLE {
            let environment = environment(row, |user| format!("http://{user}@proxy.test:3128"));
            let variable = |name: &str| environment.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into());
            let proxy = choose("https://example.test", variable).unwrap();
            assert_eq!(proxy.as_ref().and_then(ureq::Proxy::username), row.3, "{row:?}");
        }
    }

    #[test]
    fn curl_uses_the_proxy_of_the_table() {
        let Some(curl) = curl_or_skip() else { return };
        for row in TABLE {
            let environment = environment(row, |user| curl.proxy_url(user));
            let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(curl.run("https://example.test/", &environment).as_deref(), row.1, "{row:?}");
        }
    }

    #[test]
    fn python_uses_the_proxy_of_the_table() {
        let program = "import os, sys, urllib.request as request\n\
                       for line in sys.stdin.read().splitlines():\n    \
                           os.environ.clear()\n    \
                           os.environ.update(pair.split('=') for pair in line.split(';') if pair)\n    \
                           needed = not request.proxy_bypass_environment('example.test')\n    \
                           print(needed and request.getproxies_environment().get('https'))";
        let line =
            |row| environment(row, str::to_owned).iter().map(|(name, value)| format!("{name}={value};")).collect();
        let lines: Vec<String> = TABLE.iter().map(line).collect();
        let Some(output) = python_or_skip(program, &lines.join("\n")) else { return };
        assert_eq!(output.lines().count(), TABLE.len());
        for (row, proxy) in TABLE.iter().zip(output.lines()) {
            assert_eq!(Some(proxy).filter(|proxy| !["None", "False"].contains(proxy)), row.2, "{row:?}");
        }
    }

    /// curl, and a listener that is both its proxy and its server.
    pub(crate) struct Curl(TcpListener);

    /// `None` if curl is not installed. In CI, that is a failure.
    pub(crate) fn curl_or_skip() -> Option<Curl> {
        let version = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
        is_installed("curl", version.is_ok()).then(|| Curl(TcpListener::bind("127.0.0.1:0").unwrap()))
    }

    fn is_installed(program: &str, installed: bool) -> bool {
        if !installed {
            assert!(std::env::var_os("CI").is_none(), "CI must have {program}: see scripts/setup-ci");
            eprintln!("SKIPPED: no {program} here; `make setup-ci` installs it");
        }
        installed
    }

    impl Curl {
        /// The URL of the listener as a proxy. `user` tells the proxies apart.
        pub(crate) fn proxy_url(&self, user: &str) -> String {
            format!("http://{user}:x@{}", self.0.local_addr().unwrap())
        }

        /// The user name in the URL of the proxy that curl uses for `url` in this environment. `None` if it uses none.
        pub(crate) fn run(&self, url: &str, environment: &[(&str, &str)]) -> Option<String> {
            let mut curl = Command::new("curl")
                .args(["--disable", "--silent", "--max-time", "20", "--connect-to"])
                .arg(format!("::{}", self.0.local_addr().unwrap()))
                .arg(url)
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .envs(environment.iter().copied())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let (mut stream, _) = self.0.accept().unwrap();
            let mut beginning = [0];
            stream.read_exact(&mut beginning).unwrap();
            // A TLS handshake, which begins with this byte, is for the server itself.
            let proxy = (beginning != [0x16]).then(|| {
                let mut head = String::from_utf8_lossy(&beginning).into_owned();
                while !head.contains("\r\n\r\n") {
                    let mut piece = [0; 1024];
                    let length = stream.read(&mut piece).unwrap();
                    assert_ne!(length, 0, "{head}");
                    head.push_str(&String::from_utf8_lossy(&piece[..length]));
                }
                assert!(head.starts_with("CONNECT "), "{head}");
                let login = head.split_once("Proxy-Authorization: Basic ").unwrap().1.lines().next().unwrap();
                let login = String::from_utf8(BASE64_STANDARD.decode(login).unwrap()).unwrap();
                login.trim_end_matches(":x").to_owned()
            });
            drop(stream);
            let _ = curl.wait();
            proxy
        }
    }

    /// The output of a Python program. `None` if Python is not installed. In CI, that is a failure.
    pub(crate) fn python_or_skip(program: &str, input: &str) -> Option<String> {
        let python = Command::new("python3").args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        if !is_installed("python3", python.is_ok()) {
            return None;
        }
        let mut python = python.unwrap();
        python.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{program}");
        Some(String::from_utf8(output.stdout).unwrap())
    }
}
