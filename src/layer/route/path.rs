//! The ways to read a path, and what they agree on.
//!
//! Registries differ in how they read an unusual path. Each way is a *reading*:
//!
//! - *literal*: the path is percent-decoded once and taken as it is;
//! - *resolved*: dot segments, repeated slashes or both are resolved first.
//!
//! If the literal reading finds a route, it counts: a registry that resolves
//! usually answers with a redirect, and any other stores under the literal
//! name. If it finds none, a resolved one counts.
//!
//! An encoded slash doubles the readings, because it separates segments for a
//! registry that decodes the whole path, and not for one that splits it first.

use http::Method;

/// Paths up to this length, in bytes, are read without allocating.
pub(super) const STACK_PATH: usize = 1024;

/// Stands for an encoded slash that does not separate segments. Never part of
/// UTF-8, and never the result of [`decode`] for another byte.
const ENCODED_SLASH: u8 = 0xff;

/// Bytes of the shortest part after the prefix that can be a route.
const SHORTEST: usize = b"a/blobs/b".len();

/// What a method can do to a manifest or blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// GET or HEAD.
    Pull,
    Put,
    Post,
    Delete,
    /// No request: the path of a `Location`, which names what exists.
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
pub(super) enum Kind {
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
        kind: Kind,
        name: &'a [u8],
        /// Reference or digest; empty for an upload, whose id does not matter.
        rest: &'a [u8],
    },
}

/// What all readings together find. `name` and `rest` are `None` where the
/// readings of an encoded slash disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
    pub(super) rest: Option<String>,
    pub(super) ambiguous: bool,
}

/// Whether no reading of the path can be an event, decided from its length and
/// its end alone: cheaper than any reading.
pub(super) fn is_hopeless(prefix: &str, verb: Verb, path: &[u8]) -> bool {
    // Decoding and resolving only shorten a path. Neither changes an end that
    // is spelled plainly, so every reading of it lists tags or is no route.
    path.len() < prefix.len() + SHORTEST || (verb == Verb::Pull && path.ends_with(b"/tags/list"))
}

/// Matches `path` as `operation` does, over all its readings.
pub(super) fn find<F>(path: &[u8], operation: F) -> Option<Match>
where
    F: for<'a> Fn(&'a [u8]) -> Reading<'a>,
{
    if is_plain(path) {
        return Found::new(operation(path)).into_match(false);
    }
    with_buffers(path.len(), |decoded, scratch| {
        let length = decode(path, decoded, b'/');
        let whole = resolutions(&decoded[..length], scratch, &operation);
        if !has_encoded_slash(path) {
            return whole.into_match();
        }
        let length = decode(path, decoded, ENCODED_SLASH);
        let split = resolutions(&decoded[..length], scratch, &operation);
        agree(split, whole)
    })
}

/// Matches `path` as `operation` does, without resolving anything.
pub(super) fn find_literal<F>(path: &[u8], operation: F) -> Option<Match>
where
    F: for<'a> Fn(&'a [u8]) -> Reading<'a>,
{
    with_buffers(path.len(), |decoded, _| {
        let mut read = |slash| {
            let length = decode(path, decoded, slash);
            Resolved::literal(Found::new(operation(&decoded[..length])))
        };
        let whole = read(b'/');
        agree(read(ENCODED_SLASH), whole)
    })
}

/// A [`Reading`] that outlives the buffer which it was read from. Only an event
/// allocates.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    None,
    Silent,
    Event {
        kind: Kind,
        name: String,
        rest: String,
    },
}

impl Found {
    fn new(reading: Reading<'_>) -> Self {
        match reading {
            Reading::None => Self::None,
            Reading::Silent => Self::Silent,
            Reading::Event { kind, name, rest } => Self::Event {
                kind,
                name: text(name),
                rest: text(rest),
            },
        }
    }

    fn into_match(self, ambiguous: bool) -> Option<Match> {
        match self {
            Self::None | Self::Silent => None,
            Self::Event { kind, name, rest } => Some(Match {
                kind,
                name: Some(name),
                rest: Some(rest),
                ambiguous,
            }),
        }
    }
}

/// What the literal and the resolved readings find together.
struct Resolved {
    found: Found,
    ambiguous: bool,
}

