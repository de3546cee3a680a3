//! The meaning of a plain scalar: [`Scalar`].
//!
//! It is that of Go's yaml package, which distribution uses: YAML 1.2, and YAML 1.1
//! where people rely on it (`yes`, `on`, `0755`).

use std::time::Duration;

/// The value of a plain scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
}

pub(super) fn resolve(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        _ => number(text).unwrap_or(Scalar::Text(text)),
    }
}

fn number(text: &str) -> Option<Scalar<'static>> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let text = text.replace('_', "");
    integer(&text).map(Scalar::Int).or_else(|| {
        let of_float = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let float = text.chars().all(of_float).then(|| text.parse().ok());
        float.flatten().map(Scalar::Float)
    })
}

fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some(_) if digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take another sign.
    let digits = Some(digits).filter(|it| it.starts_with(|c: char| c.is_ascii_hexdigit()))?;
    i64::from_str_radix(digits, radix)
        .ok()
        .map(|number| sign * i128::from(number))
}

/// Reads a duration as Go's `time.ParseDuration` does, such as `1h2m3.5s`. `None` if
/// it is invalid, negative, or longer than Go can represent (292 years).
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos: u128 = 0;
    loop {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after, |c| !c.is_ascii_digit() && c != '.');
        nanos = nanos.checked_add(decimal(number, nanos_of(unit)?)?)?;
        rest = after;
        if rest.is_empty() {
            return nanoseconds(i128::try_from(nanos).ok()?);
        }
    }
}

/// Returns the duration of a number without a unit: nanoseconds, as in Go.
pub(super) fn nanoseconds(number: i128) -> Option<Duration> {
    let nanos = i64::try_from(number).ok()?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

fn nanos_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Returns `number`, which has a digit and at most one point, times `unit`.
fn decimal(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| match text {
        "" => Some(0),
        _ => text.parse::<u64>().ok().map(u128::from),
    };
    // The digits that are cut off make less than a nanosecond, even of an hour.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    (digits(whole)? * unit).checked_add(digits(fraction)? * unit / scale)
}

fn split(text: &str, within: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !within(c)).unwrap_or(text.len()))
}

/// Reads a number of bytes with a unit, such as `64MiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text, |c| c.is_ascii_digit());
    let shift = match unit.trim_start() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_parse_as_in_go() {
        for (text, meaning) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("yes", Scalar::Bool(true)),
            ("Off", Scalar::Bool(false)),
            ("yEs", Scalar::Text("yEs")),
            ("10", Scalar::Int(10)),
            ("-10", Scalar::Int(-10)),
            ("1_000", Scalar::Int(1000)),
            ("010", Scalar::Int(8)),
            ("0o10", Scalar::Int(8)),
            ("0x1F", Scalar::Int(31)),
            ("0b11", Scalar::Int(3)),
            ("0", Scalar::Int(0)),
            ("08", Scalar::Float(8.0)),
            ("1e3", Scalar::Float(1000.0)),
            (".5", Scalar::Float(0.5)),
            ("--5", Scalar::Text("--5")),
            ("0x-5", Scalar::Text("0x-5")),
            ("-", Scalar::Text("-")),
            ("1s", Scalar::Text("1s")),
            ("99999999999999999999", Scalar::Float(1e20)),
        ] {
            assert_eq!(resolve(text), meaning, "{text:?}");
        }
    }

    #[test]
    fn durations_parse_as_in_go() {
        let nanos = |text| duration(text).map(|it| it.as_nanos());
        for (text, meaning) in [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("1ns", 1),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("500ms", 500_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("1m1m", 120_000_000_000),
            ("0.1234567891234567891234s", 123_456_789),
            ("2562047h47m16.854775807s", i64::MAX as u128),
        ] {
            assert_eq!(nanos(text), Some(meaning), "{text:?}");
        }
        for text in [
            "",
            "5",
            "s",
            ".s",
            "1..5s",
            "1.5.s",
            "-1s",
            "1 s",
            "1s ",
            "5 parsecs",
            "1d",
            "1S",
            "2562047h47m16.854775808s",
            "99999999999999999999999999999999999999h",
            "9999999999999999999h9999999999999999999h",
        ] {
            assert_eq!(nanos(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        for (text, meaning) in [
            ("64MiB", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("1KiB", Some(1024)),
            ("5B", Some(5)),
            ("64MB", None),
            ("MiB", None),
            ("5", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(size(text), meaning, "{text:?}");
        }
    }
}
