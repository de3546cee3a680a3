//! The URL that an endpoint posts to, and its configured headers.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST as HOST_HEADER, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};

use crate::basic_auth;
use crate::error::{BuildError, Mistakes};
use crate::host::is_valid_in_url;
use crate::redact::split_user_info;

const URL: &str = "write one like https://receiver.example.com/events";
const UNIX: &str = "Unix sockets are not supported: forward a TCP port to the socket \
                    (socat TCP-LISTEN:8080,bind=127.0.0.1,fork UNIX-CONNECT:/path), \
                    or use a client of your own (Endpoint::client)";
const HOST: &str = "write an international host name in its ASCII form (xn--…)";
const HEADER_NAME: &str = "the name is not valid: use letters, digits and dashes";
const HEADER_VALUE: &str = "the value is not valid: remove line breaks and control characters";
const ZONE: &str = "write the IPv6 address without its zone";

/// The characters that Go encodes in a path, so that a URL may contain them.
const ENCODED: &AsciiSet = &AsciiSet::EMPTY
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Returns the URL without user info, which becomes an `Authorization` header.
/// Characters that are not valid in a URL, such as spaces and those that are not ASCII,
/// are percent-encoded.
///
/// # Errors
///
/// If the URL is not valid. The error says what to write instead.
pub(crate) fn target(url: &str) -> Result<(Uri, Option<HeaderValue>), &'static str> {
    let lower = url.to_ascii_lowercase();
    let unix = ["unix:", "http+unix:", "http://unix:/", "https://unix:/"];
    if unix.iter().any(|start| lower.starts_with(start)) {
        return Err(UNIX);
    }
    let rest = url.split_once("://").ok_or(URL)?.1;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.starts_with('[') && host.contains('%') {
        return Err(ZONE);
    }
    if !host.is_ascii() || host.contains('%') {
        return Err(HOST);
    }
    // Such characters are encoded in a path. In the host and around the URL they are mistakes.
    if url.trim() != url || utf8_percent_encode(host, ENCODED).to_string() != host {
        return Err(URL);
    }
    let url = utf8_percent_encode(url, ENCODED).to_string();
    let mut parts = url.parse::<Uri>().map_err(|_| URL)?.into_parts();
    let scheme = parts.scheme.as_ref().map(http::uri::Scheme::as_str);
    let (Some("http" | "https"), Some(authority)) = (scheme, &parts.authority) else {
        return Err(URL);
    };
    let (user_info, host) = split_user_info(authority.as_str());
    let host: Authority = host.parse().map_err(|_| URL)?;
    let port = host.as_str().strip_prefix(host.host()).ok_or(URL)?;
    let has_valid_port = port.is_empty() || host.port_u16().is_some();
    if host.host().is_empty() || !has_valid_port {
        return Err(URL);
    }
    let authorization = user_info.map(|it| basic(it).ok_or(URL)).transpose()?;
    parts.authority = Some(host);
    Ok((Uri::from_parts(parts).map_err(|_| URL)?, authorization))
}

fn basic(user_info: &str) -> Option<HeaderValue> {
    let (name, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let decode = |text| percent_decode_str(text).collect::<Vec<u8>>();
    basic_auth::authorization(&decode(name), &decode(password))
}

/// Returns the headers of every request. A mistake names a header only by its number,
/// from 1, because a secret may have been given in place of the name.
pub(crate) fn headers(
    of: &str,
    given: &[(String, String)],
    authorization: Option<HeaderValue>,
) -> Result<HeaderMap, BuildError> {
    let mut mistakes = Mistakes::default();
    let mut headers = HeaderMap::new();
    for (number, (name, value)) in (1..).zip(given) {
        let wrong = |message| BuildError::at(&format!("{of}header {number}"), message);
        match header(name, value, &headers).map_err(wrong) {
            Ok((name, value)) => drop(headers.append(name, value)),
            Err(mistake) => mistakes.add(mistake),
        }
    }
    if let Some(value) = authorization {
        headers.entry(AUTHORIZATION).or_insert(value);
    }
    mistakes.or(headers)
}

/// Returns the header that follows `others`.
fn header(
    name: &str,
    value: &str,
    others: &HeaderMap,
) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name: HeaderName = name.parse().map_err(|_| HEADER_NAME)?;
    let mut value = HeaderValue::try_from(value).map_err(|_| HEADER_VALUE)?;
    if is_framing(&name) {
        return Err("the client sets this header itself: remove it");
    }
    if name == HOST_HEADER && (others.contains_key(&name) || !is_host(&value)) {
        return Err("Host is one host, with or without a port");
    }
    value.set_sensitive(true);
    Ok((name, value))
}

