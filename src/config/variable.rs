//! Variables of the environment, as errors and warnings name them: [`Variable`].
//!
//! The value is shown only if the variable's name cannot be that of a secret.

use std::fmt;

use super::hint;
use crate::redact::without_user_info;

/// The beginning of the names of all variables.
pub(super) const PREFIX: &str = "REGISTRY_NOTIFICATIONS";

/// The last parts of names whose values are not secrets. Other values are left out of
/// messages: a misspelt variable may be meant for a header.
const PUBLIC: [&str; 48] = [
    "ACCEPTREDIRECTS",
    "ACTIONS",
    "ADDR",
    "AGE",
    "ALLOW",
    "ATTEMPTS",
    "BACKOFF",
    "BASE",
    "BYTES",
    "CAP",
    "COMPACT",
    "CONCURRENCY",
    "CONNECTTIMEOUT",
    "DISABLED",
    "EVENTS",
    "EVENTTYPE",
    "FACTOR",
    "FANOUTTIMEOUT",
    "FILE",
    "FILES",
    "FORMAT",
    "IGNOREDMEDIATYPES",
    "INCLUDEREFERENCES",
    "KINDS",
    "LINGER",
    "MAXAGE",
    "MAXBYTES",
    "MAXRETRIES",
    "MEDIATYPES",
    "NAME",
    "OVERFLOW",
    "PATH",
    "POLICY",
    "PROXYFROMENV",
    "PUBLICHOST",
    "QUEUEPURGETIMEOUT",
    "QUEUESIZELIMIT",
    "REPOSITORIES",
    "RETENTION",
    "RETRY",
    "ROOTCERTIFICATES",
    "SEQUENCE",
    "SYSTEMROOTS",
    "TAGS",
    "THRESHOLD",
    "TIMEOUT",
    "URL",
    "WAITFORPULLS",
];
/// The length in characters of the longest value that a message shows.
const SHOWN: usize = 80;

/// A variable of the environment.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
}

impl Variable {
    /// Whether this is the variable of the key itself, and not of a map or list
    /// around it.
    pub(super) fn is_of(&self, path: &str) -> bool {
        name_of(path).eq_ignore_ascii_case(&self.name)
    }

    /// Returns the variable that was probably meant. `wrong` is the path of a key that
    /// is not known, and `right` that of a similar key.
    pub(super) fn instead(&self, wrong: &str, right: &str) -> Option<String> {
        let wrong = name_of(wrong);
        let start = self.name.get(..wrong.len())?;
        let rest = self.name.get(wrong.len()..)?;
        let name = format!("{}{rest}", name_of(right));
        let name = match name
            .strip_prefix(PREFIX)
            .and_then(|it| it.strip_prefix('_'))
        {
            Some(rest) => format!("{PREFIX}_{}", hint::complete(rest)),
            None => name,
        };
        let same = start.eq_ignore_ascii_case(&wrong);
        same.then(|| self.assignment(&name))
    }

    /// Returns the variable that was probably meant by this one.
    pub(super) fn likely_variable(&self) -> Option<String> {
        let meant = hint::likely_name(self.name.strip_prefix(PREFIX)?)?;
        Some(self.assignment(&format!("{PREFIX}_{meant}")))
    }

    /// Returns a replacement for this variable if it was meant for a header with dashes
    /// in its name, which no shell can set: the variable of all headers, whose path is
    /// `headers`.
    pub(super) fn with_dashes(&self, headers: &str) -> Option<String> {
        let headers = name_of(headers);
        let header = self.name.strip_prefix(&headers)?.strip_prefix('_')?;
        let header = header.replace('_', "-").to_lowercase();
        Some(format!("{headers}='{{{header}: …}}'"))
    }

    /// Whether the value looks like a URL.
    pub(super) fn is_url(&self) -> bool {
        self.value.contains("://")
    }

    /// Returns the assignment of this variable's value to `name`, as text.
    pub(super) fn assignment(&self, name: &str) -> String {
        let last = name.split('_').rfind(|part| !is_number(part));
        // A header may have any name.
        let is_header = name.contains("_HEADERS_");
        let is_public = !is_header && last.is_some_and(|part| PUBLIC.contains(&part));
        let value = without_user_info(&self.value);
        let is_short = value.chars().count() <= SHOWN && !value.contains(char::is_control);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,…".contains(c);
        // Several items of a list that were written as one value.
        let is_list = name.ends_with("_0") && value.contains(',');
        let (name, value) = match name.strip_suffix("_0") {
            Some(list) if is_list && last.is_some_and(|it| list.ends_with(it)) => {
                (list, format!("[{value}]"))
            }
            _ => (name, value),
        };
        match is_public && is_short {
            false => format!("{name}=…"),
            true if !value.is_empty() && value.chars().all(plain) => format!("{name}={value}"),
            true => format!("{name}='{}'", value.replace('\'', r"'\''")),
        }
    }

