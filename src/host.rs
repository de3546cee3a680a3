//! Checks hosts before they become part of a URL: [`is_valid_in_url`].
//!
//! A client chooses the host of its request, and receivers open the URLs of events.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The size in bytes of the longest host with its port. DNS names have up to 253
/// characters (RFC 1035).
pub(crate) const LIMIT: usize = 512;

/// Whether a URL with this host and port is valid for every reader of events.
///
/// The host must be an IP address, or a name of letters, digits, hyphens and
/// underscores. The grammar of RFC 3986 allows nearly anything else, which readers
/// take in different ways.
pub(crate) fn is_valid_in_url(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => ("", port),
            _ => return false,
        },
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            if !is_name(name) {
                return false;
            }
            (name, port)
        }
    };
    let valid_port = match port.strip_prefix(':') {
        Some(port) => port.bytes().all(|it| it.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    name.len() + port.len() <= LIMIT && valid_port
}

fn is_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    // The length of the label so far, and whether it has digits only.
    let (mut length, mut digits) = (0, true);
    for byte in labels.bytes() {
        match byte {
            b'.' if length > 0 => (length, digits) = (0, true),
            b'-' | b'_' => (length, digits) = (length + 1, false),
            _ if byte.is_ascii_alphanumeric() => {
                length += 1;
                digits &= byte.is_ascii_digit();
            }
            _ => return false,
        }
    }
    // Browsers read a host that ends in a number as an IPv4 address, or reject it.
    let last = labels.get(labels.len() - length..).unwrap_or_default();
    let number = digits || last.starts_with("0x");
    length > 0 && (!number || labels.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_valid_in_urls() {
        for host in [
            "registry",
            "registry.example.com:5000",
            "my_registry-1:80",
            "r.example.com.",
            "10.0.0.1:5",
            "[::1]",
            "[2001:db8::1]:443",
            "REG.example",
        ] {
            assert!(is_valid_in_url(host), "{host}");
        }
    }

    #[test]
    fn hosts_with_characters_that_are_not_valid() {
        let long = "a".repeat(LIMIT + 1);
        for host in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "me@r",
            "me:secret@r",
            "\"r\"",
            "r\"",
            "'r'",
            "<r>",
            "a%20b",
            "a,b",
            "a;b",
            "r:",
            "r:x",
            "r:+5",
            "r:65536",
            "r:5:6",
            ":5000",
            "::1",
            "[::1",
            "[::1]5",
            "[::1]:x",
            "[x]",
            "[]",
            "1.2.3",
            "300.1.1.1",
            "1.2.3.4.5",
            "0x7f.1",
            "é",
            &*long,
        ] {
            assert!(!is_valid_in_url(host), "{host}");
        }
    }
}
