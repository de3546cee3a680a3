//! Counts the bytes of unfinished uploads: [`Uploads`].

use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::header::{CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, StatusCode, Uri};

use super::generations::{Generations, Key, Keys};
use super::headers::{is_plain, text};
use super::tap::SharedTap;

/// The number of uploads that a generation remembers, at 32 bytes each.
const CAPACITY: usize = 16 << 10;

/// Counts the bytes of uploads as their chunks pass, since no request or
/// response of a chunked push states the size of the blob.
///
/// A count is kept only while the layer has seen the upload from its start,
/// and every `Content-Range` and `Range` agrees with it. An upload is known by
/// its URL, which each response's `Location` may change.
#[derive(Debug)]
pub(super) struct Uploads {
    keys: Keys,
    counts: Mutex<Generations<u64>>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            counts: Mutex::new(Generations::new(CAPACITY)),
        }
    }
}

impl Uploads {
    fn counts(&self) -> MutexGuard<'_, Generations<u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, prefix: &str, uri: &Uri) -> Key {
        self.keys.of(UploadUrl { prefix, uri })
    }

    /// Begins to count an upload that a response has begun and that has no content
    /// yet.
    pub(super) fn begin(&self, prefix: &str, headers: &HeaderMap) {
        let Some(location) = location(headers) else {
            return;
        };
        if end_agrees(headers, 0) {
            let key = self.key(prefix, &location);
            self.counts().insert(key, 0);
        }
    }

    /// Takes the count of the upload that a request continues. The count is gone
    /// unless [`passed`](Self::passed) puts it back: if nobody knows what became
    /// of a chunk, nobody knows the size of the blob.
    pub(super) fn take(&self, prefix: &str, uri: &Uri, headers: &HeaderMap) -> Option<Chunk> {
        let key = self.key(prefix, uri);
        let before = self.counts().remove(key)?;
        let usable = is_plain(headers) && start_agrees(headers, before);
        usable.then_some(Chunk { key, before })
    }

    /// Records a chunk that the registry has accepted.
    pub(super) fn passed(&self, prefix: &str, chunk: &Chunk, tap: &SharedTap, headers: &HeaderMap) {
        let Some(count) = chunk.count(tap) else {
            return;
        };
        if !end_agrees(headers, count) {
            return;
        }
        let key = location(headers).map_or(chunk.key, |uri| self.key(prefix, &uri));
        self.counts().insert(key, count);
    }
}

/// A request that adds to an upload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    key: Key,
    before: u64,
}

impl Chunk {
    /// Returns the bytes of the upload including those of this request, if all
    /// of them have passed.
    pub(super) fn count(&self, tap: &SharedTap) -> Option<u64> {
        self.before.checked_add(tap.lock().whole_length()?)
    }
}

/// A PATCH. It makes no event, and is observed for its bytes alone.
pub(super) struct PatchWatch {
    pub(super) chunk: Chunk,
    pub(super) tap: SharedTap,
}

impl PatchWatch {
    pub(super) fn answered(
        &self,
        uploads: &Uploads,
        prefix: &str,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        if status.is_success() {
            uploads.passed(prefix, &self.chunk, &self.tap, headers);
        }
    }
}

/// The URL of an upload without what differs between the `Location` that named
/// it and the request that uses it: a path before the prefix, as under a
/// nested router, and the `digest` that ends the upload.
struct UploadUrl<'a> {
    prefix: &'a str,
    uri: &'a Uri,
}

impl Hash for UploadUrl<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let path = self.uri.path();
        let inside = path.split_once(self.prefix).map_or(path, |(_, rest)| rest);
        inside.trim_end_matches('/').hash(state);
        let pairs = self.uri.query().unwrap_or_default().split('&');
        for pair in pairs.filter(|pair| !pair.is_empty() && !pair.starts_with("digest=")) {
            pair.hash(state);
        }
    }
}

fn location(headers: &HeaderMap) -> Option<Uri> {
    text(headers, LOCATION)?.parse().ok()
}

/// Whether the first byte that a chunk says it brings, in the form of the spec or
/// in that of HTTP, follows the bytes so far.
fn start_agrees(headers: &HeaderMap, count: u64) -> bool {
    agrees(text(headers, CONTENT_RANGE), |(first, _)| first, count)
}

