//! The client as the proxies in front of the layer describe it.
//!
//! Only the headers of a trusted peer are read. They are still untrusted input: a
//! proxy passes on what its client sent before what it appends itself.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderName;
use http::header::FORWARDED;

use super::headers::EndToEnd;
use super::proxies::{TrustedProxies, address};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The largest number of elements of `Forwarded` that are read. With more the header
/// is unclear. No request passes through that many proxies.
const ELEMENTS: usize = 64;

/// What the proxies state about one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Stated<T> {
    #[default]
    Nothing,
    Value(T),
    /// It cannot be read, or can be read in more than one way.
    Unclear,
}

/// The client as the proxies in front of the layer state it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Client<'a> {
    pub(super) address: Option<IpAddr>,
    pub(super) scheme: Stated<Cow<'a, str>>,
    pub(super) host: Stated<Cow<'a, str>>,
}

impl<'a> Client<'a> {
    /// Reads the headers of a request that comes from a trusted proxy.
    pub(super) fn of(headers: EndToEnd<'a>, proxies: &TrustedProxies) -> Self {
        let element = forwarded(headers, proxies);
        let address = listed_address(headers, proxies)
            .or_else(|| match &element {
                Stated::Value(Element { client, .. }) => address(client.as_deref()?),
                Stated::Nothing | Stated::Unclear => None,
            })
            .or_else(|| address(headers.single(&REAL_IP).text()?));
        // As in the reference, the other headers are ignored if there is a `Forwarded`, even
        // one without scheme and host.
        let (scheme, host) = match element {
            Stated::Value(element) => (element.scheme.into(), element.host.into()),
            Stated::Unclear => (Stated::Unclear, Stated::Unclear),
            Stated::Nothing => (
                outermost(headers, &FORWARDED_PROTO),
                outermost(headers, &FORWARDED_HOST),
            ),
        };
        Self {
            address,
            scheme,
            host,
        }
    }
}

impl<T> From<Option<T>> for Stated<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Self::Value)
    }
}

/// Returns the client's address in `X-Forwarded-For`. The list is not copied,
/// because it may be long.
fn listed_address(headers: EndToEnd<'_>, proxies: &TrustedProxies) -> Option<IpAddr> {
    // A value that is not ASCII counts as one hop that cannot be read, which ends
    // the search.
    let values = headers.all(&FORWARDED_FOR);
    let values = values.map(|value| value.to_str().unwrap_or_default());
    let hops = values.flat_map(|value| value.split(','));
    address(proxies.client(hops, |hop| address(hop))?)
}

/// Returns the first entry of a list that each proxy appends to.
fn outermost<'a>(headers: EndToEnd<'a>, name: &HeaderName) -> Stated<Cow<'a, str>> {
    match headers.first(name).map(|value| value.to_str()) {
        None | Some(Ok("")) => Stated::Nothing,
        Some(Ok(list)) => {
            let entry = list.split(',').next().unwrap_or_default();
            Stated::Value(entry.trim().into())
        }
        Some(Err(_)) => Stated::Unclear,
    }
}

/// What one proxy states in `Forwarded` (RFC 7239, section 4).
#[derive(Debug, Default, PartialEq, Eq)]
struct Element<'a> {
    client: Option<Cow<'a, str>>,
    scheme: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
}

/// Returns the element of the proxy that the client spoke to.
fn forwarded<'a>(headers: EndToEnd<'a>, proxies: &TrustedProxies) -> Stated<Element<'a>> {
    let mut elements = Vec::new();
    for value in headers.all(&FORWARDED) {
        let read = value.to_str().ok().and_then(|value| {
            let mut unread = value;
            while !unread.is_empty() && elements.len() < ELEMENTS {
                let (element, rest) = element(unread)?;
                elements.extend(element);
                unread = rest;
            }
            unread.is_empty().then_some(())
        });
        if read.is_none() {
            return Stated::Unclear;
        }
    }
    let named = |it: &Element<'_>| address(it.client.as_deref()?);
    proxies.client(elements.into_iter(), named).into()
}

