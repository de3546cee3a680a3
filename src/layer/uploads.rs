//! Counts the bytes of unfinished uploads: [`Uploads`].

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::header::{CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, StatusCode, Uri};

use super::generations::{Generations, Key, Keys};
use super::headers::{is_plain, text};
use super::route;
use super::tap::SharedTap;

/// The number of uploads that a generation remembers, at 48 bytes each.
const CAPACITY: usize = 16 << 10;

/// Counts the bytes of uploads as their chunks pass, because no request or
/// response of a chunked push states the size of the blob.
///
/// A count is kept only while the layer has seen the upload from its start,
/// one request at a time, and every `Content-Range` and `Range` agrees with it.
/// Each response's `Location` may change the URL of an upload.
///
/// A client may send a part of its blob to another spelling of that URL, which
/// the registry takes for the same upload. Uploads are therefore found by a key
/// that all spellings of their path share. A request that finds an upload but does
/// not have the URL of the latest `Location` ends the count.
#[derive(Debug)]
pub(super) struct Uploads {
    keys: Keys,
    remembered: Mutex<State>,
}

#[derive(Debug)]
struct State {
    progress: Generations<Progress>,
    /// The number of requests that have continued an upload so far.
    requests: u64,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// `count` bytes have passed, and the next request must have this URL.
    Idle { count: u64, url: Key },
    /// The request with this number is adding to the upload.
    Busy(u64),
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            remembered: Mutex::new(State {
                progress: Generations::new(CAPACITY),
                requests: 0,
            }),
        }
    }
}

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to count an upload that a response has begun, if the registry has
    /// taken none of the `sent` bytes in the request.
    pub(super) fn begin(&self, prefix: &str, uri: &Uri, headers: &HeaderMap, sent: u64) {
        let Some(location) = location(uri, headers) else {
            return;
        };
        // Registries keep or ignore bytes that come with the POST. `Range` shows which,
        // unless it agrees with both.
        let has_range = text(headers, &RANGE).is_some();
        let is_clear = sent == 0 || (has_range && !end_agrees(headers, sent));
        if is_clear && end_agrees(headers, 0) {
            self.insert(prefix, &location, 0);
        } else {
            self.forget(prefix, &location);
        }
    }

    /// Takes the count of the upload that a request continues. It is lost unless
    /// [`passed`](Self::passed) or [`give_back`](Self::give_back) returns it: if the
    /// fate of one chunk is unknown, so is the size of the blob.
    pub(super) fn take(&self, prefix: &str, uri: &Uri, headers: &HeaderMap) -> Option<Chunk> {
        let at = UploadUrl::new(prefix, uri);
        let key = self.keys.of(&at);
        let mut remembered = self.lock();
        // If another request is adding to the upload, nothing shows in which order the
        // registry takes the two. Removing the entry ends the count for both.
        let Progress::Idle { count, url } = remembered.progress.remove(key)? else {
            return None;
        };
        let expected = url == at.exact(&self.keys);
        if !expected || !is_plain(headers) || !start_agrees(headers, count) {
            return None;
        }
        remembered.requests += 1;
        let number = remembered.requests;
        remembered.progress.insert(key, Progress::Busy(number));
        Some(Chunk {
            key,
            url,
            number,
            before: count,
        })
    }

    /// Returns the count of a request that was not passed on.
    pub(super) fn give_back(&self, chunk: &Chunk) {
        let mut remembered = self.lock();
        let progress = remembered.progress.remove(chunk.key);
        if matches!(progress, Some(Progress::Busy(number)) if number == chunk.number) {
            let (count, url) = (chunk.before, chunk.url);
            let idle = Progress::Idle { count, url };
            remembered.progress.insert(chunk.key, idle);
        }
    }

    /// Returns the bytes of the upload including those of this request, if all of
    /// them have passed and no other request came in between. Ends the count.
    pub(super) fn end(&self, chunk: &Chunk, tap: &SharedTap) -> Option<u64> {
        let progress = self.lock().progress.remove(chunk.key);
        let Some(Progress::Busy(number)) = progress else {
            return None;
        };
        if number != chunk.number {
            return None;
        }
        chunk.before.checked_add(tap.lock().whole_length()?)
    }

    /// Records a chunk that the registry has accepted.
    fn passed(&self, prefix: &str, counted: Option<&CountedChunk>, headers: &HeaderMap) {
        let Some(counted) = counted else {
            // The upload has bytes that were not counted. A relative URL would be that of
            // an upload that is not known either.
            if let Some(location) = text(headers, &LOCATION).and_then(|it| it.parse().ok()) {
                self.forget(prefix, &location);
            }
            return;
        };
        let location = location(&counted.uri, headers);
        let next = location.as_ref().unwrap_or(&counted.uri);
        let count = self.end(&counted.chunk, &counted.tap);
        match count.filter(|count| end_agrees(headers, *count)) {
            Some(count) => self.insert(prefix, next, count),
            None => self.forget(prefix, next),
        }
    }

    fn insert(&self, prefix: &str, uri: &Uri, count: u64) {
        let at = UploadUrl::new(prefix, uri);
        let url = at.exact(&self.keys);
        let idle = Progress::Idle { count, url };
        self.lock().progress.insert(self.keys.of(&at), idle);
    }

    fn forget(&self, prefix: &str, uri: &Uri) {
        let key = self.keys.of(UploadUrl::new(prefix, uri));
        self.lock().progress.remove(key);
    }
}

