//! Guesses which variable was meant by one whose name leads to no setting: [`likely_name`].

use super::spelling::distance;

/// The variables of all settings, without their common beginning. `0` stands for any
/// number.
const NAMES: [&str; 67] = [
    "ENDPOINTS",
    "ENDPOINTS_0_ACCEPTREDIRECTS",
    "ENDPOINTS_0_ADDRESSES_ALLOW",
    "ENDPOINTS_0_ADDRESSES_POLICY",
    "ENDPOINTS_0_BACKOFF",
    "ENDPOINTS_0_BATCH_BYTES",
    "ENDPOINTS_0_BATCH_EVENTS",
    "ENDPOINTS_0_BATCH_LINGER",
    "ENDPOINTS_0_CLIENTCERTIFICATE_CERTIFICATE",
    "ENDPOINTS_0_CLIENTCERTIFICATE_KEY",
    "ENDPOINTS_0_COMPACT",
    "ENDPOINTS_0_CONCURRENCY",
    "ENDPOINTS_0_CONNECTTIMEOUT",
    "ENDPOINTS_0_DEADLETTERS_FILE",
    "ENDPOINTS_0_DEADLETTERS_FILES",
    "ENDPOINTS_0_DEADLETTERS_MAXBYTES",
    "ENDPOINTS_0_DISABLED",
    "ENDPOINTS_0_EVENTTYPE",
    "ENDPOINTS_0_FORMAT",
    "ENDPOINTS_0_HEADERS",
    "ENDPOINTS_0_HEADERS_AUTHORIZATION",
    "ENDPOINTS_0_HMAC_HEADER",
    "ENDPOINTS_0_HMAC_SECRET",
    "ENDPOINTS_0_IGNOREDMEDIATYPES",
    "ENDPOINTS_0_IGNORE_ACTIONS",
    "ENDPOINTS_0_IGNORE_KINDS",
    "ENDPOINTS_0_IGNORE_MEDIATYPES",
    "ENDPOINTS_0_IGNORE_REPOSITORIES",
    "ENDPOINTS_0_IGNORE_TAGS",
    "ENDPOINTS_0_INCLUDE_ACTIONS",
    "ENDPOINTS_0_INCLUDE_KINDS",
    "ENDPOINTS_0_INCLUDE_MEDIATYPES",
    "ENDPOINTS_0_INCLUDE_REPOSITORIES",
    "ENDPOINTS_0_INCLUDE_TAGS",
    "ENDPOINTS_0_MAXRETRIES",
    "ENDPOINTS_0_NAME",
    "ENDPOINTS_0_PROXYFROMENV",
    "ENDPOINTS_0_QUEUEPURGETIMEOUT",
    "ENDPOINTS_0_QUEUESIZELIMIT",
    "ENDPOINTS_0_QUEUE_BYTES",
    "ENDPOINTS_0_QUEUE_EVENTS",
    "ENDPOINTS_0_QUEUE_OVERFLOW",
    "ENDPOINTS_0_RETRY",
    "ENDPOINTS_0_RETRY_AGE",
    "ENDPOINTS_0_RETRY_ATTEMPTS",
    "ENDPOINTS_0_RETRY_BASE",
    "ENDPOINTS_0_RETRY_CAP",
    "ENDPOINTS_0_RETRY_FACTOR",
    "ENDPOINTS_0_ROOTCERTIFICATES",
    "ENDPOINTS_0_SEQUENCE",
    "ENDPOINTS_0_SIGNINGSECRETS",
    "ENDPOINTS_0_SYSTEMROOTS",
    "ENDPOINTS_0_THRESHOLD",
    "ENDPOINTS_0_TIMEOUT",
    "ENDPOINTS_0_URL",
    "EVENTCONFIG_INCLUDEREFERENCES",
    "EVENTS_INCLUDEREFERENCES",
    "FANOUTTIMEOUT",
    "JOURNAL",
    "JOURNAL_MAXAGE",
    "JOURNAL_MAXBYTES",
    "JOURNAL_PATH",
    "JOURNAL_RETENTION",
    "JOURNAL_STARTFROMOLDEST",
    "JOURNAL_WAITFORPULLS",
    "SOURCE_ADDR",
    "SOURCE_PUBLICHOST",
];

/// Returns the name that was probably meant by `name`, both without the common beginning:
/// one with the same letters (`SOURCE_PUBLIC_HOST`), one whose beginning was left out
/// (`INCLUDEREFERENCES`), or one with a similar spelling. It has the numbers of `name`.
pub(super) fn likely_name(name: &str) -> Option<String> {
    let given = letters(name);
    if given.is_empty() || given.len() > 60 {
        return None;
    }
    let rest = given.strip_prefix("ENDPOINT").unwrap_or(&given);
    let rest = rest.strip_prefix('S').unwrap_or(rest);
    let best = with_letters(&given)
        .or_else(|| shortest(|name| ends_with(name, rest)))
        .or_else(|| shortest(|name| distance(&letters(name), &given) <= 2))?;
    Some(numbered(best, name))
}