/// Whether the last byte that the registry says it has is that of the count.
fn end_agrees(headers: &HeaderMap, count: u64) -> bool {
    agrees(text(headers, RANGE), |(_, last)| last, count)
}

/// Whether one position in `first-last` is the count, give or take one:
/// registries disagree about what their `Range` means. A header that is absent
/// agrees, and one that cannot be read does not.
fn agrees(
    range: Option<&str>,
    position: impl for<'a> FnOnce((&'a str, &'a str)) -> &'a str,
    count: u64,
) -> bool {
    let Some(range) = range else { return true };
    let unit = ["bytes ", "bytes="];
    let stripped = unit.iter().find_map(|unit| range.strip_prefix(unit));
    let ends = stripped.unwrap_or(range).split_once('-');
    let stated = ends.and_then(|ends| position(ends).trim().parse::<u64>().ok());
    stated.is_some_and(|stated| stated.abs_diff(count) <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn patch(uploads: &Uploads, uri: &str, sent: &HeaderMap, got: &HeaderMap, data: &str) -> bool {
        let Some(chunk) = uploads.take("/v2/", &uri.parse().unwrap(), sent) else {
            return false;
        };
        let tap = SharedTap::new(0);
        tap.lock().add(data.as_bytes());
        tap.lock().set_complete(true);
        let watch = PatchWatch { chunk, tap };
        watch.answered(uploads, "/v2/", StatusCode::ACCEPTED, got);
        true
    }

    fn end(uploads: &Uploads, uri: &str) -> Option<u64> {
        let chunk = uploads.take("/v2/", &uri.parse().unwrap(), &HeaderMap::new())?;
        let tap = SharedTap::new(0);
        tap.lock().set_complete(true);
        chunk.count(&tap)
    }

    #[test]
    fn chunks_are_counted_along_the_locations() {
        let uploads = Uploads::default();
        let at = |n: &str| {
            (
                "location",
                format!("http://h/mirror/v2/a/blobs/uploads/u?state={n}"),
            )
        };
        let (name, first) = at("1");
        uploads.begin("/v2/", &headers(&[(name, &first), ("range", "0-0")]));
        let (name, second) = at("2");
        let got = headers(&[(name, &second), ("range", "0-9")]);
        let sent = headers(&[("content-range", "0-9")]);
        assert!(patch(
            &uploads,
            "/v2/a/blobs/uploads/u?state=1",
            &sent,
            &got,
            "0123456789"
        ));
        assert_eq!(end(&uploads, "/v2/a/blobs/uploads/u?state=1"), None);
        let uri = "/v2/a/blobs/uploads/u?state=2&digest=sha256:1";
        assert_eq!(end(&uploads, uri), Some(10));
        assert_eq!(end(&uploads, uri), None);
    }

    #[test]
    fn an_upload_whose_headers_disagree_has_no_count() {
        for (sent, got, counted) in [
            (None, None, true),
            (Some("0-9"), Some("0-10"), true),
            (Some("bytes 0-9/10"), Some("bytes=0-9"), true),
            (Some("5-14"), None, false),
            (Some("x"), None, false),
            (None, Some("0-20"), false),
            (None, Some("0"), false),
        ] {
            let uploads = Uploads::default();
            let uri = "/v2/a/blobs/uploads/u";
            uploads.begin("/v2/", &headers(&[("location", uri)]));
            let sent: Vec<_> = sent.into_iter().map(|it| ("content-range", it)).collect();
            let got: Vec<_> = got.into_iter().map(|it| ("range", it)).collect();
            patch(&uploads, uri, &headers(&sent), &headers(&got), "0123456789");
            assert_eq!(
                end(&uploads, uri),
                counted.then_some(10),
                "{sent:?} {got:?}"
            );
        }
    }

    #[test]
    fn an_upload_that_was_not_seen_from_its_start_has_no_count() {
        let uploads = Uploads::default();
        let uri = "/v2/a/blobs/uploads/u";
        assert!(!patch(
            &uploads,
            uri,
            &HeaderMap::new(),
            &HeaderMap::new(),
            "x"
        ));
        assert_eq!(end(&uploads, uri), None);
        uploads.begin("/v2/", &headers(&[("location", uri), ("range", "0-100")]));
        assert_eq!(end(&uploads, uri), None);
    }
}
