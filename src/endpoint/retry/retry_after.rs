//! Reads the header `Retry-After`.

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, RETRY_AFTER};

/// The longest wait that a receiver may ask for.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// Returns the wait that the receiver asks for with `Retry-After` (RFC 9110, section
/// 10.2.3), in seconds or as a date: at most an hour. `None` if there is no such
/// header, or its value is neither.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large for an integer is longer than the limit.
        let seconds = value.parse().map_or(LIMIT, Duration::from_secs);
        return Some(seconds.min(LIMIT));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let wait = until.duration_since(SystemTime::now()).unwrap_or_default();
    Some(wait.min(LIMIT))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_within_bounds() {
        let wait = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait(" 007 "), Some(Duration::from_secs(7)));
        for beyond in [
            "999999999",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999999999999999999999999999",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(wait(beyond), Some(LIMIT), "{beyond}");
        }
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let soon = wait(&soon).unwrap().as_secs();
        assert!((80..=90).contains(&soon), "{soon}");
        for bad in [
            "",
            "-1",
            "+1",
            "soon",
            "1.5",
            "1e3",
            "0x10",
            "1 2",
            "-99999999999999999999",
        ] {
            assert_eq!(wait(bad), None, "{bad}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
