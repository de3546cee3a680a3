//! The id of a request.

use http::{Extensions, HeaderName};

use super::headers::EndToEnd;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of the longest id.
const LIMIT: usize = 128;

/// Returns the id that a server has set, else one that a trusted proxy sends. Returns
/// `None` if a new one is needed: clients must not choose ids, because they could
/// repeat that of another request.
pub(super) fn request_id<'a>(
    extensions: &'a Extensions,
    headers: EndToEnd<'a>,
    trusted: bool,
) -> Option<&'a str> {
    let sent = || {
        if !trusted {
            return None;
        }
        let id = headers.single(&REQUEST_ID).text()?;
        id.bytes().all(is_usual).then_some(id)
    };
    extended(extensions)
        .or_else(sent)
        .filter(|id| is_bounded(id))
}

/// Whether an id is neither empty nor too long.
pub(super) fn is_bounded(id: &str) -> bool {
    (1..=LIMIT).contains(&id.len())
}

fn is_usual(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte)
}

/// Returns the id that a server has set. tower-http keeps one that the client has
/// sent, so its length is bounded too.
#[cfg(feature = "tower-http-0-6")]
fn extended(extensions: &Extensions) -> Option<&str> {
    let id = extensions.get::<tower_http::request_id::RequestId>()?;
    let id = id.header_value().to_str().ok()?;
    is_bounded(id).then_some(id)
}

#[cfg(not(feature = "tower-http-0-6"))]
fn extended(_: &Extensions) -> Option<&str> {
    None
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn id(extensions: &Extensions, given: &[&str], trusted: bool) -> Option<String> {
        let value = |it: &&str| HeaderValue::from_bytes(it.as_bytes()).unwrap();
        let given = given.iter().map(|it| (REQUEST_ID, value(it)));
        let headers: HeaderMap = given.collect();
        request_id(extensions, EndToEnd::of(&headers), trusted).map(Into::into)
    }

    #[test]
    fn a_sane_id_is_kept_if_a_trusted_proxy_sends_it() {
        let none = Extensions::new();
        let longest = "x".repeat(LIMIT);
        for sane in ["id-1", "a_b.c:d/e+f=@", &longest] {
            assert_eq!(id(&none, &[sane], true).as_deref(), Some(sane));
            assert_eq!(id(&none, &[sane], false), None, "{sane}");
        }
        let long = "x".repeat(LIMIT + 1);
        for odd in [
            &["a b"][..],
            &["é"],
            &[""],
            &["a\"b"],
            &[&long],
            &["a", "a"],
            &[],
        ] {
            assert_eq!(id(&none, odd, true), None, "{odd:?}");
        }
    }

    #[cfg(feature = "tower-http-0-6")]
    #[test]
    fn an_id_that_a_server_has_set_counts_first() {
        let set = |id: &str| {
            let mut extensions = Extensions::new();
            let id = HeaderValue::from_bytes(id.as_bytes()).unwrap();
            extensions.insert(tower_http::request_id::RequestId::new(id));
            extensions
        };
        for trusted in [true, false] {
            let given = id(&set("{set} here"), &["sent"], trusted);
            assert_eq!(given.as_deref(), Some("{set} here"));
        }
        // Any other id came from the client.
        for odd in ["é", "", &"x".repeat(LIMIT + 1)] {
            assert_eq!(id(&set(odd), &["sent"], true).as_deref(), Some("sent"));
            assert_eq!(id(&set(odd), &["sent"], false), None);
        }
    }
}
