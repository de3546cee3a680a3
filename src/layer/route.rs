//! The routes of the distribution API, matched so that no spelling evades.
//!
//! Grammar: [distribution spec 1.1](https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md),
//! sections "Pulling manifests" (names and tags) and "Content Digests" of the
//! image spec.

use std::borrow::Cow;

use http::{Method, Uri};

/// A request that may become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) repository: String,
    pub(super) operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// GET or HEAD.
    PullManifest(Reference),
    /// PUT; `tags` are those asked for beside a digest.
    PushManifest {
        reference: Reference,
        tags: Vec<String>,
    },
    DeleteManifest(Reference),
    /// GET or HEAD of a digest.
    PullBlob(String),
    DeleteBlob(String),
    /// POST, which may already bring the blob or mount it.
    StartUpload(UploadParameters),
    /// PUT to an upload's own URL.
    FinishUpload(UploadParameters),
    /// The same at a URL that is not of the spec's form.
    FinishForeignUpload(UploadParameters),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(String),
    Digest(String),
}

/// Most tags of one push that are looked at.
const PUSH_TAGS: usize = 100;
/// Longest name of a repository.
const REPOSITORY_LENGTH: usize = 255;
/// Longest tag.
const TAG_LENGTH: usize = 128;
/// Longest encoded part of a digest; sha512 needs 128.
const ENCODED_LENGTH: usize = 512;
/// Longest path whose spelling is put right without allocating.
const STACK_PATH: usize = 1024;

/// The route of a request. `prefix` begins and ends with a slash.
pub(super) fn find(prefix: &str, method: &Method, uri: &Uri) -> Option<Route> {
    if !matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::DELETE
    ) {
        return None;
    }
    let path = uri.path().as_bytes();
    if is_plain(path) {
        return matched(prefix, method, uri, path)
            .or_else(|| foreign_upload(prefix, method, uri, path));
    }
    let mut stack = [0; STACK_PATH];
    let mut heap;
    let buffer = match stack.get_mut(..path.len()) {
        Some(buffer) => buffer,
        None => {
            heap = vec![0; path.len()];
            &mut heap
        }
    };
    let length = normalize(path, buffer);
    matched(prefix, method, uri, &buffer[..length])
        .or_else(|| opaque_upload(prefix, method, uri, buffer))
        .or_else(|| {
            let length = normalize(path, buffer);
            foreign_upload(prefix, method, uri, &buffer[..length])
        })
}

/// The repository of a blob that a response's Location names.
pub(super) fn blob_repository(prefix: &str, location: &str) -> Option<String> {
    let route = find(prefix, &Method::GET, &location.parse().ok()?)?;
    matches!(route.operation, Operation::PullBlob(_)).then_some(route.repository)
}

/// The end of an upload at a URL that only the registry understands: the spec
/// lets it choose, and registries do. The digest that ends an upload shows
/// what it is; the repository may be empty here, as the URL need not name it.
fn foreign_upload(prefix: &str, method: &Method, uri: &Uri, path: &[u8]) -> Option<Route> {
    (*method == Method::PUT && uri.query().is_some()).then_some(())?;
    let parameters = parameters(uri);
    parameters.digest.as_ref()?;
    Some(Route {
        repository: upload_repository(prefix, path).unwrap_or_default().into(),
        operation: Operation::FinishForeignUpload(parameters),
    })
}

/// The name in `<name>/uploads/<id>`, `<name>/blobs/upload/<id>` and the like.
fn upload_repository<'a>(prefix: &str, path: &'a [u8]) -> Option<&'a str> {
    let path = path.strip_prefix(prefix.as_bytes())?;
    let (rest, _id) = split(path.strip_suffix(b"/").unwrap_or(path))?;
    let (name, _kind) = split(rest).filter(|(_, kind)| matches!(*kind, b"uploads" | b"upload"))?;
    let name = name.strip_suffix(b"/blobs").unwrap_or(name);
    text(name).filter(|name| is_repository(name))
}

/// The end of an upload whose id has an encoded slash in it: ids are the
/// registry's own, and may be spelled as it likes.
fn opaque_upload(prefix: &str, method: &Method, uri: &Uri, buffer: &mut [u8]) -> Option<Route> {
    let (above, id) = split(uri.path().as_bytes())?;
    (*method == Method::PUT && id.contains(&b'%')).then_some(())?;
    let mut length = normalize(above, buffer);
    if buffer[..length].ends_with(b"/") {
        length -= 1;
    }
    // An encoded id is longer than what stands for it here.
    let end = buffer.get_mut(length..length + 2)?;
    end.copy_from_slice(b"/-");
    let route = matched(prefix, method, uri, &buffer[..length + 2])?;
    matches!(route.operation, Operation::FinishUpload(_)).then_some(route)
}

/// Is the path spelled as it is meant, but for one slash at its end?
fn is_plain(path: &[u8]) -> bool {
    !path.contains(&b'%')
        && !path
            .windows(2)
            .any(|pair| pair[0] == b'/' && (pair[1] == b'/' || pair[1] == b'.'))
}

/// Writes `path` with its percent-encoding undone, once, then its empty, `.`
/// and `..` segments resolved. The result is never longer than `path`.
fn normalize(path: &[u8], out: &mut [u8]) -> usize {
    let mut length = 0;
    let mut start = 0;
    let mut decoded = percent_encoding::percent_decode(path);
    loop {
        let byte = decoded.next();
        if let Some(byte) = byte.filter(|byte| *byte != b'/') {
            out[length] = byte;
            length += 1;
            continue;
        }
        // A segment is at its end.
        match &out[start..length] {
            b"" | b"." => length = start,
            b".." => {
                let above = &out[..start.saturating_sub(1)];
                length = above
                    .iter()
                    .rposition(|it| *it == b'/')
                    .map_or(0, |at| at + 1);
            }
            _ => {}
        }
        let Some(slash) = byte else { return length };
        if length == 0 || out[length - 1] != b'/' {
            out[length] = slash;
            length += 1;
        }
        start = length;
    }
}

