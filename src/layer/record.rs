//! From request headers: who asks, from where, under which address.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, FORWARDED, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};

use super::Settings;
use crate::bridge::UrlBuilder;
use crate::error::BuildError;
use crate::event::{ActorRecord, RequestRecord, new_id};
use crate::networks::Networks;

/// Address of the client, as a request extension: for servers that are not
/// axum, whose `ConnectInfo` the layer knows by itself (feature `axum`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Whose `X-Forwarded-For`, `X-Real-IP`, `Forwarded`, `X-Forwarded-Host`,
/// `X-Forwarded-Proto` and `X-Request-Id` are believed.
///
/// Anybody can send these headers; believe them only when every request comes
/// through a proxy that sets or removes them. The reference believes everyone.
///
/// With the feature `tower-http`, an id that a server has set counts first. But
/// `SetRequestIdLayer` takes the one that the client has sent, if there is one:
/// remove that header outside of it where clients are not to choose ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Trust);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Trust {
    #[default]
    None,
    All,
    Networks(Networks),
}

impl TrustedProxies {
    /// Nobody's. This is the default.
    pub fn none() -> Self {
        Self(Trust::None)
    }

    /// Everybody's, as the reference does.
    pub fn all() -> Self {
        Self(Trust::All)
    }

    /// Those of peers in one of these networks (`10.0.0.0/8`, `::1`).
    ///
    /// The client is then the last address in `X-Forwarded-For` that is in none
    /// of them: what a client itself put before it is not believed. A request
    /// whose peer address is not known comes from no proxy.
    ///
    /// # Errors
    ///
    /// When one of them is not an address or a network.
    pub fn networks<T: AsRef<str>>(
        networks: impl IntoIterator<Item = T>,
    ) -> Result<Self, BuildError> {
        let networks = Networks::parse("trusted proxies", networks)?;
        Ok(Self(Trust::Networks(networks)))
    }

    fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match &self.0 {
            Trust::None => false,
            Trust::All => true,
            Trust::Networks(networks) => peer.is_some_and(|peer| networks.contain(peer)),
        }
    }

    /// Which of the addresses that a request passed is the client's.
    fn client(&self, hops: &[&str]) -> Option<IpAddr> {
        if let Trust::Networks(_) = self.0 {
            for hop in hops.iter().rev() {
                let address = address(hop)?;
                if !self.trusts(Some(address)) {
                    return Some(address);
                }
            }
        }
        address(hops.first()?)
    }
}

/// Where the URLs in events begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseUrl(Base);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Base {
    #[default]
    FromRequest,
    Fixed(UrlBuilder),
}

impl BaseUrl {
    /// At the scheme and host that the client asked for, as the reference
    /// does. This is the default.
    pub fn from_request() -> Self {
        Self(Base::FromRequest)
    }

    /// At this URL, for example `https://registry.example.com`.
    ///
    /// # Errors
    ///
    /// When it is not an `http` or `https` URL with a host, or has user info,
    /// a query or a fragment.
    pub fn fixed(url: &str) -> Result<Self, BuildError> {
        let parsed = url.parse::<Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.query().is_none()
                && uri.authority().is_some_and(|it| !it.as_str().contains('@'))
                && !url.contains('#')
        });
        match parsed {
            Some(_) => Ok(Self(Base::Fixed(UrlBuilder::new(url)))),
            None => Err(BuildError::new(
                "base URL",
                crate::redact::without_user_info(url),
                "write scheme, host and at most a path, like https://registry.example.com",
            )),
        }
    }

    /// Without scheme and host: `/v2/<name>/…`.
    pub fn relative() -> Self {
        Self(Base::Fixed(UrlBuilder::relative()))
    }
}

/// What a request says of itself, taken before the inner service gets it.
pub(super) struct Origin {
    pub(super) request: RequestRecord,
    /// Who acts, if the response does not say it.
    pub(super) actor: ActorRecord,
    pub(super) urls: UrlBuilder,
}

