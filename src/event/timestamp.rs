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

/// The same for a time that may be missing.
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

/// Appends `time` in UTC. RFC 3339 knows the years 0 to 9999; a time outside
/// them becomes the nearest that is inside.
pub(super) fn write(out: &mut Vec<u8>, time: SystemTime) {
    let time = utc(time);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut text[..4], time.year().unsigned_abs());
    digits(&mut text[5..7], time.month());
    digits(&mut text[8..10], time.day());
    digits(&mut text[11..13], time.hour());
    digits(&mut text[14..16], time.minute());
    digits(&mut text[17..19], time.second());
    digits(&mut text[20..29], time.nanosecond());
    let mut end = text.len() - 1;
    while text[end - 1] == b'0' && end > 20 {
        end -= 1;
    }
    // Without a fraction there is no point either.
    if end == 20 {
        end = 19;
    }
    text[end] = b'Z';
    out.extend_from_slice(&text[..=end]);
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

/// Writes `number` in decimal over `digits`, whose length it must fit.
#[inline(always)]
fn digits(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
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
    fn a_time_that_has_no_text_becomes_the_nearest_that_has() {
        assert_eq!(text(1 << 62, 0), "9999-12-31T23:59:59.999999999Z");
        let long_ago = SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 62);
        let mut out = Vec::new();
        super::write(&mut out, long_ago);
        assert_eq!(String::from_utf8(out).unwrap(), "0000-01-01T00:00:00Z");
    }
}
