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

use super::path::{Reading, Resource};
use super::spelling::{ENCODED_SLASH, decode, has_encoded_slash, is_plain, is_resolved, resolve};

/// Paths up to this length, in bytes, are read without allocating.
pub(super) const STACK_PATH: usize = 1024;

/// What all readings together find. `name` and `rest` are `None` where the
/// readings of an encoded slash disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) resource: Resource,
    pub(super) name: Option<String>,
    pub(super) rest: Option<String>,
    pub(super) ambiguous: bool,
}

/// Matches `path` as `operation` does, over all its readings.
pub(super) fn find<F>(path: &[u8], operation: F) -> Option<Match>
where
    F: for<'a> Fn(&'a [u8]) -> Reading<'a>,
{
    if is_plain(path) {
        return OwnedReading::new(operation(path)).into_match(false);
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
            Resolved::literal(OwnedReading::new(operation(&decoded[..length])))
        };
        let whole = read(b'/');
        agree(read(ENCODED_SLASH), whole)
    })
}

/// A [`Reading`] that owns its texts, because the buffer is reused for the next
/// reading. Only an event allocates.
#[derive(Debug, PartialEq, Eq)]
enum OwnedReading {
    None,
    Silent,
    Event {
        resource: Resource,
        name: String,
        rest: String,
    },
}

impl OwnedReading {
    fn new(reading: Reading<'_>) -> Self {
        match reading {
            Reading::None => Self::None,
            Reading::Silent => Self::Silent,
            Reading::Event {
                resource,
                name,
                rest,
            } => Self::Event {
                resource,
                name: text(name),
                rest: text(rest),
            },
        }
    }

    fn into_match(self, ambiguous: bool) -> Option<Match> {
        match self {
            Self::None | Self::Silent => None,
            Self::Event {
                resource,
                name,
                rest,
            } => Some(Match {
                resource,
                name: Some(name),
                rest: Some(rest),
                ambiguous,
            }),
        }
    }
}

/// What the literal and the resolved readings find together.
struct Resolved {
    found: OwnedReading,
    ambiguous: bool,
}

impl Resolved {
    fn literal(found: OwnedReading) -> Self {
        Self {
            found,
            ambiguous: false,
        }
    }

    fn into_match(self) -> Option<Match> {
        self.found.into_match(self.ambiguous)
    }

    /// Adds a reading that counts less than those before it.
    fn add(&mut self, found: OwnedReading) {
        match (&self.found, &found) {
            (_, OwnedReading::None) => {}
            (OwnedReading::None, _) => self.found = found,
            // For a registry that resolves the path this is an event, so there must
            // be one.
            (OwnedReading::Silent, OwnedReading::Event { .. }) => {
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
    let mut resolved = Resolved::literal(OwnedReading::new(operation(path)));
    if is_resolved(path) {
        return resolved;
    }
    // The ways to resolve a path, the most common first: dot segments and slashes;
    // dot segments only, as RFC 3986 does, which keeps empty segments; slashes only.
    for (dots, slashes) in [(true, true), (true, false), (false, true)] {
        let length = resolve(path, scratch, dots, slashes);
        resolved.add(OwnedReading::new(operation(&scratch[..length])));
    }
    resolved
}

/// Joins the readings of an encoded slash: `split` takes it for a part of its
/// segment, `whole` for a separator. What they disagree on is left out.
fn agree(split: Resolved, whole: Resolved) -> Option<Match> {
    let ambiguous = split.ambiguous || whole.ambiguous;
    match (split.found, whole.found) {
        (OwnedReading::None, found) => found.into_match(whole.ambiguous),
        (found, OwnedReading::None) => found.into_match(split.ambiguous),
        (found, same) if found == same => found.into_match(ambiguous),
        (OwnedReading::Event { name: one, .. }, OwnedReading::Event { resource, name, .. }) => {
            Some(Match {
                resource,
                name: (one == name).then_some(name),
                rest: None,
                ambiguous: true,
            })
        }
        // For one registry the path may be a list of tags, and for another one a
        // pull. There must be an event, but nothing is known about its target.
        (OwnedReading::Event { resource, .. }, OwnedReading::Silent)
        | (OwnedReading::Silent, OwnedReading::Event { resource, .. }) => Some(Match {
            resource,
            name: None,
            rest: None,
            ambiguous: true,
        }),
        (OwnedReading::Silent, OwnedReading::Silent) => None,
    }
}

fn text(bytes: &[u8]) -> String {
    // The usual case. UTF-8 never has the byte that stands for an encoded slash.
    if let Ok(text) = str::from_utf8(bytes) {
        return text.to_owned();
    }
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

/// Calls `read` with two buffers of `length` bytes, on the stack if they fit.
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
