//! Where an endpoint posts, and with which headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// The URL without user info, and that as an `Authorization` header.
pub(crate) fn target(url: &str) -> Option<(Uri, Option<HeaderValue>)> {
    let mut parts = url.parse::<Uri>().ok()?.into_parts();
    matches!(parts.scheme.as_ref()?.as_str(), "http" | "https").then_some(())?;
    let authority = parts.authority.clone()?;
    let (user_info, host) = match authority.as_str().rsplit_once('@') {
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority.as_str()),
    };
    let host: Authority = host.parse().ok()?;
    let port = host.as_str().strip_prefix(host.host())?;
    (!host.host().is_empty() && (port.is_empty() || host.port_u16().is_some())).then_some(())?;
    parts.authority = Some(host);
    let authorization = user_info.map(|user_info| {
        let (name, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let decode = |text| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
        let pair = [decode(name), vec![b':'], decode(password)].concat();
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
        value.set_sensitive(true);
        Some(value)
    });
    let authorization = match authorization {
        Some(None) => return None,
        Some(value) => value,
        None => None,
    };
    Some((Uri::from_parts(parts).ok()?, authorization))
}

/// The headers of every request, or the number of the one that is not valid.
pub(crate) fn headers(
    given: &[(String, String)],
    authorization: Option<HeaderValue>,
) -> Result<HeaderMap, usize> {
    let mut headers = HeaderMap::new();
    for (number, (name, value)) in given.iter().enumerate() {
        let valid = name.parse::<HeaderName>().ok();
        let valid = valid.zip(HeaderValue::try_from(value).ok());
        // A secret may have been given in place of the name.
        let (header, mut value) = valid.ok_or(number + 1)?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    if let Some(value) = authorization {
        headers.entry(AUTHORIZATION).or_insert(value);
    }
    Ok(headers)
}
