//! RFC 3339 timestamps as Go writes them: nanoseconds, trailing zeros trimmed.

use std::time::SystemTime;

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

/// The same for a time that need not be there.
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

/// Appends `time`, in UTC.
pub(super) fn write(out: &mut Vec<u8>, time: SystemTime) {
    let time = DateTime::<Utc>::from(time);
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
}
