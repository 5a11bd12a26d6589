//! Which servers need no proxy: the text of a `NO_PROXY` variable, read as curl and Python's urllib read it.
//!
//! The two programs differ. A server is reached directly if one of them would do so, since each entry was written for
//! one of them, and the answer to an entry that is not understood is a login that fails. The table in the tests has the
//! few exceptions.

use std::net::IpAddr;

/// Whether `no_proxy` lists the server at `host` and `port`. `host` is as in a URL: an IPv6 address has brackets.
pub(crate) fn lists(no_proxy: &str, host: &str, port: u16) -> bool {
    if no_proxy == "*" {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = address(host);
    no_proxy.split(|c: char| c == ',' || c.is_whitespace()).any(|entry| {
        let (entry, entry_port) = split_port(entry);
        if entry_port.is_some_and(|entry_port| entry_port.parse() != Ok(port)) {
            return false;
        }
        let entry = entry.trim_start_matches('.');
        match address {
            Some(address) => network_has(entry, address),
            None => is_domain_of(entry.strip_suffix('.').unwrap_or(entry), host),
        }
    })
}

/// An entry without and with its port. The colons of an IPv6 address without brackets belong to no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (entry, None),
    }
}

/// The address that a host is, with or without brackets.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Whether the domain is `host`, or one above it.
fn is_domain_of(domain: &str, host: &str) -> bool {
    let Some(start) = host.len().checked_sub(domain.len()).filter(|_| !domain.is_empty()) else {
        return false;
    };
    let (before, end) = host.as_bytes().split_at(start);
    end.eq_ignore_ascii_case(domain.as_bytes()) && (before.is_empty() || before.ends_with(b"."))
}

