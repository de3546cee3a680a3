//! RFC 3339 timestamps as Go writes them: nanoseconds, trailing zeros trimmed.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(
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
    parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 timestamp"))
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

/// Appends `time`, in UTC.
pub(super) fn write(out: &mut Vec<u8>, time: SystemTime) {
    write_since_1970(out, since_1970(time));
}

/// Appends a time, in UTC, of seconds and nanoseconds [since 1970](since_1970). RFC 3339
/// has the years 0 to 9999. A time outside them becomes the nearest one within.
pub(super) fn write_since_1970(out: &mut Vec<u8>, (seconds, nanoseconds): (i64, u32)) {
    let (seconds, nanoseconds) = match seconds {
        ..FIRST => (FIRST, 0),
        AFTER_LAST.. => (AFTER_LAST - 1, 999_999_999),
        _ => (seconds, nanoseconds),
    };
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    text[..WHOLE].copy_from_slice(&whole(seconds));
    for (at, pair) in [
        (20, nanoseconds / 10_000_000),
        (22, nanoseconds / 100_000 % 100),
        (24, nanoseconds / 1_000 % 100),
        (26, nanoseconds / 10 % 100),
    ] {
        let [tens, ones] = PAIRS[pair as usize % PAIRS.len()];
        text[at] = tens;
        text[at + 1] = ones;
    }
    text[28] = b'0' + (nanoseconds % 10) as u8;
    let mut end = text.len() - 1;
    while text[end - 1] == b'0' && end > WHOLE {
        end -= 1;
    }
    // Without a fraction there is no point either.
    if end == WHOLE {
        end -= 1;
    }
    text[end] = b'Z';
    let length = out.len() + end + 1;
    out.extend_from_slice(&text);
    out.truncate(length);
}

/// Bytes of a time up to the point before its fraction.
const WHOLE: usize = 20;

thread_local! {
    /// The last second that was written. Most events are of the same second as the one
    /// before.
    static SECOND: Cell<(i64, [u8; WHOLE])> = const { Cell::new((0, *b"1970-01-01T00:00:00.")) };
}

/// Returns how a second within the years 0 to 9999 is written, with a point.
fn whole(seconds: i64) -> [u8; WHOLE] {
    let (last, text) = SECOND.get();
    if last == seconds {
        return text;
    }
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY) as u32);
    let (year, month, day) = date(days);
    let mut text = *b"0000-00-00T00:00:00.";
    for (at, pair) in [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, second / 3600),
        (14, second / 60 % 60),
        (17, second % 60),
    ] {
        let [tens, ones] = PAIRS[pair as usize % PAIRS.len()];
        text[at] = tens;
        text[at + 1] = ones;
    }
    SECOND.set((seconds, text));
    text
}

/// The seconds of a day. `SystemTime` does not count leap seconds.
const DAY: i64 = 86_400;
/// Days of 400 years, after which the calendar repeats itself.
const ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const MARCH_0: i64 = 719_468;
/// 0000-01-01T00:00:00Z, and the second after 9999-12-31T23:59:59Z.
const FIRST: i64 = -62_167_219_200;
const AFTER_LAST: i64 = 253_402_300_800;

/// Takes a time apart into seconds since 1970, negative before, and nanoseconds.
pub(super) fn since_1970(time: SystemTime) -> (i64, u32) {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => {
            let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
            (seconds, after.subsec_nanos())
        }
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |it| -it);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanoseconds => (seconds.saturating_sub(1), 1_000_000_000 - nanoseconds),
            }
        }
    }
}

/// Puts together what [`since_1970`] has taken apart. `None` if the system has no such
/// time.
pub(super) fn of((seconds, nanoseconds): (i64, u32)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = match seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(whole),
        false => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    whole?.checked_add(Duration::from_nanos(nanoseconds.into()))
}

/// Year, month and day of a number of days since 1970, none before year 0. The
/// year is taken to begin in March, so that a leap day is its last.
///
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
fn date(days: i64) -> (u32, u32, u32) {
    let days = days + MARCH_0;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    (year.unsigned_abs() as u32, month as u32, day as u32)
}

/// The number of days from 1970 to a day of a month of a year, both from 1.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day = (153 * month + 2) / 5 + day - 1;
    era * ERA + year * 365 + year / 4 - year / 100 + day - MARCH_0
}