fn is_host(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(is_valid_in_url)
}

/// Whether a header says where a message or a connection ends. One that is wrong would
/// cut bodies off, or make a part of them the next request.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    const FRAMING: [HeaderName; 6] = [
        CONNECTION,
        CONTENT_LENGTH,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    FRAMING.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_becomes_a_header() {
        let (url, authorization) = target("http://me:hu%73h@h/p?q").unwrap();
        assert_eq!(url, "http://h/p?q");
        assert_eq!(authorization.unwrap(), "Basic bWU6aHVzaA==");
        let (_, authorization) = target("http://mé:ü@h/").unwrap();
        assert_eq!(authorization.unwrap(), "Basic bcOpOsO8");
    }

    #[test]
    fn a_configured_host_is_one_host() {
        let given = |hosts: &[&str]| -> Vec<_> {
            let header = |host: &&str| ("host".to_owned(), (*host).to_owned());
            hosts.iter().map(header).collect()
        };
        for hosts in [&["h"][..], &["events.example.com:8443"], &["[::1]:80"]] {
            assert_eq!(headers("", &given(hosts), None).unwrap().len(), 1);
        }
        for hosts in [&["a", "b"][..], &["a b"], &["me:hush@h"], &[""], &["h/p"]] {
            let error = headers("", &given(hosts), None).unwrap_err().to_string();
            assert!(error.ends_with("Host is one host, with or without a port"));
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_socket_of_unix_is_refused_with_the_remedy() {
        for url in [
            "unix:/run/hook.sock",
            "unix:///run/hook.sock",
            "http+unix://%2Frun%2Fhook",
            "UNIX:/run/hook.sock",
            "http://unix:/run/hook.sock:/events",
        ] {
            assert_eq!(target(url).unwrap_err(), UNIX, "{url}");
        }
        assert!(UNIX.contains("socat TCP-LISTEN"));
        assert!(target("http://unix:8080/").is_ok() && target("http://unix/").is_ok());
    }

    #[test]
    fn a_url_with_characters_that_no_url_has_is_percent_encoded_as_in_go() {
        let (url, authorization) = target("http://me:a b|c@h/a b/{x}|^`<>\"\\?q={y} z").unwrap();
        assert_eq!(
            url,
            "http://h/a%20b/%7Bx%7D%7C%5E%60%3C%3E%22%5C?q=%7By%7D%20z"
        );
        assert_eq!(authorization.unwrap(), "Basic bWU6YSBifGM=");
        for (wrong, remedy) in [
            ("http://a b/", URL),
            ("http://a{b}/", URL),
            (" http://h/", URL),
            ("http://h/ ", URL),
            ("http://h/\n", URL),
            ("http://[fe80::1%25eth0]/", ZONE),
        ] {
            assert_eq!(target(wrong).unwrap_err(), remedy, "{wrong:?}");
        }
    }

    #[test]
    fn a_url_with_characters_that_are_not_ascii_is_percent_encoded() {
        let (url, _) = target("https://h:8443/événements/事件?équipe=été&x=%C3%A9").unwrap();
        assert_eq!(
            url,
            "https://h:8443/%C3%A9v%C3%A9nements/%E4%BA%8B%E4%BB%B6\
             ?%C3%A9quipe=%C3%A9t%C3%A9&x=%C3%A9"
        );
        assert!(url.to_string().is_ascii());
        for host in [
            "https://bücher.example/",
            "https://me:hush@bücher.example/",
            "http://a%20b/",
        ] {
            assert_eq!(target(host).unwrap_err(), HOST, "{host}");
        }
        assert!(target("https://xn--bcher-kva.example/").is_ok());
    }
}