/// The last segment of a path, and what is before it.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().rposition(|byte| *byte == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

/// Matches from the end, for a name may contain any of the API's own words.
fn matched(prefix: &str, method: &Method, uri: &Uri, path: &[u8]) -> Option<Route> {
    let path = path.strip_prefix(prefix.as_bytes())?;
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let (rest, last) = split(path)?;
    let (repository, kind) = split(rest)?;
    let repository = match kind {
        b"uploads" => split(repository).filter(|(_, kind)| *kind == b"blobs")?.0,
        _ => repository,
    };
    let repository = text(repository).filter(|name| is_repository(name))?;
    let operation = match (kind, last, method) {
        (b"manifests", reference, _) => manifest(method, reference, uri)?,
        (b"blobs", b"uploads", &Method::POST) => Operation::StartUpload(parameters(uri)),
        (b"blobs", digest, _) => blob(method, digest)?,
        (b"uploads", _, &Method::PUT) => Operation::FinishUpload(parameters(uri)),
        _ => return None,
    };
    Some(Route {
        repository: repository.into(),
        operation,
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn manifest(method: &Method, reference: &[u8], uri: &Uri) -> Option<Operation> {
    let reference = text(reference).filter(|_| *method != Method::POST)?;
    let reference = match reference {
        tag if is_tag(tag) => Reference::Tag(tag.into()),
        digest if is_digest(digest) => Reference::Digest(digest.into()),
        _ => return None,
    };
    Some(match *method {
        Method::GET | Method::HEAD => Operation::PullManifest(reference),
        Method::DELETE => Operation::DeleteManifest(reference),
        Method::PUT => Operation::PushManifest {
            tags: match reference {
                Reference::Tag(_) => Vec::new(),
                Reference::Digest(_) => tags(uri),
            },
            reference,
        },
        _ => return None,
    })
}

fn blob(method: &Method, digest: &[u8]) -> Option<Operation> {
    let digest = text(digest).filter(|digest| is_digest(digest))?;
    match *method {
        Method::GET | Method::HEAD => Some(Operation::PullBlob(digest.into())),
        Method::DELETE => Some(Operation::DeleteBlob(digest.into())),
        _ => None,
    }
}

fn tags(uri: &Uri) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for (name, value) in pairs(uri.query().unwrap_or_default().as_bytes()) {
        if tags.len() == PUSH_TAGS {
            break;
        }
        if name == "tag" && is_tag(&value) && !tags.iter().any(|tag| *tag == value) {
            tags.push(value.into_owned());
        }
    }
    tags
}

/// The pairs of `application/x-www-form-urlencoded` text. As in Go, one that is
/// not well encoded or has a `;` in it is left out, so that the next of its
/// name counts.
fn pairs(text: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let is_encoded = |escape: &[u8]| {
        let digits = escape.get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    text.split(|byte| *byte == b'&')
        .filter(move |pair| {
            let mut escapes = pair.split(|byte| *byte == b'%').skip(1);
            !pair.contains(&b';') && escapes.all(is_encoded)
        })
        .flat_map(form_urlencoded::parse)
}

/// The parameters of an upload, from the query or from a form body. What is
/// not in the grammar is as good as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UploadParameters {
    pub(super) digest: Option<String>,
    pub(super) mount: Option<String>,
    pub(super) from: Option<String>,
}

fn parameters(uri: &Uri) -> UploadParameters {
    UploadParameters::parse(uri.query().unwrap_or_default().as_bytes())
}

impl UploadParameters {
    /// Reads `application/x-www-form-urlencoded` text. As in Go, the first
    /// value counts of a name that is given twice.
    pub(super) fn parse(text: &[u8]) -> Self {
        let (mut digest, mut mount, mut from) = (None, None, None);
        for (name, value) in pairs(text) {
            let place = match &*name {
                "digest" => &mut digest,
                "mount" => &mut mount,
                "from" => &mut from,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        let valid = |value: Option<Cow<'_, str>>, is_valid: fn(&str) -> bool| {
            value.filter(|value| is_valid(value)).map(Cow::into_owned)
        };
        Self {
            digest: valid(digest, is_digest),
            mount: valid(mount, is_digest),
            from: valid(from, is_repository),
        }
    }

    /// Takes from `other` what is not given here.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            digest: self.digest.or(other.digest),
            mount: self.mount.or(other.mount),
            from: self.from.or(other.from),
        }
    }
}

/// Is it the name of a repository: components of lower-case letters and
/// digits, with `.`, `_`, `__` or dashes inside?
pub(super) fn is_repository(name: &str) -> bool {
    name.len() <= REPOSITORY_LENGTH && name.split('/').all(is_component)
}

fn is_component(component: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_letter(*first)
        && is_letter(*last)
        && component
            .split(|c: char| c.is_ascii() && is_letter(c as u8))
            .all(|between| {
                matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
            })
}

/// Is it a tag?
pub(super) fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_LENGTH
        && tag.bytes().next().is_some_and(word)
        && tag
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// Is it a digest: `algorithm:encoded`?
pub(super) fn is_digest(digest: &str) -> bool {
    let Some((algorithm, encoded)) = digest.split_once(':') else {
        return false;
    };
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let encodes = |byte: u8| byte.is_ascii_alphanumeric() || b"=_-".contains(&byte);
    algorithm
        .split(['+', '.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(lower))
        && (1..=ENCODED_LENGTH).contains(&encoded.len())
        && encoded.bytes().all(encodes)
}

#[cfg(test)]
mod tests;