/// A request that adds to an upload, and the count that it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    key: Key,
    url: Key,
    number: u64,
    before: u64,
}

/// A PATCH. It makes no event, and is observed for its bytes alone.
pub(super) struct PatchWatch {
    /// `None` if it adds to an upload whose count is not known.
    counted: Option<CountedChunk>,
}

struct CountedChunk {
    uri: Uri,
    chunk: Chunk,
    tap: SharedTap,
}

impl PatchWatch {
    pub(super) fn new(uploads: &Uploads, prefix: &str, uri: &Uri, headers: &HeaderMap) -> Self {
        let chunk = uploads.take(prefix, uri, headers);
        let counted = chunk.map(|chunk| CountedChunk {
            uri: uri.clone(),
            chunk,
            tap: SharedTap::new(0),
        });
        Self { counted }
    }

    /// Returns the tap that observes the request body, if the bytes are counted.
    pub(super) fn tap(&self) -> Option<&SharedTap> {
        self.counted.as_ref().map(|it| &it.tap)
    }

    /// Records the registry's response. After a failure the entry stays in use, so that
    /// the next request ends the count: nothing shows how much the registry has kept.
    pub(super) fn answered(
        &self,
        uploads: &Uploads,
        prefix: &str,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        if status.is_success() {
            uploads.passed(prefix, self.counted.as_ref(), headers);
        }
    }
}

/// The URL of an upload without what differs between the `Location` that named
/// it and the request that uses it: a path before the prefix, as under a
/// nested router, and the `digest` that ends the upload.
///
/// Its hash is that of the letters and digits of the path in lower case, which
/// all its spellings share.
struct UploadUrl<'a> {
    path: Cow<'a, [u8]>,
    inside: usize,
    query: &'a str,
}

impl<'a> UploadUrl<'a> {
    fn new(prefix: &str, uri: &'a Uri) -> Self {
        let path = route::resolved(uri.path());
        let prefix = prefix.as_bytes();
        let mut windows = path.windows(prefix.len().max(1));
        let inside = windows.position(|window| window == prefix);
        Self {
            inside: inside.map_or(0, |at| at + prefix.len()),
            path,
            query: uri.query().unwrap_or_default(),
        }
    }

    fn path(&self) -> &[u8] {
        &self.path[self.inside..]
    }

    /// Identifies the URL however it is encoded, and whatever the order of its
    /// parameters, which clients decode and encode again.
    fn exact(&self, keys: &Keys) -> Key {
        let path = self.path();
        let path = keys.of(path.strip_suffix(b"/").unwrap_or(path));
        form_urlencoded::parse(self.query.as_bytes())
            .filter(|(name, _)| name != "digest")
            .fold(path, |sum, pair| sum.wrapping_add(keys.of(pair)))
    }
}

impl Hash for UploadUrl<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let path = self.path().iter();
        let path = path.filter(|byte| byte.is_ascii_alphanumeric());
        path.for_each(|byte| byte.to_ascii_lowercase().hash(state));
    }
}

fn location(uri: &Uri, headers: &HeaderMap) -> Option<Uri> {
    route::location_url(uri, text(headers, &LOCATION)?)
}

/// Whether the chunk begins where the count ends, by its `Content-Range`. The
/// distribution spec writes it as `first-last`, HTTP as `bytes first-last/whole`.
fn start_agrees(headers: &HeaderMap, count: u64) -> bool {
    agrees(text(headers, &CONTENT_RANGE), |(first, _)| first, count)
}

