//! Reads a `NO_PROXY` variable, which lists the servers that need no proxy.
//!
//! curl and Python's urllib read it in different ways, and each variable was written for one of them. So an entry
//! counts if it counts for one of the two: an entry that is ignored makes every login fail. The table in the tests has
//! the few exceptions.

use std::net::IpAddr;

/// Whether `no_proxy` lists the server at `host` and `port`. As in a URL, an IPv6 address in `host` has brackets.
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

/// Splits an entry into host and port. The last colon of an IPv6 address without brackets begins no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (entry, None),
    }
}

/// The IP address of a host, with or without brackets. `None` if the host is a name.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Whether `domain` is `host` or a domain above it.
fn is_domain_of(domain: &str, host: &str) -> bool {
    let Some(start) = host.len().checked_sub(domain.len()).filter(|_| !domain.is_empty()) else {
        return false;
    };
    let (before, end) = host.as_bytes().split_at(start);
    end.eq_ignore_ascii_case(domain.as_bytes()) && (before.is_empty() || before.ends_with(b"."))
}

/// Whether an entry, such as `10.1.2.3` or `10.0.0.0/8`, contains the address.
fn network_has(entry: &str, host: IpAddr) -> bool {
    let (network, prefix) = entry.split_once('/').unwrap_or((entry, ""));
    // As in curl, an entry without a length or with a length of 0 stands for the address alone.
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
    enum Route {
        Direct,
        Proxy,
        /// It depends on the version of the program.
        Varies,
    }
    use Route::{Direct, Proxy, Varies};

    /// `NO_PROXY`, URL, curl, Python, this library. Tests compare the columns of curl and Python with the programs.
    const TABLE: &[(&str, &str, Route, Route, Route)] = &[
        // A name, which includes its subdomains.
        ("", "https://example.test/", Proxy, Proxy, Proxy),
        ("example.test", "https://example.test/", Direct, Direct, Direct),
        ("example.test", "https://cams.example.test/", Direct, Direct, Direct),
        ("example.test", "https://a.b.example.test/", Direct, Direct, Direct),
        ("example.test", "https://notexample.test/", Proxy, Proxy, Proxy),
        ("cams.example.test", "https://example.test/", Proxy, Proxy, Proxy),
        ("EXAMPLE.test", "https://Example.TEST/", Direct, Direct, Direct),
        ("test", "https://example.test/", Direct, Direct, Direct),
        ("https://example.test", "https://example.test/", Proxy, Proxy, Proxy),
        // Commas and spaces.
        ("other.test,example.test", "https://example.test/", Direct, Direct, Direct),
        ("other.test, example.test", "https://example.test/", Direct, Direct, Direct),
        (" other.test , example.test ", "https://example.test/", Direct, Direct, Direct),
        ("\texample.test\t", "https://example.test/", Direct, Direct, Direct),
        (",,example.test,", "https://example.test/", Direct, Direct, Direct),
        ("example.test other.test", "https://example.test/", Direct, Proxy, Direct),
        // Only old versions of curl.
        ("other.test example.test", "https://example.test/", Varies, Proxy, Direct),
        // Dots at the beginning or the end.
        (".example.test", "https://example.test/", Direct, Direct, Direct),
        (".example.test", "https://cams.example.test/", Direct, Direct, Direct),
        (".example.test", "https://notexample.test/", Proxy, Proxy, Proxy),
        ("..example.test", "https://cams.example.test/", Proxy, Direct, Direct),
        ("example.test.", "https://example.test/", Direct, Proxy, Direct),
        ("example.test.", "https://cams.example.test/", Direct, Proxy, Direct),
        ("example.test.", "https://example.test./", Direct, Direct, Direct),
        ("example.test", "https://example.test./", Direct, Proxy, Direct),
        (".", "https://example.test/", Proxy, Proxy, Proxy),
        // A star alone stands for all servers.
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
        // To Python, a URL without a port does not match. It is the same server.
        ("example.test:443", "https://example.test/", Proxy, Proxy, Direct),
        ("example.test:port", "https://example.test/", Proxy, Proxy, Proxy),
        ("10.1.2.3:8443", "https://10.1.2.3:8443/", Proxy, Direct, Direct),
        // Addresses and networks.
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
        // A prefix length of 0 counts as no length, not as a star.
        ("0.0.0.0/0", "https://10.1.2.3/", Proxy, Proxy, Proxy),
        ("10.1.2.3/0", "https://10.1.2.3/", Direct, Proxy, Direct),
        // Python takes the end of an address for a domain. No user means that.
        ("2.3", "https://10.1.2.3/", Proxy, Direct, Proxy),
        // IPv6. The manual of curl promises networks, but its versions differ.
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
    fn a_server_is_reached_directly_if_the_table_says_so() {
        let wrong: Vec<_> = TABLE
            .iter()
            .filter(|(no_proxy, url, .., ours)| {
                let (_, host, port, _) = url::parts(url).unwrap();
                lists(no_proxy, &host, port) != (*ours == Direct)
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn this_library_differs_from_both_programs_only_in_the_known_exceptions() {
        let direct_for_one =
            |row: &&(_, _, Route, Route, Route)| (row.2 == Direct || row.3 == Direct) == (row.4 == Direct);
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
        let routes: Vec<Route> = output.lines().map(|line| if line == "True" { Direct } else { Proxy }).collect();
        let wanted: Vec<Route> = TABLE.iter().map(|row| row.3).collect();
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(routes.get(i), wanted.get(i), "{row:?}");
        }
    }
}