/// Splits off the first element, which is `None` if it is empty. Returns `None`
/// if it cannot be read or has a parameter twice.
fn element(text: &str) -> Option<(Option<Element<'_>>, &str)> {
    let mut element = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with([',', ';']) && !rest.is_empty() {
            let element = element.get_or_insert_with(Element::default);
            let (name, unread) = rest.split_once('=')?;
            let (value, unread) = value(unread)?;
            rest = unread.trim_start();
            let known = match name {
                _ if !is_token(name) => return None,
                _ if name.eq_ignore_ascii_case("for") => Some(&mut element.client),
                _ if name.eq_ignore_ascii_case("proto") => Some(&mut element.scheme),
                _ if name.eq_ignore_ascii_case("host") => Some(&mut element.host),
                _ => None,
            };
            if known.is_some_and(|known| known.replace(value).is_some()) {
                return None;
            }
        }
        if rest.is_empty() {
            return Some((element, rest));
        }
        if let Some(rest) = rest.strip_prefix(',') {
            return Some((element, rest));
        }
        rest = rest.strip_prefix(';')?;
    }
}

/// Splits off a value: a quoted string or a token. A token may have colons and
/// brackets, which RFC 7239 requires to be quoted and some proxies leave bare.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = |it: char| matches!(it, ',' | ';' | '"') || it.is_whitespace();
        let (value, rest) = text.split_at(text.find(end).unwrap_or(text.len()));
        return (!value.is_empty()).then_some((value.into(), rest));
    };
    let (plain, rest) = quoted.split_at(quoted.find(['"', '\\'])?);
    if let Some(rest) = rest.strip_prefix('"') {
        return Some((plain.into(), rest));
    }
    let mut value = plain.to_owned();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value.into(), characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