impl Origin {
    pub(super) fn of(parts: &Parts, settings: &Settings) -> Self {
        let peer = peer(parts, settings);
        let trusted = settings.trusted_proxies.trusts(peer.map(|peer| peer.ip()));
        let headers = &parts.headers;
        let host = host(parts);
        let mut request = RequestRecord::new(request_id(parts, trusted), method(&parts.method));
        request.addr = trusted
            .then(|| forwarded_address(headers, &settings.trusted_proxies))
            .flatten()
            .map(|address| address.to_string())
            .or_else(|| peer.map(|peer| peer.to_string()))
            .unwrap_or_default();
        request.user_agent = headers.get(USER_AGENT).map(text).unwrap_or_default();
        request.trace_parent = trace_parent(headers).unwrap_or_default();
        let urls = match &settings.base_url.0 {
            Base::Fixed(urls) => urls.clone(),
            Base::FromRequest => requested_base(parts, settings, &host, trusted),
        };
        request.host = host;
        Self {
            request,
            actor: actor(parts, settings),
            urls,
        }
    }
}

fn method(method: &http::Method) -> &'static str {
    // Only these have routes.
    match *method {
        http::Method::GET => "GET",
        http::Method::HEAD => "HEAD",
        http::Method::PUT => "PUT",
        http::Method::POST => "POST",
        _ => "DELETE",
    }
}

fn peer(parts: &Parts, settings: &Settings) -> Option<SocketAddr> {
    let told = settings.peer_addr.as_ref().and_then(|peer| peer(parts));
    let peer = told.or_else(|| parts.extensions.get::<PeerAddr>().map(|peer| peer.0));
    #[cfg(feature = "axum")]
    let peer = peer.or_else(|| {
        let info = parts
            .extensions
            .get::<axum::extract::ConnectInfo<SocketAddr>>();
        info.map(|info| info.0)
    });
    peer
}

/// An id that a server set wins; one that the client sent counts only if it
/// came through a trusted proxy, for it would let clients forge ids.
fn request_id(parts: &Parts, trusted: bool) -> String {
    #[cfg(feature = "tower-http")]
    if let Some(id) = parts.extensions.get::<tower_http::request_id::RequestId>() {
        return text(id.header_value());
    }
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte))
    };
    let sent = parts.headers.get("x-request-id").filter(|_| trusted);
    sent.and_then(|id| id.to_str().ok())
        .filter(sane)
        .map_or_else(new_id, Into::into)
}

/// The `traceparent` of a request, if it is valid by [W3C Trace Context] and
/// the only one. What a later version than 00 adds is left out, as it asks for.
///
/// [W3C Trace Context]: https://www.w3.org/TR/trace-context/#traceparent-header
fn trace_parent(headers: &HeaderMap) -> Option<String> {
    const LENGTH: usize = 55;
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (known, more) = value.to_str().ok()?.split_at_checked(LENGTH)?;
    let mut fields = known.split('-');
    let mut field = |length| fields.next().filter(|it| is_hex(it, length));
    let (version, trace) = (field(2)?, field(32)?);
    let (parent, flags) = (field(16)?, field(2)?);
    let set = |id: &str| id.bytes().any(|digit| digit != b'0');
    let ends = more.is_empty() || (version != "00" && more.starts_with('-'));
    if version == "ff" || !set(trace) || !set(parent) || !ends {
        return None;
    }
    // The one flag of version 00: the trace is recorded.
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    Some(match version {
        "00" => known.into(),
        _ => format!("00-{trace}-{parent}-0{sampled}"),
    })
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(digit)
}

/// The host of an absolute URI (HTTP/2's `:authority`) is the one that counts
/// (RFC 9112, section 3.2.2).
fn host(parts: &Parts) -> String {
    match parts.uri.authority() {
        Some(authority) => {
            let host = authority.as_str();
            host.rsplit_once('@').map_or(host, |(_, host)| host).into()
        }
        None => parts.headers.get(HOST).map(text).unwrap_or_default(),
    }
}

fn requested_base(parts: &Parts, settings: &Settings, host: &str, trusted: bool) -> UrlBuilder {
    let headers = &parts.headers;
    let mut scheme = match parts.uri.scheme_str() {
        _ if settings.https => "https",
        Some(scheme) => scheme,
        None => "http",
    };
    let mut host = host;
    if trusted {
        // As in the reference, `Forwarded` hides the others, even if it says nothing.
        let (proto, forwarded_host) = match header(headers, FORWARDED.as_str()) {
            Some(forwarded) => (
                forwarded_parameter(forwarded, "proto").next(),
                forwarded_parameter(forwarded, "host").next(),
            ),
            None => (
                header(headers, "x-forwarded-proto"),
                header(headers, "x-forwarded-host"),
            ),
        };
        scheme = first(proto).unwrap_or(scheme);
        host = first(forwarded_host).unwrap_or(host);
    }
    let path = settings.prefix.strip_suffix("v2/").unwrap_or("/");
    UrlBuilder::new([scheme, "://", host, path].concat())
}

