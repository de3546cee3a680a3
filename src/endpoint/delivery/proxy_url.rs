//! Parses the URL of a proxy from an environment variable: [`canonical`].

use http::uri::Authority;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::redact::split_user_info;

/// Returns the URL of a proxy in canonical form: the scheme in lower case, and user and
/// password percent-encoded, so that an `@` in a password does not end the user info.
///
/// As in Go, the scheme defaults to `http`, and path, query and fragment are dropped.
/// Returns `None` if the host or port is invalid, or if the scheme is not `http`, `https`,
/// `socks5` or `socks5h`.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(&*scheme, "http" | "https" | "socks5" | "socks5h") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user_info, host) = split_user_info(authority);
    let host: Authority = host.parse().ok()?;
    let port = host.as_str().strip_prefix(host.host())?;
    if host.host().is_empty() || !port.is_empty() && host.port_u16().is_none() {
        return None;
    }
    let encoded = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&bytes, NON_ALPHANUMERIC).to_string()
    };
    let user_info = match user_info.map(|it| it.split_once(':').unwrap_or((it, ""))) {
        Some((user, password)) => format!("{}:{}@", encoded(user), encoded(password)),
        None => String::new(),
    };
    Some(format!("{scheme}://{user_info}{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_proxy_is_read_as_go_reads_it() {
        for (text, url) in [
            ("http://proxy:3128", Some("http://proxy:3128")),
            ("proxy", Some("http://proxy")),
            ("proxy:3128/", Some("http://proxy:3128")),
            ("proxy:3128/path?a#b", Some("http://proxy:3128")),
            ("HTTP://Proxy", Some("http://Proxy")),
            ("SOCKS5://proxy:1080", Some("socks5://proxy:1080")),
            ("[::1]:3128", Some("http://[::1]:3128")),
            ("https://[2001:db8::1]", Some("https://[2001:db8::1]")),
            ("me@proxy", Some("http://me:@proxy")),
            ("me:hush@proxy:1", Some("http://me:hush@proxy:1")),
            ("http://me:hu@sh@proxy", Some("http://me:hu%40sh@proxy")),
            ("http://me:hu%40s%3Ah@p", Some("http://me:hu%40s%3Ah@p")),
            ("http://me:hu:sh@proxy", Some("http://me:hu%3Ash@proxy")),
            ("http://mé:hüsh@p", Some("http://m%C3%A9:h%C3%BCsh@p")),
            ("", None),
            ("http://", None),
            ("http://:3128", None),
            ("http://proxy:port", None),
            ("http://proxy:65536", None),
            ("http://me:hu/sh@proxy", None),
            ("http://pro xy", None),
            ("socks4://proxy", None),
            ("ftp://proxy", None),
        ] {
            assert_eq!(canonical(text).as_deref(), url, "{text}");
        }
    }
}