fn is_token(name: &str) -> bool {
    let known = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
    !name.is_empty() && name.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn client(proxies: &TrustedProxies, given: &[(HeaderName, &str)]) -> (String, String, String) {
        let given = given.iter().map(|(name, it)| {
            (
                name.clone(),
                HeaderValue::from_bytes(it.as_bytes()).unwrap(),
            )
        });
        let headers: HeaderMap = given.collect();
        let client = Client::of(EndToEnd::of(&headers), proxies);
        let text = |said| match said {
            Stated::Nothing => "-".into(),
            Stated::Unclear => "?".into(),
            Stated::Value(text) => Cow::into_owned(text),
        };
        let address = client.address.map_or("-".into(), |it| it.to_string());
        (address, text(client.scheme), text(client.host))
    }

    #[track_caller]
    fn assert_forwarded(values: &[&str], all: [&str; 3], some: [&str; 3]) {
        let given: Vec<_> = values.iter().map(|it| (FORWARDED, *it)).collect();
        let networks = TrustedProxies::networks(["10.0.0.0/8"]).unwrap();
        for (proxies, wanted) in [(TrustedProxies::all(), all), (networks, some)] {
            let (address, scheme, host) = client(&proxies, &given);
            assert_eq!(
                [&*address, &scheme, &host],
                wanted,
                "{proxies:?} {values:?}"
            );
        }
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_says() {
        for (value, said) in [
            (
                "for=192.0.2.1;proto=https;host=r",
                ["192.0.2.1", "https", "r"],
            ),
            (
                "FOR=\"[2001:db8::1]:4711\" ; Proto=http ; by=x",
                ["2001:db8::1", "http", "-"],
            ),
            ("for=192.0.2.1:80;host=r:5000", ["192.0.2.1", "-", "r:5000"]),
            ("host=\"a,b;c=\\\"d\"", ["-", "-", "a,b;c=\"d"]),
            ("for=unknown", ["-", "-", "-"]),
            ("secret=x", ["-", "-", "-"]),
            (",, ;host=r", ["-", "-", "r"]),
            ("", ["-", "-", "-"]),
        ] {
            assert_forwarded(&[value], said, said);
        }
    }

    #[test]
    fn forwarded_that_is_no_list_of_elements_is_unclear() {
        let long = "for=10.0.0.1,".repeat(ELEMENTS + 1);
        for value in [
            "host",
            "host=",
            "=r",
            "ho st=r",
            "host=r x",
            "host=\"r",
            "host=\"r\"x",
            "host=\"r\\",
            "host=a;host=a",
            "host=a;HOST=b",
            "proto=https;;proto=http",
            "host=é",
            "host=r;;x",
            &*long,
        ] {
            assert_forwarded(&[value], ["-", "?", "?"], ["-", "?", "?"]);
            assert_forwarded(&[value, "host=r"], ["-", "?", "?"], ["-", "?", "?"]);
        }
        assert_forwarded(&["host=a", "junk"], ["-", "?", "?"], ["-", "?", "?"]);
    }

    #[test]
    fn the_element_of_the_outermost_trusted_proxy_counts() {
        let forged = ["6.6.6.6", "-", "evil"];
        let ours = ["7.7.7.7", "https", "r"];
        let chain = "for=7.7.7.7;host=r;proto=https, for=10.0.0.9;host=inner";
        assert_forwarded(&["for=6.6.6.6;host=evil", chain], forged, ours);
        let one = &["for=6.6.6.6;host=evil,", chain].concat();
        assert_forwarded(&[one], forged, ours);
        let inside = "for=10.0.0.8;host=a, for=10.0.0.9;host=b";
        assert_forwarded(&[inside], ["10.0.0.8", "-", "a"], ["10.0.0.8", "-", "a"]);
        let hidden = "for=6.6.6.6;host=evil, for=_x;host=r";
        assert_forwarded(&[hidden], forged, ["-", "-", "r"]);
    }

    #[test]
    fn forwarded_hides_the_other_headers() {
        let others = [
            (FORWARDED_HOST, "x.example, y"),
            (FORWARDED_PROTO, "https"),
            (REAL_IP, "8.8.8.8"),
        ];
        let all = TrustedProxies::all();
        let texts = |texts: [&str; 3]| texts.map(str::to_owned).into();
        let wanted = texts(["8.8.8.8", "https", "x.example"]);
        assert_eq!(client(&all, &others), wanted);
        for (value, wanted) in [
            ("host=f.example", ["8.8.8.8", "-", "f.example"]),
            ("by=x", ["8.8.8.8", "-", "-"]),
            ("junk", ["8.8.8.8", "?", "?"]),
        ] {
            let mut given = others.to_vec();
            given.push((FORWARDED, value));
            assert_eq!(client(&all, &given), texts(wanted), "{value}");
        }
        // Named by `Connection`, it is as if it was not there.
        let mut given = others.to_vec();
        given.push((FORWARDED, "host=f.example"));
        given.push((http::header::CONNECTION, "Forwarded, X-Real-IP"));
        let wanted = texts(["-", "https", "x.example"]);
        assert_eq!(client(&all, &given), wanted);
    }

    #[test]
    fn addresses_that_cannot_be_read_are_none() {
        let all = TrustedProxies::all();
        let some = TrustedProxies::networks(["10.0.0.0/8"]).unwrap();
        let none = |it: (String, String, String)| assert_eq!(it.0, "-");
        let long = "x,".repeat(100_000);
        for value in ["junk", "é", "", ",", "\"1.2.3.4\"", &*long] {
            none(client(&all, &[(FORWARDED_FOR, value)]));
            none(client(&some, &[(FORWARDED_FOR, value)]));
            none(client(
                &some,
                &[(FORWARDED_FOR, "6.6.6.6"), (FORWARDED_FOR, value)],
            ));
        }
        none(client(&all, &[(REAL_IP, "1.1.1.1"), (REAL_IP, "2.2.2.2")]));
        let proxies = "10.0.0.1,".repeat(100_000) + "10.0.0.2";
        let given = [(FORWARDED_FOR, "7.7.7.7"), (FORWARDED_FOR, &*proxies)];
        assert_eq!(client(&some, &given).0, "7.7.7.7");
    }
}