/// Whether the registry has as many bytes as were counted, by its `Range`.
fn end_agrees(headers: &HeaderMap, count: u64) -> bool {
    agrees(text(headers, &RANGE), |(_, last)| last, count)
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

    fn begin(uploads: &Uploads, got: &HeaderMap, sent: u64) {
        let uri = Uri::from_static("/v2/a/blobs/uploads/");
        uploads.begin("/v2/", &uri, got, sent);
    }

    fn add(tap: Option<&SharedTap>, data: &str) {
        if let Some(tap) = tap {
            tap.lock().add(data.as_bytes());
            tap.lock().set_complete(true);
        }
    }

    fn patch(uploads: &Uploads, uri: &str, sent: &HeaderMap, got: &HeaderMap, data: &str) -> bool {
        let watch = PatchWatch::new(uploads, "/v2/", &uri.parse().unwrap(), sent);
        add(watch.tap(), data);
        watch.answered(uploads, "/v2/", StatusCode::ACCEPTED, got);
        watch.counted.is_some()
    }

    fn end(uploads: &Uploads, uri: &str) -> Option<u64> {
        let chunk = uploads.take("/v2/", &uri.parse().unwrap(), &HeaderMap::new())?;
        let tap = SharedTap::new(0);
        tap.lock().set_complete(true);
        uploads.end(&chunk, &tap)
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
        begin(&uploads, &headers(&[(name, &first), ("range", "0-0")]), 0);
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
        let uri = "/v2/a/blobs/uploads/u?state=2&digest=sha256:1";
        assert_eq!(end(&uploads, uri), Some(10));
        assert_eq!(end(&uploads, uri), None);
    }

    #[test]
    fn locations_may_be_relative() {
        for (begun, first, next, second) in [
            ("u", "/v2/a/blobs/uploads/u", "v", "/v2/a/blobs/uploads/v"),
            (
                "u?s=1#f",
                "/v2/a/blobs/uploads/u?s=1",
                "?s=2",
                "/v2/a/blobs/uploads/u?s=2",
            ),
            (
                "./x/u",
                "/v2/a/blobs/uploads/x/u",
                "../v",
                "/v2/a/blobs/uploads/v",
            ),
            (
                "//h/v2/a/blobs/uploads/u",
                "/v2/a/blobs/uploads/u",
                "#f",
                "/v2/a/blobs/uploads/u",
            ),
        ] {
            let uploads = Uploads::default();
            begin(&uploads, &headers(&[("location", begun)]), 0);
            let got = headers(&[("location", next)]);
            assert!(
                patch(&uploads, first, &HeaderMap::new(), &got, "0123456789"),
                "{begun}"
            );
            assert_eq!(end(&uploads, second), Some(10), "{next}");
        }
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
            begin(&uploads, &headers(&[("location", uri)]), 0);
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
        begin(
            &uploads,
            &headers(&[("location", uri), ("range", "0-100")]),
            0,
        );
        assert_eq!(end(&uploads, uri), None);
    }

    #[test]
    fn bytes_at_another_spelling_of_the_url_end_the_count() {
        let uri = "/v2/a/blobs/uploads/0a-b?s=1&t=%3D";
        let none = HeaderMap::new();
        for (other, counted) in [
            ("/v2/a/blobs/uploads/0a-b?t=%3d&s=1", true),
            ("/v2/a/blobs/uploads/0a-b/?t==&s=1", true),
            ("/v2/a/blobs/uploads/0a-b?s=1&t=%3D&x=1", false),
            ("/v2/a/blobs/uploads/0a-b", false),
            ("/v2/a/blobs/uploads/0A-B?s=1&t=%3D", false),
            ("/v2/a/blobs/uploads/{0ab}?s=1&t=%3D", false),
        ] {
            let uploads = Uploads::default();
            begin(&uploads, &headers(&[("location", uri)]), 0);
            let got = headers(&[("location", uri)]);
            assert_eq!(
                patch(&uploads, other, &none, &none, "1"),
                counted,
                "{other}"
            );
            if !counted {
                assert_eq!(end(&uploads, uri), None, "{other}");
                // Where the registry tells which upload it was, that is enough.
                begin(&uploads, &got, 0);
                patch(&uploads, "/v2/elsewhere", &none, &got, "1");
                assert_eq!(end(&uploads, uri), None, "{other}");
            }
        }
    }

    #[test]
    fn two_requests_at_a_time_end_the_count() {
        let uri = "/v2/a/blobs/uploads/u";
        let none = HeaderMap::new();
        let got = headers(&[("location", uri)]);
        for closes in [false, true] {
            let uploads = Uploads::default();
            begin(&uploads, &got, 0);
            let first = PatchWatch::new(&uploads, "/v2/", &uri.parse().unwrap(), &none);
            add(first.tap(), "0123");
            if closes {
                let CountedChunk { chunk, tap, .. } = first.counted.unwrap();
                patch(&uploads, uri, &none, &none, "x");
                assert_eq!(uploads.end(&chunk, &tap), None);
                continue;
            }
            let second = PatchWatch::new(&uploads, "/v2/", &uri.parse().unwrap(), &none);
            first.answered(&uploads, "/v2/", StatusCode::ACCEPTED, &got);
            assert_eq!(end(&uploads, uri), None);
            second.answered(&uploads, "/v2/", StatusCode::ACCEPTED, &got);
            assert_eq!(end(&uploads, uri), None);
        }
    }

    #[test]
    fn an_upload_whose_start_may_have_brought_content_has_no_count() {
        let uri = "/v2/a/blobs/uploads/u";
        for (sent, range, counted) in [
            (0, None, true),
            (0, Some("0-0"), true),
            (1, Some("0-0"), false),
            (2, Some("0-1"), false),
            (9, None, false),
            (9, Some("0-0"), true),
            (9, Some("0-8"), false),
        ] {
            let uploads = Uploads::default();
            // Whatever was counted under this URL before is over.
            begin(&uploads, &headers(&[("location", uri)]), 0);
            let range = range.into_iter().map(|it| ("range", it));
            let got: Vec<_> = range.chain([("location", uri)]).collect();
            begin(&uploads, &headers(&got), sent);
            assert_eq!(end(&uploads, uri), counted.then_some(0), "{sent} {got:?}");
        }
    }
}
