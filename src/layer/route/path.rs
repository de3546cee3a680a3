//! Matches one reading of a path against the routes of the API.

use http::Method;
use memchr::{memchr, memrchr};

use super::spelling::ENCODED_SLASH;

/// Length of the shortest path after the prefix that can be a route, in bytes.
const SHORTEST: usize = b"a/blobs/b".len();

/// What a method can do to a manifest or blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// GET or HEAD.
    Pull,
    Put,
    Post,
    Delete,
    /// Not a method: the path of a `Location`, which names what exists.
    Name,
}

impl Verb {
    pub(super) fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Pull),
            Method::PUT => Some(Self::Put),
            Method::POST => Some(Self::Post),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Manifest,
    Blob,
    Upload,
}

/// What one reading of a path finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading<'a> {
    /// No route of the API.
    None,
    /// A route that emits no event, such as a list of tags.
    Silent,
    Event {
        resource: Resource,
        name: &'a [u8],
        /// Reference or digest; empty for an upload, whose id does not matter.
        rest: &'a [u8],
    },
}

/// Whether the length and the end of the path alone show that no reading of it can
/// be an event. This is cheaper than any reading.
pub(super) fn cannot_match(prefix: &str, verb: Verb, path: &[u8]) -> bool {
    // Decoding and resolving only shorten a path, and neither changes an end
    // without escapes and dots, so every reading of it lists tags or has no route.
    path.len() < prefix.len() + SHORTEST || (verb == Verb::Pull && path.ends_with(b"/tags/list"))
}

/// Matches the routes of the API that emit an event.
///
/// Matches from the end, because a name may contain any word of the API.
pub(super) fn operation<'a>(prefix: &str, verb: Verb, path: &'a [u8]) -> Reading<'a> {
    let Some(path) = inside(prefix, path) else {
        return Reading::None;
    };
    let is_list = path.len() > b"/tags/list".len() && path.ends_with(b"/tags/list");
    if verb == Verb::Pull && is_list {
        return Reading::Silent;
    }
    let mut end = path.len();
    // Whether a colon follows `end`. Each segment is searched once, so that a long path
    // of nothing but `referrers` takes linear time.
    let mut colon = false;
    while let Some((name, word)) = split_last(&path[..end]) {
        let rest = path.get(end + 1..).unwrap_or_default();
        end = name.len();
        let rest_has_colon = colon;
        colon = colon || (!word.is_empty() && memchr(b':', word).is_some());
        if name.is_empty() || rest.is_empty() {
            continue;
        }
        let resource = match word {
            b"manifests" if verb != Verb::Post => Resource::Manifest,
            b"blobs" => match (upload_id(rest), verb) {
                // Status and cancellation of an upload.
                (Some(_), Verb::Pull | Verb::Delete) => return Reading::Silent,
                // Some registries take an upload without an id, or a POST with
                // one. The response shows what it was.
                (Some(_), Verb::Post | Verb::Put | Verb::Name) => Resource::Upload,
                (None, Verb::Pull | Verb::Delete | Verb::Name) => Resource::Blob,
                _ => continue,
            },
            b"referrers" if verb == Verb::Pull && rest_has_colon => return Reading::Silent,
            _ => continue,
        };
        let rest = match resource {
            Resource::Upload => b"",
            Resource::Manifest | Resource::Blob => rest,
        };
        return Reading::Event {
            resource,
            name,
            rest,
        };
    }
    Reading::None
}

/// Matches the URLs of uploads that registries choose, as far as they show a
/// name: `<name>/uploads/<id>` and `<name>/blobs/upload/<id>`.
pub(super) fn foreign_upload<'a>(prefix: &str, path: &'a [u8]) -> Reading<'a> {
    let name = || {
        let (rest, id) = split_last(inside(prefix, path)?)?;
        let (name, word) = split_last(rest)?;
        let name = match word {
            b"uploads" => name,
            b"upload" => name.strip_suffix(b"/blobs")?,
            _ => return None,
        };
        (!name.is_empty() && !id.is_empty()).then_some(name)
    };
    match name() {
        Some(name) => Reading::Event {
            resource: Resource::Upload,
            name,
            rest: b"",
        },
        None => Reading::None,
    }
}

/// Returns the part after the prefix, without one slash at its end.
fn inside<'a>(prefix: &str, path: &'a [u8]) -> Option<&'a [u8]> {
    let path = path.strip_prefix(prefix.as_bytes())?;
    Some(path.strip_suffix(b"/").unwrap_or(path))
}

/// Returns the id of an upload, which may be empty, or `None` if `rest` is a
/// digest.
///
/// The slash after `uploads` may be encoded: no digest begins with `uploads`.
fn upload_id(rest: &[u8]) -> Option<&[u8]> {
    match rest.strip_prefix(b"uploads")? {
        [] => Some(b""),
        [b'/' | ENCODED_SLASH, id @ ..] => Some(id),
        _ => None,
    }
}

/// Returns what is before the last slash, and the segment after it.
fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    // A run of slashes, which may be long, is not searched.
    let at = match path.split_last()? {
        (b'/', before) => before.len(),
        _ => memrchr(b'/', path)?,
    };
    Some((&path[..at], &path[at + 1..]))
}
