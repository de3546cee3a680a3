//! What a `Location` header names: a URL, and the repository in it.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

use super::path::{self, Verb};
use super::{readings, spelling};

/// Returns the name in the `Location` of a 2xx response to a PUT or POST.
///
/// `location` is an http(s) URL or a path, relative to `request` if it does not
/// begin with a slash. Its path must begin with the prefix, as that of a
/// request must, and name a manifest, blob or upload. It is read literally:
/// the registry spells its own names. `None` if the readings of an encoded
/// slash disagree on the name.
pub(in crate::layer) fn location_repository(
    prefix: &str,
    request: &Uri,
    location: &str,
) -> Option<String> {
    let path = location_path(request, location)?;
    readings::find_literal(path.as_bytes(), |reading| {
        path::operation(prefix, Verb::Name, reading)
    })?
    .name
}

/// Whether the name in a `Location` is the request's own with more or less
/// percent-encoding. The registry may put a name into its URL as it is, or
/// encode one that is still encoded.
pub(in crate::layer) fn same_name(request: &str, located: &str) -> bool {
    fn decoded(name: &str) -> Cow<'_, str> {
        percent_decode_str(name).decode_utf8_lossy()
    }
    request == located || decoded(request) == located || request == decoded(located)
}

/// Returns the path and query of the URL that a `Location` names, which may be
/// relative to `request`.
pub(in crate::layer) fn location_url(request: &Uri, location: &str) -> Option<Uri> {
    let end = location.find('#').unwrap_or(location.len());
    let location = &location[..end];
    let (path, query) = location.split_at(location.find('?').unwrap_or(end));
    let path = match path {
        "" => Cow::Borrowed(request.path()),
        path => location_path(request, path)?,
    };
    [&path, query].concat().parse().ok()
}

/// Returns the path of a URI reference ([RFC 3986]), without query and fragment.
///
/// [RFC 3986]: https://www.rfc-editor.org/rfc/rfc3986#section-4.1
fn location_path<'a>(request: &Uri, location: &'a str) -> Option<Cow<'a, str>> {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let location = &location[..end];
    let scheme = location.split_once(':');
    let rest = match scheme.filter(|(scheme, _)| !scheme.contains('/')) {
        Some((scheme, rest)) => {
            let is_web = ["http", "https"]
                .iter()
                .any(|web| web.eq_ignore_ascii_case(scheme));
            if !is_web || !rest.starts_with("//") {
                return None;
            }
            rest
        }
        None => location,
    };
    if let Some(authority) = rest.strip_prefix("//") {
        let at = authority.find('/')?;
        return Some(Cow::Borrowed(&authority[at..]));
    }
    match rest.as_bytes().first()? {
        b'/' => Some(Cow::Borrowed(rest)),
        _ => relative(request.path(), rest).map(Cow::Owned),
    }
}

fn relative(request: &str, location: &str) -> Option<String> {
    let slash = request.rfind('/')?;
    let path = [&request[..=slash], location].concat();
    let mut resolved = vec![0; path.len()];
    let length = spelling::resolve(path.as_bytes(), &mut resolved, true, false);
    resolved.truncate(length);
    String::from_utf8(resolved).ok()
}
