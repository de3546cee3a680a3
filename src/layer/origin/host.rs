//! The host that a client requests.

use http::Uri;
use http::header::HOST;

use super::headers::{EndToEnd, Single};
use super::omitted::{Fact, Omitted};
use crate::host::LIMIT;
use crate::redact::split_user_info;

/// Returns the host of the request target, else that of a single `Host`.
///
/// The host of an absolute URI, which is where HTTP/2 has its `:authority`,
/// overrides `Host` (RFC 9112, section 3.2.2). A host that Go's servers refuse is
/// omitted.
pub(super) fn requested<'a>(
    uri: &'a Uri,
    headers: EndToEnd<'a>,
    omitted: &mut Omitted,
) -> Option<&'a str> {
    let host = match (uri.authority(), headers.single(&HOST)) {
        // User info must not get into events: it may have a password.
        (Some(authority), _) => Some(split_user_info(authority.as_str()).1),
        (None, Single::Value(host)) => host.to_str().ok(),
        (None, Single::Absent | Single::Unclear) => None,
    };
    let host = host.filter(|host| (1..=LIMIT).contains(&host.len()) && is_host(host));
    if host.is_none() {
        omitted.add(Fact::Host);
    }
    host
}

/// The bytes that Go's servers accept in `Host`: those of RFC 3986's host and
/// port. There is no `@` among them.
fn is_host(text: &str) -> bool {
    text.bytes().all(|byte| IN_HOST[usize::from(byte)])
}

/// Whether a byte may be in `Host`, by its value.
const IN_HOST: [bool; 256] = {
    let mut known = [false; 256];
    let marks = b"!$%&()*+,-.:;='[]_~";
    let mut mark = 0;
    while mark < marks.len() {
        known[marks[mark] as usize] = true;
        mark += 1;
    }
    let mut byte = 0;
    while byte < 256 {
        known[byte] |= (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    known
};