/// Reads an RFC 3339 timestamp. Digits beyond nanoseconds are dropped, and a
/// leap second is the second before it.
fn parse(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (
        number(date, 0, 4)?,
        number(date, 5, 2)?,
        number(date, 8, 2)?,
    );
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let (hour, minute, second) = (
        number(time, 0, 2)?,
        number(time, 3, 2)?,
        number(time, 6, 2)?,
    );
    let [b'-', b'-', b':', b':'] = [
        date.as_bytes()[4],
        date.as_bytes()[7],
        time.as_bytes()[2],
        time.as_bytes()[5],
    ] else {
        return None;
    };
    let (nanoseconds, offset) = match rest.strip_prefix('.') {
        Some(rest) => fraction(rest)?,
        None => (0, rest),
    };
    let offset = zone(offset)?;
    let leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = [
        31,
        28 + i64::from(leap),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let last = *last.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    if !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let time = hour * 3600 + minute * 60 + second.min(59);
    let seconds = days(year, month, day) * DAY + time - offset;
    of((seconds, nanoseconds))
}

/// The number of `width` digits at a place in a text.
fn number(text: &str, at: usize, width: usize) -> Option<i64> {
    let digits = text.get(at..at + width)?;
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all)
}

/// Nanoseconds of the digits at the start of a text, and the rest of it.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    let first = &digits[..digits.len().min(9)];
    let scale = 10_u32.pow(9 - first.len() as u32);
    Some((first.parse::<u32>().ok()? * scale, rest))
}

/// The seconds by which a zone is ahead of UTC.
fn zone(text: &str) -> Option<i64> {
    let sign = match text.as_bytes() {
        b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(text, 1, 2)?, number(text, 4, 2)?);
    let is_zone = text.len() == 6 && text.as_bytes()[3] == b':' && hours < 24 && minutes < 60;
    is_zone.then_some(sign * (hours * 3600 + minutes * 60))
}

/// The digits of the numbers below 100.
pub(super) const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    fn text(seconds: u64, nanoseconds: u32) -> String {
        let mut out = Vec::new();
        super::write_since_1970(&mut out, (seconds.cast_signed(), nanoseconds));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn trailing_zeros_are_trimmed_as_in_go() {
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

    fn written(time: SystemTime) -> String {
        let mut out = Vec::new();
        super::write(&mut out, time);
        String::from_utf8(out).unwrap()
    }

    fn chrono(text: &str) -> Option<SystemTime> {
        chrono::DateTime::parse_from_rfc3339(text)
            .map(Into::into)
            .ok()
    }

    #[test]
    fn an_invalid_timestamp_is_an_error() {
        for wrong in [
            "",
            "2025-11-24",
            "2025-11-24T10:27:29",
            "2025-11-24T10:27:29.Z",
            "2025-11-24T10:27:29ZZ",
            "2025-11-24T10:27:29+1:00",
            "2025-11-24T10:27:29+01",
            "2025-11-24T10:27:29+24:00",
            "2025-11-24X10:27:29Z",
            "2025-13-24T10:27:29Z",
            "2025-00-24T10:27:29Z",
            "2025-02-29T10:27:29Z",
            "2100-02-29T10:27:29Z",
            "2025-11-31T10:27:29Z",
            "2025-11-00T10:27:29Z",
            "2025-11-24T24:27:29Z",
            "2025-11-24T10:60:29Z",
            "2025-11-24T10:27:61Z",
            "+025-11-24T10:27:29Z",
            "2025-1--24T10:27:29Z",
            "2025/11/24T10:27:29Z",
            "2025-11-24T10-27-29Z",
            "ä025-11-24T10:27:29Z",
            "2025-11-24T10:27:29\u{e9}",
        ] {
            assert_eq!(super::parse(wrong), None, "{wrong}");
        }
        let leap = super::parse("2016-12-31T23:59:60Z").unwrap();
        assert_eq!(written(leap), "2016-12-31T23:59:59Z");
        let long = super::parse("2025-11-24t10:27:29.12345678987654321z").unwrap();
        assert_eq!(written(long), "2025-11-24T10:27:29.123456789Z");
    }

    proptest! {
        /// The reader and the writer of chrono, which is not fast and not small.
        #[test]
        fn every_time_is_written_and_read_as_chrono_does(
            seconds in super::FIRST..super::AFTER_LAST,
            nanoseconds in prop_oneof![Just(0), 0..1_000_000_000_u32, (0..1000_u32).prop_map(|it| it * 1_000_000)],
            minutes in -1439..1440,
        ) {
            let time = chrono::DateTime::from_timestamp(seconds, nanoseconds).unwrap();
            let text = written(time.into());
            prop_assert_eq!(chrono(&text), Some(time.into()));
            prop_assert_eq!(super::parse(&text), Some(time.into()));
            let offset = chrono::FixedOffset::east_opt(minutes * 60).unwrap();
            let elsewhere = time.with_timezone(&offset).to_rfc3339();
            if elsewhere.starts_with(|c: char| c.is_ascii_digit()) && chrono(&elsewhere).is_some() {
                prop_assert_eq!(super::parse(&elsewhere), Some(time.into()), "{}", elsewhere);
            }
        }

        #[test]
        fn nothing_panics(text in "[0-9TZtz:+. -]{0,40}|.{0,30}") {
            if let Some(time) = super::parse(&text) {
                written(time);
            }
        }
    }
}
