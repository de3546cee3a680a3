//! Hosts that are reached without a proxy: [`NoProxy`].

use std::net::IpAddr;

use crate::networks::Networks;

/// The value of `NO_PROXY`, parsed like in Go's `golang.org/x/net/http/httpproxy`.
///
/// Entries are separated by commas and compared without regard to case.
///
/// | entry | matches |
/// | --- | --- |
/// | `*` | every host |
/// | `10.0.0.0/8`, `fd00::/8` | the addresses of a network |
/// | `192.0.2.1`, `[::1]:8443` | an address, on all ports or one |
/// | `example.com`, `example.com:8080` | a name and its subdomains, on all ports or one |
/// | `.example.com`, `*.example.com` | only the subdomains |
///
/// The matcher of hyper-util follows curl: it does not support ports, and `.example.com`
/// also matches `example.com`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NoProxy {
    all: bool,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    host: Host,
    /// `None` matches every port.
    port: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Network(Networks),
    /// A name in lower case, and whether it matches the name itself or only its subdomains.
    Domain(String, bool),
}

impl NoProxy {
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.split(',').map(|it| it.trim().to_lowercase());
        let mut parsed = Self::default();
        for entry in entries.filter(|entry| !entry.is_empty()) {
            match &*entry {
                "*" => parsed.all = true,
                entry => parsed.entries.extend(Entry::parse(entry)),
            }
        }
        parsed
    }

    /// Whether `host` is reached without a proxy. As in a URL, IPv6 addresses are in
    /// brackets.
    pub(super) fn matches(&self, host: &str, port: u16) -> bool {
        let host = host.to_lowercase();
        let address = bare(&host).parse::<IpAddr>().ok();
        // Never through a proxy, whatever the list says: to a proxy, these mean the
        // proxy's own machine.
        let is_loopback = address.is_some_and(|it| it.to_canonical().is_loopback());
        if is_loopback || matches!(&*host, "localhost" | "localhost.") || self.all {
            return true;
        }
        let port = port.to_string();
        let mut entries = self.entries.iter();
        entries
            .any(|it| it.matches(&host, address) && it.port.as_ref().is_none_or(|it| *it == port))
    }
}

impl Entry {
    /// Returns `None` if the entry has no host.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(network) = Networks::parse("", [text]) {
            return Some(Self {
                host: Host::Network(network),
                port: None,
            });
        }
        // Several colons without brackets are an IPv6 address without a port.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let host = bare(host);
        let host = match Networks::parse("", [host]) {
            Ok(address) => Host::Network(address),
            Err(_) => {
                let below = host.strip_prefix('*').filter(|it| it.starts_with('.'));
                let domain = below.unwrap_or(host);
                match domain.strip_prefix('.') {
                    Some(domain) => Host::Domain(domain.to_owned(), false),
                    None => Host::Domain(domain.to_owned(), true),
                }
            }
        };
        let is_empty = matches!(&host, Host::Domain(domain, _) if domain.is_empty());
        let port = port.map(str::to_owned);
        (!is_empty).then_some(Self { host, port })
    }

    fn matches(&self, host: &str, address: Option<IpAddr>) -> bool {
        match (&self.host, address) {
            (Host::Network(network), Some(address)) => network.contain(address),
            (Host::Domain(domain, itself), None) => match host.strip_suffix(&**domain) {
                Some("") => *itself,
                Some(below) => below.ends_with('.'),
                None => false,
            },
            _ => false,
        }
    }
}

fn bare(host: &str) -> &str {
    let inside = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inside.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the table in Go's own test, `httpproxy/proxy_test.go`.
    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        const LIST: &str = "foobar.com, .barbaz.net, *.wild.org, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, \
             10.0.0.0/30, 2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, \
             2002:db8:a::45/64, ported.com:8080, UPPER.com, , :80";
        let list = NoProxy::parse(LIST);
        for (host, port, direct) in [
            ("localhost", 80, true),
            ("LOCALHOST", 8080, true),
            ("localhost.", 80, true),
            ("127.0.0.1", 80, true),
            ("127.0.0.2", 80, true),
            ("[::1]", 80, true),
            ("[::ffff:127.0.0.1]", 80, true),
            ("[::2]", 80, false),
            ("192.168.1.1", 80, true),
            ("192.168.1.2", 80, false),
            ("192.168.1.2", 81, true),
            ("192.168.1.3", 80, true),
            ("192.168.1.4", 80, false),
            ("10.0.0.2", 80, true),
            ("10.0.0.4", 80, false),
            ("[2001:db8::52:0:1]", 80, true),
            ("[2001:db8::52:0:2]", 80, false),
            ("[2001:db8::52:0:2]", 443, true),
            ("[2001:db8::52:0:3]", 80, true),
            ("[2002:db8:a::123]", 80, true),
            ("[fe80::424b:c8be:1643:a1b6]", 80, false),
            ("barbaz.net", 80, false),
            ("www.barbaz.net", 80, true),
            ("wild.org", 80, false),
            ("www.wild.org", 80, true),
            ("foobar.com", 80, true),
            ("www.foobar.com", 80, true),
            ("foofoobar.com", 80, false),
            ("baz.com", 80, false),
            ("localhost.net", 80, false),
            ("local.localhost", 80, false),
            ("barbarbaz.net", 80, false),
            ("ported.com", 8080, true),
            ("ported.com", 80, false),
            ("www.ported.com", 8080, true),
            ("upper.COM", 80, true),
        ] {
            assert_eq!(list.matches(host, port), direct, "{host}:{port}");
        }
        let all = NoProxy::parse("foo, *");
        assert!(all.matches("example.com", 80) && all.matches("192.0.2.1", 80));
        let none = NoProxy::parse("");
        assert!(!none.matches("example.com", 80) && none.matches("localhost", 80));
    }
}
