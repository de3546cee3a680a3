//! RFC 3339 timestamps as Go writes them: nanoseconds, trailing zeros trimmed.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(
    time: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut out = Vec::with_capacity(30);
    write(&mut out, *time);
    serializer.serialize_str(&String::from_utf8_lossy(&out))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    DateTime::parse_from_rfc3339(&text)
        .map(SystemTime::from)
        .map_err(serde::de::Error::custom)
}

/// The same for an optional time.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Serializer, SystemTime};

    #[derive(Deserialize)]
    struct Time(#[serde(with = "super")] SystemTime);

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        Ok(Option::<Time>::deserialize(deserializer)?.map(|time| time.0))
    }
}

/// Appends `time`, in UTC. RFC 3339 has the years 0 to 9999. A time outside of
/// them becomes the nearest one within.
pub(super) fn write(out: &mut Vec<u8>, time: SystemTime) {
    let time = utc(time);
    digits(out, time.year().unsigned_abs(), 4);
    for (separator, number) in [
        (b'-', time.month()),
        (b'-', time.day()),
        (b'T', time.hour()),
        (b':', time.minute()),
        (b':', time.second()),
    ] {
        out.push(separator);
        digits(out, number, 2);
    }
    let nanoseconds = time.nanosecond();
    if nanoseconds > 0 {
        out.push(b'.');
        digits(out, nanoseconds, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

fn utc(time: SystemTime) -> DateTime<Utc> {
    const BEFORE_1970: Duration = Duration::from_secs(62_167_219_200);
    const SINCE_1970: Duration = Duration::new(253_402_300_799, 999_999_999);
    // Where one of them is out of the clock's range, so is what lies beyond it.
    let first = SystemTime::UNIX_EPOCH.checked_sub(BEFORE_1970);
    let last = SystemTime::UNIX_EPOCH.checked_add(SINCE_1970);
    let time = time.max(first.unwrap_or(time)).min(last.unwrap_or(time));
    DateTime::from(time)
}

/// Appends `number` in decimal with at least `width` digits, zeros first.
fn digits(out: &mut Vec<u8>, number: u32, width: usize) {
    let mut buffer = [b'0'; 10];
    let mut rest = number;
    let mut start = buffer.len();
    while rest > 0 {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&buffer[start.min(buffer.len() - width)..]);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    fn text(seconds: u64, nanoseconds: u32) -> String {
        let mut out = Vec::new();
        super::write(
            &mut out,
            SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds),
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn zeros_are_trimmed_as_go_does() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_782_400, 0), "2000-02-29T00:00:00Z");
        assert_eq!(text(1, 5), "1970-01-01T00:00:01.000000005Z");
        assert_eq!(text(1, 650_000_000), "1970-01-01T00:00:01.65Z");
        assert_eq!(text(253_402_300_799, 0), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_time_outside_of_rfc_3339_becomes_the_nearest_one_within() {
        assert_eq!(text(1 << 62, 0), "9999-12-31T23:59:59.999999999Z");
        let long_ago = SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 62);
        let mut out = Vec::new();
        super::write(&mut out, long_ago);
        assert_eq!(String::from_utf8(out).unwrap(), "0000-01-01T00:00:00Z");
    }
}