impl Resolved {
    fn literal(found: Found) -> Self {
        Self {
            found,
            ambiguous: false,
        }
    }

    fn into_match(self) -> Option<Match> {
        self.found.into_match(self.ambiguous)
    }

    /// Adds a reading that counts less than those before it.
    fn add(&mut self, found: Found) {
        match (&self.found, &found) {
            (_, Found::None) => {}
            (Found::None, _) => self.found = found,
            // Some registry takes it for an event, so there must be one.
            (Found::Silent, Found::Event { .. }) => {
                self.found = found;
                self.ambiguous = true;
            }
            (earlier, later) => self.ambiguous |= earlier != later,
        }
    }
}

fn resolutions<F>(path: &[u8], scratch: &mut [u8], operation: &F) -> Resolved
where
    F: for<'a> Fn(&'a [u8]) -> Reading<'a>,
{
    let mut resolved = Resolved::literal(Found::new(operation(path)));
    if is_resolved(path) {
        return resolved;
    }
    // As most servers do; as RFC 3986 does, which keeps empty segments; and as
    // servers do that merge slashes only.
    for (dots, slashes) in [(true, true), (true, false), (false, true)] {
        let length = resolve(path, scratch, dots, slashes);
        resolved.add(Found::new(operation(&scratch[..length])));
    }
    resolved
}

/// Joins the readings of an encoded slash: `split` takes it for a part of its
/// segment, `whole` for a separator. What they disagree on is left out.
fn agree(split: Resolved, whole: Resolved) -> Option<Match> {
    let ambiguous = split.ambiguous || whole.ambiguous;
    match (split.found, whole.found) {
        (Found::None, found) => found.into_match(whole.ambiguous),
        (found, Found::None) => found.into_match(split.ambiguous),
        (found, same) if found == same => found.into_match(ambiguous),
        (Found::Event { name: one, .. }, Found::Event { kind, name, .. }) => Some(Match {
            kind,
            name: (one == name).then_some(name),
            rest: None,
            ambiguous: true,
        }),
        // For some registry the path is a list of tags, say, and for another
        // one a pull: there must be an event, but nothing is known about it.
        (Found::Event { kind, .. }, Found::Silent) | (Found::Silent, Found::Event { kind, .. }) => {
            Some(Match {
                kind,
                name: None,
                rest: None,
                ambiguous: true,
            })
        }
        (Found::Silent, Found::Silent) => None,
    }
}

/// The routes of the API that emit an event.
///
/// Matches from the end, for a name may contain any word of the API.
pub(super) fn operation<'a>(prefix: &str, verb: Verb, path: &'a [u8]) -> Reading<'a> {
    let Some(path) = inside(prefix, path) else {
        return Reading::None;
    };
    let is_list = path.len() > b"/tags/list".len() && path.ends_with(b"/tags/list");
    if verb == Verb::Pull && is_list {
        return Reading::Silent;
    }
    let mut end = path.len();
    while let Some((name, word)) = split_last(&path[..end]) {
        let rest = path.get(end + 1..).unwrap_or_default();
        end = name.len();
        if name.is_empty() || rest.is_empty() {
            continue;
        }
        let kind = match word {
            b"manifests" if verb != Verb::Post => Kind::Manifest,
            b"blobs" => match (upload_id(rest), verb) {
                // Status and cancellation of an upload.
                (Some(_), Verb::Pull | Verb::Delete) => return Reading::Silent,
                // Some registries take an upload without an id, or a POST with
                // one. The response shows what it was.
                (Some(_), Verb::Post | Verb::Put | Verb::Name) => Kind::Upload,
                (None, Verb::Pull | Verb::Delete | Verb::Name) => Kind::Blob,
                _ => continue,
            },
            b"referrers" if verb == Verb::Pull && rest.contains(&b':') => return Reading::Silent,
            _ => continue,
        };
        let rest = match kind {
            Kind::Upload => b"",
            Kind::Manifest | Kind::Blob => rest,
        };
        return Reading::Event { kind, name, rest };
    }
    Reading::None
}

/// The names in the URLs of uploads that registries choose: `<name>/uploads/<id>`
/// and `<name>/blobs/upload/<id>`.
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
            kind: Kind::Upload,
            name,
            rest: b"",
        },
        None => Reading::None,
    }
}

