//! The trace that a request belongs to.

use std::borrow::Cow;

use http::HeaderName;

use super::headers::EndToEnd;

static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Returns the `traceparent` of a request if there is exactly one and it is
/// valid by [W3C Trace Context]. What versions after 00 add is removed, as the
/// recommendation demands.
///
/// [W3C Trace Context]: https://www.w3.org/TR/trace-context/#traceparent-header
pub(super) fn trace_parent(headers: EndToEnd<'_>) -> Option<Cow<'_, str>> {
    let value = headers.single(&TRACE_PARENT).text()?;
    let (known, more) = value.split_at_checked(LENGTH)?;
    let mut fields = known.split('-');
    let mut field = |length| fields.next().filter(|it| is_hex(it, length));
    let (version, trace) = (field(2)?, field(32)?);
    let (parent, flags) = (field(16)?, field(2)?);
    let set = |id: &str| id.bytes().any(|digit| digit != b'0');
    let ends = more.is_empty() || (version != "00" && more.starts_with('-'));
    if version == "ff" || !set(trace) || !set(parent) || !ends {
        return None;
    }
    // The one flag of version 00: the trace is recorded.
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    Some(match version {
        "00" => Cow::Borrowed(known),
        _ => Cow::Owned(format!("00-{trace}-{parent}-0{sampled}")),
    })
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    const IDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    fn given<const N: usize>(values: [&str; N]) -> Option<String> {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let values = values.map(|text| (TRACE_PARENT.clone(), value(text)));
        let headers: HeaderMap = values.into_iter().collect();
        trace_parent(EndToEnd::of(&headers)).map(Cow::into_owned)
    }

    #[test]
    fn a_valid_trace_parent_is_kept_and_a_later_one_brought_to_version_00() {
        for (version, end, kept) in [
            ("00", "-01", Some("01")),
            ("00", "-a2", Some("a2")),
            ("00", "-01-", None),
            ("00", "-01-more", None),
            ("cc", "-03", Some("01")),
            ("cc", "-02-what-comes", Some("00")),
            ("cc", "-02.what-comes", None),
            ("ff", "-01", None),
            ("0", "-01", None),
            ("0A", "-01", None),
            ("00", "-0", None),
            ("00", "-0x", None),
            ("00", "", None),
        ] {
            let kept = kept.map(|flags| format!("00-{IDS}-{flags}"));
            assert_eq!(
                given([&*format!("{version}-{IDS}{end}")]),
                kept,
                "{version} {end}"
            );
        }
    }

    #[test]
    fn trace_parents_that_are_not_valid_are_none() {
        let (trace, parent) = IDS.split_once('-').unwrap();
        for wrong in [
            "".into(),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-00000000000000000000000000000000-{parent}-01"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{trace}{parent}--01"),
            format!("00-{trace}-{parent}_01"),
            format!(" 00-{trace}-{parent}-01"),
        ] {
            assert_eq!(given([&*wrong]), None, "{wrong:?}");
        }
        let right = format!("00-{IDS}-01");
        assert_eq!(given([&*right, &*right]), None, "two of them");
        assert_eq!(given([]), None);
        let text = HeaderValue::from_bytes(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é".as_bytes(),
        );
        let headers = HeaderMap::from_iter([(TRACE_PARENT.clone(), text.unwrap())]);
        assert_eq!(trace_parent(EndToEnd::of(&headers)), None);
        let long = format!("01-{IDS}-01-{}", "x".repeat(100_000));
        assert_eq!(given([&*long]), Some(format!("00-{IDS}-01")));
    }
}
