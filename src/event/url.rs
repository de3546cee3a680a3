//! The URLs in events: `<base>/v2/<name>/manifests|blobs/<digest>`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that Go percent-encodes in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// How the name and digest in the URL of a target are spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As they are.
    Plain,
    /// Percent-encoded, as Go does it, so that the URL is valid. Has the part from
    /// `/v2/` on.
    Encoded(String),
    /// No URL leads to the target.
    None,
}

/// Returns how the URL of a target is spelled; `kind` is `manifests` or
/// `blobs`. `is_plain_digest` says that the digest is known to consist of what may be in
/// a URL as it is.
pub(super) fn spelling(
    repository: &str,
    kind: &str,
    digest: &str,
    is_plain_digest: bool,
) -> Spelling {
    // Nearly all names. Without a dot nothing has to be resolved.
    let is_simple = is_plain_without_dots(repository) && !repository.is_empty();
    if is_simple && is_plain_digest {
        return Spelling::Plain;
    }
    // Clients resolve dot segments, so a URL with one would lead elsewhere.
    let resolves = |segment: &str| matches!(segment, "." | "..");
    if digest.is_empty() || repository.is_empty() || resolves(digest) || resolves(repository) {
        return Spelling::None;
    }
    // A registry that takes names literally may have `a/../b` beside `b`. It was
    // requested with encoded slashes. Plain ones would lead to `b`.
    let literal = repository.contains('.') && repository.split('/').any(resolves);
    if !literal && is_plain(repository, b'/') && is_plain(digest, b':') {
        return Spelling::Plain;
    }
    let name = utf8_percent_encode(repository, if literal { SEGMENT } else { PATH });
    let digest = utf8_percent_encode(digest, SEGMENT);
    Spelling::Encoded(format!("/v2/{name}/{kind}/{digest}"))
}

/// Whether the text may be in a URL as it is: nearly all names and digests consist
/// of the characters that are tested, and of `more`.
fn is_plain(text: &str, more: u8) -> bool {
    all(text, |byte| {
        is_simple(byte) | (byte == b'.') | (byte == more)
    })
}

fn is_plain_without_dots(name: &str) -> bool {
    all(name, |byte| is_simple(byte) | (byte == b'/'))
}

/// Whether it is a letter, a digit, a hyphen or an underscore. Has no branch.
#[inline(always)]
fn is_simple(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    is_letter | (byte.wrapping_sub(b'0') < 10) | (byte == b'-') | (byte == b'_')
}

/// Whether all bytes are such. Testing every byte is faster than stopping at the first
/// that is not, because many are tested at once.
#[inline(always)]
fn all(text: &str, is_such: impl Fn(u8) -> bool) -> bool {
    const BLOCK: usize = 16;
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
    // A letter is such.
    let mut last = [b'a'; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let all = |block: &[u8; BLOCK]| block.iter().fold(true, |all, byte| all & is_such(*byte));
    blocks.iter().all(all) && all(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:01";

    #[test]
    fn names_are_percent_encoded_in_urls() {
        for (repository, shown) in [
            ("library/debian", None),
            ("Reg.Example.COM/_x", None),
            ("a//b", None),
            ("a..b/...", None),
            ("Reg.Example.COM:5000/_x~", Some("Reg.Example.COM:5000/_x~")),
            ("a b/é", Some("a%20b/%C3%A9")),
            ("a%20b", Some("a%2520b")),
            ("a?b#c\"<'>", Some("a%3Fb%23c%22%3C%27%3E")),
            ("evil/../victim", Some("evil%2F..%2Fvictim")),
            ("./a", Some(".%2Fa")),
        ] {
            let expected = match shown {
                None => Spelling::Plain,
                Some(shown) => Spelling::Encoded(format!("/v2/{shown}/manifests/{D}")),
            };
            assert_eq!(
                spelling(repository, "manifests", D, false),
                expected,
                "{repository}"
            );
            assert_eq!(spelling(repository, "manifests", D, true), expected);
        }
        let encoded = "/v2/a/blobs/sha256:a%2F..%2Fb%20c".to_owned();
        let found = spelling("a", "blobs", "sha256:a/../b c", false);
        assert_eq!(found, Spelling::Encoded(encoded));
    }

    #[test]
    fn no_url_leads_elsewhere() {
        for (repository, digest) in [("..", D), (".", D), ("a", ".."), ("a", "."), ("a", "")] {
            assert_eq!(spelling(repository, "blobs", digest, false), Spelling::None);
        }
        for is_plain_digest in [false, true] {
            assert_eq!(spelling("", "blobs", D, is_plain_digest), Spelling::None);
        }
    }
}