fn forwarded_address(headers: &HeaderMap, proxies: &TrustedProxies) -> Option<IpAddr> {
    let values = |name| {
        let values = headers.get_all(name).into_iter();
        values.filter_map(|value: &HeaderValue| value.to_str().ok())
    };
    let hops: Vec<_> = values("x-forwarded-for")
        .flat_map(|value| value.split(','))
        .collect();
    if let Some(client) = proxies.client(&hops) {
        return Some(client);
    }
    let hops: Vec<_> = values("forwarded")
        .flat_map(|value| forwarded_parameter(value, "for"))
        .collect();
    if let Some(client) = proxies.client(&hops) {
        return Some(client);
    }
    address(header(headers, "x-real-ip")?)
}

/// An address, alone or with a port, as `Forwarded` and some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()))
        .ok()
}

/// The values of one parameter of `Forwarded` (RFC 7239, section 4), in order.
fn forwarded_parameter<'a>(value: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    value
        .split([',', ';'])
        .filter_map(|pair| pair.split_once('='))
        .filter(move |(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().trim_matches('"'))
}

/// The first entry of a list that each proxy appends to.
fn first(list: Option<&str>) -> Option<&str> {
    let first = list?.split(',').next()?.trim();
    (!first.is_empty()).then_some(first)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty()).then_some(value)
}

fn actor(parts: &Parts, settings: &Settings) -> ActorRecord {
    if let Some(actor) = parts.extensions.get::<ActorRecord>() {
        return actor.clone();
    }
    if let Some(actor) = settings.actor.as_ref().and_then(|actor| actor(parts)) {
        return actor;
    }
    let name = settings
        .basic_auth_actor
        .then(|| basic_auth_name(&parts.headers))
        .flatten();
    ActorRecord::new(name.unwrap_or_default())
}

/// The user name of Basic authentication (RFC 7617), never the password.
fn basic_auth_name(headers: &HeaderMap) -> Option<String> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut name = STANDARD.decode(credentials.trim()).ok()?;
    name.truncate(name.iter().position(|byte| *byte == b':')?);
    String::from_utf8(name)
        .ok()
        .filter(|name| !name.chars().any(char::is_control))
}

/// A header's text; each byte that is not UTF-8 becomes U+FFFD, as in Go.
fn text(value: &HeaderValue) -> String {
    let mut text = String::with_capacity(value.len());
    for chunk in value.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    fn given<const N: usize>(values: [&str; N]) -> Option<String> {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let name = http::HeaderName::from_static("traceparent");
        trace_parent(
            &values
                .map(|text| (name.clone(), value(text)))
                .into_iter()
                .collect(),
        )
    }

    #[test]
    fn a_valid_trace_parent_is_kept_and_a_later_one_brought_to_version_00() {
        for (version, end, kept) in [
            ("00", "-01", Some("01")),
            ("00", "-a2", Some("a2")),
            ("00", "-01-", None),
            ("00", "-01-more", None),
            ("cc", "-03", Some("01")),
            ("cc", "-02-what-comes", Some("00")),
            ("cc", "-02.what-comes", None),
            ("ff", "-01", None),
            ("0", "-01", None),
            ("0A", "-01", None),
            ("00", "-0", None),
            ("00", "-0x", None),
            ("00", "", None),
        ] {
            let kept = kept.map(|flags| format!("00-{IDS}-{flags}"));
            assert_eq!(
                given([&*format!("{version}-{IDS}{end}")]),
                kept,
                "{version} {end}"
            );
        }
    }

    #[test]
    fn trace_parents_that_are_not_valid_are_none() {
        let (trace, parent) = IDS.split_once('-').unwrap();
        for wrong in [
            "".into(),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-00000000000000000000000000000000-{parent}-01"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{trace}{parent}--01"),
            format!("00-{trace}-{parent}_01"),
            format!(" 00-{trace}-{parent}-01"),
        ] {
            assert_eq!(given([&*wrong]), None, "{wrong:?}");
        }
        let right = format!("00-{IDS}-01");
        assert_eq!(given([&*right, &*right]), None, "two of them");
        assert_eq!(given([]), None);
        let text = HeaderValue::from_bytes(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é".as_bytes(),
        );
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), text.unwrap())]);
        assert_eq!(trace_parent(&headers), None);
    }
}