/// Returns a name with the number that it lacks, such as `ENDPOINTS_0_URL` for
/// `ENDPOINTS_URL`.
pub(super) fn complete(name: &str) -> String {
    match with_letters(&letters(name)) {
        Some(known) if numbers(known).count() > numbers(name).count() => numbered(known, name),
        _ => name.to_owned(),
    }
}

fn with_letters(given: &str) -> Option<&'static str> {
    shortest(|name| letters(name) == given)
}

fn shortest(is_it: impl Fn(&str) -> bool) -> Option<&'static str> {
    let found = NAMES.into_iter().filter(|name| is_it(name));
    found.min_by_key(|name| name.len())
}

/// Whether the last parts of a name have these letters.
fn ends_with(name: &str, rest: &str) -> bool {
    let parts: Vec<_> = name.split('_').collect();
    (0..parts.len()).any(|at| letters(&parts[at..].concat()) == rest)
}

/// Returns a known name with the numbers of another one.
fn numbered(known: &str, name: &str) -> String {
    let mut numbers = numbers(name);
    let mut parts: Vec<&str> = known.split('_').collect();
    for part in parts.iter_mut().filter(|part| is_number(part)) {
        *part = numbers.next().unwrap_or(part);
    }
    // Numbers that are left over belong to the items of a list.
    parts.extend(numbers);
    parts.join("_")
}

fn numbers(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').filter(|part| is_number(part))
}

/// Returns the letters of a name, in capitals.
fn letters(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_ascii_alphabetic());
    letters.map(|c| c.to_ascii_uppercase()).collect()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::config::variable::PREFIX;

    #[test]
    fn the_variable_that_was_meant_is_found() {
        for (name, right) in [
            ("SOURCE_PUBLIC_HOST", Some("SOURCE_PUBLICHOST")),
            (
                "ENDPOINTS_3_IGNOREACTIONS",
                Some("ENDPOINTS_3_IGNORE_ACTIONS"),
            ),
            (
                "ENDPOINTS_0_IGNORE_MEDIA_TYPES",
                Some("ENDPOINTS_0_IGNORE_MEDIATYPES"),
            ),
            (
                "ENDPOINTS_0_IGNORED_MEDIA_TYPES",
                Some("ENDPOINTS_0_IGNOREDMEDIATYPES"),
            ),
            ("ENDPOINT_URL", Some("ENDPOINTS_0_URL")),
            ("URL", Some("ENDPOINTS_0_URL")),
            ("TIMEOUT", Some("ENDPOINTS_0_TIMEOUT")),
            (
                "ENDPOINTS_2_IGNOREACTIONS_1",
                Some("ENDPOINTS_2_IGNORE_ACTIONS_1"),
            ),
            ("_ENDPOINTS__1__NAME", Some("ENDPOINTS_1_NAME")),
            ("INCLUDEREFERENCES", Some("EVENTS_INCLUDEREFERENCES")),
            ("EVENT_INCLUDEREFERENCES", Some("EVENTS_INCLUDEREFERENCES")),
            ("ENDPOINTS_0_MAX_RETRIES", Some("ENDPOINTS_0_MAXRETRIES")),
            ("COLOR", None),
            ("X", None),
            ("", None),
        ] {
            assert_eq!(likely_name(name).as_deref(), right, "{name}");
        }
    }

    #[test]
    fn a_name_gets_the_number_that_it_lacks() {
        for (name, right) in [
            ("ENDPOINTS_URL", "ENDPOINTS_0_URL"),
            ("ENDPOINTS_1_URL", "ENDPOINTS_1_URL"),
            (
                "ENDPOINTS_0_IGNORE_ACTIONS_0",
                "ENDPOINTS_0_IGNORE_ACTIONS_0",
            ),
            ("ENDPOINTS_0_HEADERS_X", "ENDPOINTS_0_HEADERS_X"),
        ] {
            assert_eq!(complete(name), right);
        }
    }

    #[test]
    fn every_setting_has_its_name() {
        let rows = include_str!("config.rs").lines();
        let rows = rows.filter_map(|it| it.strip_prefix("/// | `"));
        let cells = rows.filter_map(|row| row.split(" |").next());
        let mut keys = 0;
        for key in cells.flat_map(|cell| cell.trim_end_matches('`').split("`, `")) {
            let known = |name: &str| letters(name).ends_with(&letters(key));
            assert!(NAMES.iter().any(|name| known(name)), "{key} has no name");
            keys += 1;
        }
        assert!(keys > 50, "{keys}");
    }

    #[test]
    fn every_name_is_that_of_a_setting() {
        for name in NAMES {
            // A list in a list is wrong everywhere, but not unknown.
            let variable = (format!("{PREFIX}_{name}"), "[[x]]");
            let config = Config::from_yaml("notifications: {endpoints: [{}]}").unwrap();
            let read = config.override_from([variable]);
            assert!(read.is_err(), "{name} leads to no setting");
        }
    }
}