    /// Whether Kubernetes sets this variable for a service, or Docker (and
    /// Kubernetes) for a link, whose name begins like those of this crate: the service
    /// `registry-notifications-listener` has
    /// `REGISTRY_NOTIFICATIONS_LISTENER_SERVICE_HOST`.
    pub(super) fn is_of_a_service(&self) -> bool {
        let parts: Vec<&str> = self.name.split('_').collect();
        let is_protocol = |part: &str| matches!(part, "TCP" | "UDP" | "SCTP");
        let ends = |end: &[&str]| match end {
            ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
            ["PORT"] => self.value.contains("://"),
            ["PORT", port, protocol] => is_number(port) && is_protocol(protocol),
            // The last two are of a range of ports.
            ["PORT", port, protocol, rest @ ..] => {
                let ends = [
                    &["PROTO"][..],
                    &["PORT"],
                    &["ADDR"],
                    &["START"],
                    &["END"],
                    &["PORT", "START"],
                    &["PORT", "END"],
                ];
                is_number(port) && is_protocol(protocol) && ends.contains(&rest)
            }
            ["NAME"] => self.value.starts_with('/'),
            ["ENV", _, ..] => true,
            _ => false,
        };
        (2..parts.len()).any(|at| ends(&parts[at..]))
    }
}

/// Shows the name without the value, which may be a secret.
impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Variable").field(&self.name).finish()
    }
}

/// Returns the variable of a key: `REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL` for
/// `notifications.endpoints[0].url`.
pub(super) fn name_of(path: &str) -> String {
    let name: String = path.replace(['.', '['], "_").replace(']', "");
    format!("REGISTRY_{}", name.to_uppercase())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: &str) -> Variable {
        Variable {
            name: format!("{PREFIX}_{name}"),
            value: value.into(),
        }
    }

    #[test]
    fn variables_of_services_and_links_are_told_from_settings() {
        for (name, value, of_a_service) in [
            ("SERVICE_HOST", "10.0.0.1", true),
            ("LISTENER_SERVICE_HOST", "10.0.0.1", true),
            ("LISTENER_SERVICE_PORT", "80", true),
            ("LISTENER_SERVICE_PORT_HTTP", "80", true),
            ("LISTENER_SERVICE_PORT_HTTP_ADMIN", "80", true),
            ("PORT", "tcp://10.0.0.1:80", true),
            ("A_B_C_PORT", "udp://10.0.0.1:53", true),
            ("LISTENER_PORT_80_TCP", "tcp://10.0.0.1:80", true),
            ("LISTENER_PORT_80_TCP_ADDR", "10.0.0.1", true),
            ("LISTENER_PORT_80_UDP_PROTO", "udp", true),
            ("LISTENER_PORT_80_SCTP_PORT", "80", true),
            ("LISTENER_PORT_80_TCP_START", "tcp://10.0.0.1:80", true),
            ("LISTENER_PORT_80_TCP_PORT_END", "90", true),
            ("LISTENER_PORT_80_TCP_END_X", "", false),
            ("ENDPOINTS_0_SERVICE_HOST", "10.0.0.1", true),
            ("LISTENER_NAME", "/web/listener", true),
            ("LISTENER_ENV_PATH", "/usr/bin", true),
            ("PORT", "80", false),
            ("LISTENER_NAME", "x", false),
            ("LISTENER_PORT_X_TCP", "", false),
            ("LISTENER_PORT_80_HTTP", "", false),
            ("LISTENER_SERVICE", "", false),
            ("ENDPOINTS_0_TIMEUOT", "5s", false),
        ] {
            let variable = variable(name, value);
            assert_eq!(variable.is_of_a_service(), of_a_service, "{name}");
        }
    }

    #[test]
    fn only_values_that_are_no_secrets_are_repeated() {
        for (name, value, written) in [
            ("ENDPOINTS_0_TIMEOUT", "5s", "ENDPOINTS_0_TIMEOUT=5s"),
            (
                "ENDPOINTS_0_IGNORE_ACTIONS_0",
                "pull",
                "ENDPOINTS_0_IGNORE_ACTIONS_0=pull",
            ),
            (
                "ENDPOINTS_0_NAME",
                "it's me",
                r"ENDPOINTS_0_NAME='it'\''s me'",
            ),
            ("ENDPOINTS_0_NAME", "", "ENDPOINTS_0_NAME=''"),
            ("ENDPOINTS_0_NAME", "a\nb", "ENDPOINTS_0_NAME=…"),
            (
                "ENDPOINTS_0_URL",
                "http://me:hush@h/",
                "ENDPOINTS_0_URL=http://…@h/",
            ),
            (
                "ENDPOINTS_0_HEADERS_AUTHORIZATION",
                "hush",
                "ENDPOINTS_0_HEADERS_AUTHORIZATION=…",
            ),
            (
                "ENDPOINTS_0_HEADERS_NAME",
                "hush",
                "ENDPOINTS_0_HEADERS_NAME=…",
            ),
            (
                "ENDPOINTS_0_SIGNINGSECRETS_0",
                "hush",
                "ENDPOINTS_0_SIGNINGSECRETS_0=…",
            ),
            ("ENDPOINTS_0_X", "hush", "ENDPOINTS_0_X=…"),
            ("0", "hush", "0=…"),
        ] {
            let name = format!("{PREFIX}_{name}");
            let written = format!("{PREFIX}_{written}");
            assert_eq!(variable("X", value).assignment(&name), written);
        }
        assert!(!format!("{:?}", variable("X", "hush")).contains("hush"));
    }
}