/// Whether an entry, `10.1.2.3` or `10.0.0.0/8`, has the address in it.
fn network_has(entry: &str, host: IpAddr) -> bool {
    let (network, prefix) = entry.split_once('/').unwrap_or((entry, ""));
    // As in curl, no length and a length of 0 both stand for the address alone.
    let prefix = prefix.parse().unwrap_or(0);
    let same_prefix = |host: u128, network: u128, bits: u32| {
        prefix <= bits && (host ^ network).checked_shr(if prefix == 0 { 0 } else { bits - prefix }).unwrap_or(0) == 0
    };
    match (host, address(network)) {
        (IpAddr::V4(host), Some(IpAddr::V4(network))) => {
            same_prefix(host.to_bits().into(), network.to_bits().into(), u32::BITS)
        }
        (IpAddr::V6(host), Some(IpAddr::V6(network))) => same_prefix(host.to_bits(), network.to_bits(), u128::BITS),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::tests::{curl_or_skip, python_or_skip};
    use crate::url;

    /// How a program reaches the server of a row.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Way {
        Direct,
        Proxy,
        /// Not the same in all versions of the program.
        Varies,
    }
    use Way::{Direct, Proxy, Varies};

    /// `NO_PROXY`, URL, curl, Python, this library. The test below asks curl and Python, so their columns are evidence.
    const TABLE: &[(&str, &str, Way, Way, Way)] = &[
        // A name, for its subdomains too.
        ("", "https://example.test/", Proxy, Proxy, Proxy),
        ("example.test", "https://example.test/", Direct, Direct, Direct),
        ("example.test", "https://cams.example.test/", Direct, Direct, Direct),
        ("example.test", "https://a.b.example.test/", Direct, Direct, Direct),
        ("example.test", "https://notexample.test/", Proxy, Proxy, Proxy),
        ("cams.example.test", "https://example.test/", Proxy, Proxy, Proxy),
        ("EXAMPLE.test", "https://Example.TEST/", Direct, Direct, Direct),
        ("test", "https://example.test/", Direct, Direct, Direct),
        ("https://example.test", "https://example.test/", Proxy, Proxy, Proxy),
        // Commas and blanks.
        ("other.test,example.test", "https://example.test/", Direct, Direct, Direct),
        ("other.test, example.test", "https://example.test/", Direct, Direct, Direct),
        (" other.test , example.test ", "https://example.test/", Direct, Direct, Direct),
        ("\texample.test\t", "https://example.test/", Direct, Direct, Direct),
        (",,example.test,", "https://example.test/", Direct, Direct, Direct),
        ("example.test other.test", "https://example.test/", Direct, Proxy, Direct),
        // Old versions of curl only.
        ("other.test example.test", "https://example.test/", Varies, Proxy, Direct),
        // Dots at either end.
        (".example.test", "https://example.test/", Direct, Direct, Direct),
        (".example.test", "https://cams.example.test/", Direct, Direct, Direct),
        (".example.test", "https://notexample.test/", Proxy, Proxy, Proxy),
        ("..example.test", "https://cams.example.test/", Proxy, Direct, Direct),
        ("example.test.", "https://example.test/", Direct, Proxy, Direct),
        ("example.test.", "https://cams.example.test/", Direct, Proxy, Direct),
        ("example.test.", "https://example.test./", Direct, Direct, Direct),
        ("example.test", "https://example.test./", Direct, Proxy, Direct),
        (".", "https://example.test/", Proxy, Proxy, Proxy),
        // A star is for all, alone only.
        ("*", "https://example.test/", Direct, Direct, Direct),
        ("*", "https://10.1.2.3/", Direct, Direct, Direct),
        ("*", "https://[::1]/", Direct, Direct, Direct),
        (" * ", "https://example.test/", Proxy, Proxy, Proxy),
        ("other.test,*", "https://example.test/", Proxy, Proxy, Proxy),
        ("*.example.test", "https://cams.example.test/", Proxy, Proxy, Proxy),
        ("cams.*", "https://cams.example.test/", Proxy, Proxy, Proxy),
        // A port.
        ("example.test", "https://example.test:8443/", Direct, Direct, Direct),
        ("example.test:8443", "https://example.test:8443/", Proxy, Direct, Direct),
        ("example.test:8443", "https://cams.example.test:8443/", Proxy, Direct, Direct),
        (".example.test:8443", "https://cams.example.test:8443/", Proxy, Direct, Direct),
        ("example.test:8443", "https://example.test:9443/", Proxy, Proxy, Proxy),
        ("example.test:8443", "https://example.test/", Proxy, Proxy, Proxy),
        ("example.test:443", "https://example.test:443/", Proxy, Direct, Direct),
        // Python sees a port only where it is written; it is the same server.
        ("example.test:443", "https://example.test/", Proxy, Proxy, Direct),
        ("example.test:port", "https://example.test/", Proxy, Proxy, Proxy),
        ("10.1.2.3:8443", "https://10.1.2.3:8443/", Proxy, Direct, Direct),
        // Addresses and their networks.
        ("10.1.2.3", "https://10.1.2.3/", Direct, Direct, Direct),
        ("10.1.2.3", "https://10.1.2.4/", Proxy, Proxy, Proxy),
        (".10.1.2.3", "https://10.1.2.3/", Proxy, Direct, Direct),
        ("10.0.0.0/8", "https://10.1.2.3/", Direct, Proxy, Direct),
        ("10.0.0.0/8", "https://11.1.2.3/", Proxy, Proxy, Proxy),
        ("10.9.9.9/8", "https://10.1.2.3/", Direct, Proxy, Direct),
        ("10.1.2.0/23", "https://10.1.3.9/", Direct, Proxy, Direct),
        ("10.1.2.0/23", "https://10.1.4.9/", Proxy, Proxy, Proxy),
        ("10.1.2.3/32", "https://10.1.2.3/", Direct, Proxy, Direct),
        ("10.1.2.3/33", "https://10.1.2.3/", Proxy, Proxy, Proxy),
        ("10.0.0.0/8", "https://example.test/", Proxy, Proxy, Proxy),
        ("10.", "https://10.1.2.3/", Proxy, Proxy, Proxy),
        ("10.1.2.*", "https://10.1.2.3/", Proxy, Proxy, Proxy),
        // A prefix length of 0 counts as none: not a second way to write the star.
        ("0.0.0.0/0", "https://10.1.2.3/", Proxy, Proxy, Proxy),
        ("10.1.2.3/0", "https://10.1.2.3/", Direct, Proxy, Direct),
        // Python takes the end of an address for a domain; whoever wrote this did not mean that.
        ("2.3", "https://10.1.2.3/", Proxy, Direct, Proxy),
        // IPv6. The manual of curl promises networks; its versions differ.
        ("::1", "https://[::1]/", Direct, Proxy, Direct),
        ("::1", "https://[::1]:8443/", Direct, Proxy, Direct),
        ("[::1]", "https://[::1]/", Proxy, Direct, Direct),
        ("[::1]:8443", "https://[::1]:8443/", Proxy, Direct, Direct),
        ("[::1]:8443", "https://[::1]:9443/", Proxy, Proxy, Proxy),
        ("2001:DB8::7", "https://[2001:db8::7]/", Direct, Proxy, Direct),
        ("0:0:0:0:0:0:0:1", "https://[::1]/", Varies, Proxy, Direct),
        ("2001:db8::/32", "https://[2001:db8::7]/", Varies, Proxy, Direct),
        ("2001:db8::/32", "https://[2001:db9::7]/", Proxy, Proxy, Proxy),
        ("2001:db8::/129", "https://[2001:db8::]/", Proxy, Proxy, Proxy),
        ("10.0.0.0/8", "https://[2001:db8::7]/", Proxy, Proxy, Proxy),
    ];

    #[test]
    fn a_host_needs_a_proxy_or_none_as_the_table_says() {
        let wrong: Vec<_> = TABLE
            .iter()
            .filter(|(no_proxy, url, .., ours)| {
                let (_, host, port, _) = url::place(url).unwrap();
                lists(no_proxy, &host, port) != (*ours == Direct)
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn the_table_differs_from_both_programs_only_where_it_says_why() {
        let direct_for_one = |row: &&(_, _, Way, Way, Way)| (row.2 == Direct || row.3 == Direct) == (row.4 == Direct);
        let exceptions: Vec<_> =
            TABLE.iter().filter(|row| row.2 != Varies && !direct_for_one(row)).map(|row| row.0).collect();
        assert_eq!(exceptions, ["example.test:443", "2.3"]);
    }

    #[test]
    fn curl_does_what_the_table_says() {
        let Some(curl) = curl_or_skip() else { return };
        for row in TABLE.iter().filter(|row| row.2 != Varies) {
            let (no_proxy, url) = (row.0, row.1);
            let proxy = curl.run(url, &[("https_proxy", &curl.proxy_url("")), ("no_proxy", no_proxy)]);
            assert_eq!(if proxy.is_some() { Proxy } else { Direct }, row.2, "NO_PROXY={no_proxy:?} {url}");
        }
    }

    #[test]
    fn python_does_what_the_table_says() {
        let program = "import os, sys, urllib.parse, urllib.request\n\
                       for line in sys.stdin.read().splitlines():\n    \
                           os.environ['no_proxy'], url = line.split('|')\n    \
                           print(urllib.request.proxy_bypass_environment(urllib.parse.urlsplit(url).netloc))";
        let rows: String = TABLE.iter().map(|row| format!("{}|{}\n", row.0, row.1)).collect();
        let Some(output) = python_or_skip(program, &rows) else { return };
        let ways: Vec<Way> = output.lines().map(|line| if line == "True" { Direct } else { Proxy }).collect();
        let wanted: Vec<Way> = TABLE.iter().map(|row| row.3).collect();
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(ways.get(i), wanted.get(i), "{row:?}");
        }
    }
}