/// The part after the prefix, without one slash at its end.
fn inside<'a>(prefix: &str, path: &'a [u8]) -> Option<&'a [u8]> {
    let path = path.strip_prefix(prefix.as_bytes())?;
    Some(path.strip_suffix(b"/").unwrap_or(path))
}

/// The id of an upload, possibly empty; `None` if `rest` is a digest.
///
/// An encoded slash after `uploads` is enough: no digest begins like that.
fn upload_id(rest: &[u8]) -> Option<&[u8]> {
    match rest.strip_prefix(b"uploads")? {
        [] => Some(b""),
        [b'/' | ENCODED_SLASH, id @ ..] => Some(id),
        _ => None,
    }
}

/// What is before the last slash, and the segment after it.
fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().rposition(|byte| *byte == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

fn text(bytes: &[u8]) -> String {
    if bytes.contains(&ENCODED_SLASH) {
        let mut bytes = bytes.to_vec();
        for byte in &mut bytes {
            if *byte == ENCODED_SLASH {
                *byte = b'/';
            }
        }
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether all readings of the path are the same.
fn is_plain(path: &[u8]) -> bool {
    !path.contains(&b'%') && is_resolved(path)
}

/// Whether the path certainly has no dot segments and no repeated slashes.
fn is_resolved(path: &[u8]) -> bool {
    // Without an early return this compiles to vector instructions.
    let pairs = path.iter().zip(path.iter().skip(1));
    !pairs.fold(false, |found, (first, second)| {
        found | ((*first == b'/') & ((*second == b'/') | (*second == b'.')))
    })
}

fn has_encoded_slash(path: &[u8]) -> bool {
    path.windows(3).any(|it| it.eq_ignore_ascii_case(b"%2f"))
}

/// Calls `read` with two buffers of `length` bytes.
fn with_buffers<T>(length: usize, read: impl FnOnce(&mut [u8], &mut [u8]) -> T) -> T {
    let mut stack = [0; 2 * STACK_PATH];
    match stack.get_mut(..2 * length) {
        Some(buffer) => {
            let (first, second) = buffer.split_at_mut(length);
            read(first, second)
        }
        None => read(&mut vec![0; length], &mut vec![0; length]),
    }
}

/// Writes `path` to `out` with its percent-encoding undone once, and returns
/// the length. Encoded slashes are written as `slash`.
///
/// What is not well encoded stays as it is, as in Rust's and other lenient
/// decoders; strict ones refuse the request.
fn decode(path: &[u8], out: &mut [u8], slash: u8) -> usize {
    let mut length = 0;
    let mut rest = path;
    while let [first, after @ ..] = rest {
        rest = after;
        out[length] = *first;
        if let (b'%', Some(byte)) = (*first, escaped(after)) {
            rest = &after[2..];
            out[length] = match byte {
                b'/' => slash,
                // Neither is UTF-8, so both become the same in a name.
                ENCODED_SLASH => 0xfe,
                byte => byte,
            };
        }
        length += 1;
    }
    length
}

/// The byte that two hexadecimal digits at the start of `text` stand for.
fn escaped(text: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let value = 16 * digit(text.first()?)? + digit(text.get(1)?)?;
    u8::try_from(value).ok()
}

/// Writes `path` to `out` with dot segments resolved (`dots`) and repeated
/// slashes merged (`slashes`), and returns the length, which is never greater
/// than that of `path`.
pub(super) fn resolve(path: &[u8], out: &mut [u8], dots: bool, slashes: bool) -> usize {
    let mut length = 0;
    let mut start = 0;
    let mut bytes = path.iter();
    loop {
        let byte = bytes.next();
        if let Some(byte) = byte.filter(|byte| **byte != b'/') {
            out[length] = *byte;
            length += 1;
            continue;
        }
        // A segment ends here. One that is dropped takes its slash with it.
        let dropped = match &out[start..length] {
            b"" => slashes,
            b"." if dots => {
                length = start;
                true
            }
            b".." if dots => {
                let above = &out[..start.saturating_sub(1)];
                let slash = above.iter().rposition(|byte| *byte == b'/');
                length = slash.map_or(0, |slash| slash + 1);
                true
            }
            _ => false,
        };
        let Some(slash) = byte else { return length };
        if !dropped || length == 0 {
            out[length] = *slash;
            length += 1;
        }
        start = length;
    }
}
