//! Names on the wire of NATS: subjects, partitions and header values.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::event::{Action, Kind};

/// Returns the partition of a repository: the first eight bytes of its SHA-256,
/// big-endian, modulo the number of partitions.
///
/// Publishers in other languages and of other releases compute the same. A change would
/// put the events of one repository into two partitions, which are not ordered with
/// respect to each other.
pub(super) fn partition(repository: &str, partitions: u16) -> u16 {
    let hash = Sha256::digest(repository);
    let first = hash.iter().take(8);
    let number = first.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // The remainder is smaller than a `u16`.
    (number % u64::from(partitions.max(1))) as u16
}

/// Returns the subject of an event: `<prefix>.<partition>.<kind>.<action>`.
pub(super) fn of_event(prefix: &str, partition: u16, kind: Kind, action: Action) -> String {
    let (kind, action) = (kind.as_str(), action.as_str());
    format!("{prefix}.{partition}.{kind}.{action}")
}

/// Returns the subjects of all events.
pub(super) fn of_all(prefix: &str) -> String {
    format!("{prefix}.*.*.*")
}

/// Returns the subjects of a partition's events.
pub(super) fn of_partition(prefix: &str, partition: u16) -> String {
    format!("{prefix}.{partition}.*.*")
}

/// Whether a text can stand before the other tokens of a subject.
pub(super) fn is_prefix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.split('.')
        .all(|token| !token.is_empty() && token.bytes().all(plain))
}

/// Whether a text can name a stream.
pub(super) fn is_stream_name(text: &str) -> bool {
    !text.contains('.') && is_prefix(text)
}

/// The characters that a header value cannot have, or that would be lost: server and
/// clients trim spaces.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// Writes a text as a header value: control characters, spaces, `%` and all that
/// is not ASCII are percent-encoded. A repository may be named with anything
/// that a client sends, line ends included, which would begin another header.
pub(super) fn to_header(text: &str) -> Cow<'_, str> {
    // Nearly all texts, in a fraction of the time.
    if text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'%')
    {
        return Cow::Borrowed(text);
    }
    utf8_percent_encode(text, ESCAPED).into()
}

/// Reads what [`to_header`] has written.
pub(super) fn from_header(value: &str) -> Cow<'_, str> {
    percent_decode_str(value).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_a_repository_never_changes() {
        // As `printf library/debian | sha256sum` says: the first 16 digits, modulo 16.
        let cases = [
            ("library/debian", 16, 7),
            ("library/debian", 64, 39),
            ("library/debian", 1, 0),
            ("", 16, 4),
        ];
        for (repository, partitions, expected) in cases {
            assert_eq!(partition(repository, partitions), expected, "{repository}");
        }
    }

    #[test]
    fn repositories_spread_over_all_partitions() {
        for partitions in [2, 3, 16, 64] {
            let mut counts = vec![0; partitions.into()];
            for number in 0..10_000 {
                counts[usize::from(partition(&format!("team/app-{number}"), partitions))] += 1;
            }
            let fair = 10_000 / i32::from(partitions);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(*least > fair / 2 && *most < fair * 2, "{counts:?}");
        }
    }

    #[test]
    fn a_subject_says_partition_kind_and_action() {
        let subject = of_event("registry.events", 7, Kind::Blob, Action::Push);
        assert_eq!(subject, "registry.events.7.blob.push");
        assert_eq!(of_partition("registry.events", 7), "registry.events.7.*.*");
        assert_eq!(of_all("registry.events"), "registry.events.*.*.*");
    }

    #[test]
    fn names_that_nats_would_misread_are_refused() {
        for prefix in [
            "", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "$JS", "a\r\nb", "é",
        ] {
            assert!(!is_prefix(prefix), "{prefix:?}");
        }
        assert!(is_prefix("registry.notifications-1"));
        assert!(is_stream_name("REGISTRY_1"));
        assert!(!is_stream_name("a.b"));
    }

    #[test]
    fn any_text_survives_in_a_header_and_none_begins_another() {
        for text in [
            "library/debian",
            "a\r\nNats-Msg-Id: x",
            " a ",
            "50%25",
            "bücher",
            "\0\u{7f}",
        ] {
            let value = to_header(text);
            assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{value}");
            assert_eq!(from_header(&value), text);
        }
        assert!(matches!(to_header("library/debian"), Cow::Borrowed(_)));
    }
}
