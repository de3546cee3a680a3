//! What the headers of a request or response say about the content of its body.

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, TRANSFER_ENCODING,
};
use http::{HeaderMap, StatusCode};

/// Returns the first value of a header, if it is visible ASCII.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the number of bytes of the body as it is sent, if it is declared.
pub(super) fn body_length(headers: &HeaderMap) -> Option<u64> {
    // `Transfer-Encoding` overrides `Content-Length` (RFC 9112, section 6.3).
    if headers.contains_key(&TRANSFER_ENCODING) {
        return None;
    }
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

/// Whether the body is the content as it is, without a coding such as gzip.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(&CONTENT_ENCODING).iter().all(|coding| {
        coding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"identity")
    })
}

/// Returns the number of bytes of the whole content, of which the response's body
/// may be a part.
pub(super) fn content_size(status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    if !is_plain(headers) {
        return None;
    }
    match status {
        StatusCode::PARTIAL_CONTENT => content_range(headers).map(|range| range.whole),
        _ => body_length(headers),
    }
}

/// Returns the size that a response to HEAD states. A size of 0 does not count,
/// because some servers fill in the length of the absent body.
pub(super) fn stated_by_head(size: Option<u64>) -> Option<u64> {
    size.filter(|size| *size > 0)
}

/// Whether the body of a response is the whole content, as it is.
pub(super) fn is_whole(status: StatusCode, headers: &HeaderMap) -> bool {
    is_plain(headers)
        && match status.as_u16() {
            200 | 203 => true,
            206 => content_range(headers).is_some_and(|range| range.is_whole()),
            _ => false,
        }
}

struct ContentRange {
    first: u64,
    last: u64,
    whole: u64,
}

impl ContentRange {
    fn is_whole(&self) -> bool {
        self.first == 0 && self.last.checked_add(1) == Some(self.whole)
    }
}

/// Reads `bytes first-last/whole` (RFC 9110, section 14.4). A response with
/// several ranges has no such header: each of its parts has one.
fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let (unit, range) = text(headers, &CONTENT_RANGE)?.split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, whole) = range.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some(ContentRange {
        first: first.trim().parse().ok()?,
        last: last.trim().parse().ok()?,
        whole: whole.trim().parse().ok()?,
    })
}

static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Returns the canonical digest that the registry states.
pub(super) fn content_digest(headers: &HeaderMap) -> Option<&str> {
    let digest = text(headers, &CONTENT_DIGEST)?;
    digest.contains(':').then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_size_of_a_range_is_that_of_the_whole() {
        for (range, size, whole) in [
            ("bytes 0-9/10", Some(10), true),
            ("bytes 0-3/10", Some(10), false),
            ("bytes 1-9/10", Some(10), false),
            ("bytes 0-9/*", None, false),
            ("bytes */10", None, false),
            ("pages 0-9/10", None, false),
            ("bytes 0-18446744073709551615/1", Some(1), false),
        ] {
            let headers = headers(&[(CONTENT_RANGE, range)]);
            assert_eq!(
                content_size(StatusCode::PARTIAL_CONTENT, &headers),
                size,
                "{range}"
            );
            assert_eq!(
                is_whole(StatusCode::PARTIAL_CONTENT, &headers),
                whole,
                "{range}"
            );
        }
    }

    #[test]
    fn an_encoded_body_says_nothing_about_the_size_of_its_content() {
        let length = (CONTENT_LENGTH, "10");
        for (coding, size) in [
            ("identity", Some(10)),
            ("Identity", Some(10)),
            ("gzip", None),
        ] {
            let headers = headers(&[length.clone(), (CONTENT_ENCODING, coding)]);
            assert_eq!(content_size(StatusCode::OK, &headers), size, "{coding}");
        }
        let chunked = headers(&[length, (TRANSFER_ENCODING, "chunked")]);
        assert_eq!(content_size(StatusCode::OK, &chunked), None);
    }
}
