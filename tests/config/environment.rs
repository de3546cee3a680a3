//! Variables of the environment.

use tower_registry_notifications::{BuildError, Config, Notifier, NotifierBuilder};
use tracing::Level;

use crate::common::captured::Captured;
use crate::expected::{of_reference, told};

pub(crate) fn overridden(
    text: &str,
    environment: &[(&str, &str)],
) -> Result<NotifierBuilder, BuildError> {
    let name = |name: &str| format!("REGISTRY_NOTIFICATIONS{name}");
    let environment = environment.iter().map(|(key, value)| (name(key), value));
    let config = Config::from_yaml(text)?.override_from(environment)?;
    config.notifier()
}

pub(crate) const FILE: &str = "notifications: {endpoints: [{name: a, url: 'http://h'}]}";

/// The notifier, and what was warned of.
pub(crate) fn warned(text: &str, environment: &[(&str, &str)]) -> (NotifierBuilder, Vec<String>) {
    let (captured, _guard) = Captured::all();
    let builder = overridden(text, environment).unwrap_or_else(|error| panic!("{error}"));
    let warnings = captured.at(&[Level::WARN]).into_iter().map(|line| {
        let (_, message) = line.split_once("config::environment: ").unwrap();
        message.trim_end().to_owned()
    });
    (builder, warnings.collect())
}

#[test]
fn invalid_values_of_variables_are_named() {
    for (key, value, message) in [
        (
            "_ENDPOINTS_0_TIMEOUT",
            "5 parsecs",
            ": notifications.endpoints[0].timeout: \"5 parsecs\" is not a duration: write it like 500ms or 1m30s",
        ),
        (
            "_ENDPOINTS_0_TIMEOUT",
            "500",
            ": notifications.endpoints[0].timeout: 500 means 500 ns: \
             write REGISTRY_NOTIFICATIONS_ENDPOINTS_0_TIMEOUT=500ms",
        ),
        (
            "_ENDPOINTS_0_FORMAT",
            "V1",
            ": notifications.endpoints[0].format: \"V1\" is not known here: \
             did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_FORMAT=v1?",
        ),
        (
            "_ENDPOINTS",
            "[{name: a, url: 'http://h', timeout: 500}]",
            ", line 1: notifications.endpoints[0].timeout: 500 means 500 ns: write 500ms",
        ),
        (
            "_ENDPOINTS",
            "[hush",
            ": is not valid YAML: unclosed bracket '[': a text may need quotes, like '\"@text\"'",
        ),
        (
            "_ENDPOINTS_0_HEADERS_AUTHORIZATION",
            "@hush",
            ": is not valid YAML: unexpected character: `@': a text may need quotes, like '\"@text\"'",
        ),
        (
            "_ENDPOINTS",
            "\n- name: a\n  timeout: x",
            ", line 3: notifications.endpoints[0].timeout: \"x\" is not a duration: write it like 500ms or 1m30s",
        ),
        (
            "_ENDPOINTS_0_HEADERS_AUTHORIZATION",
            "{Bearer hush: }",
            ": notifications.endpoints[0].headers.authorization: is a map, not a text: write one value, in quotes if it is a special one",
        ),
        (
            "_ENDPOINTS",
            "[{name: a, url: 'http://h', tiemout: 5s}]",
            ", line 1: notifications.endpoints[0].tiemout: is not known here: did you mean \"timeout\"?",
        ),
    ] {
        let error = overridden(FILE, &[(key, value)]).expect_err(key);
        let message = message.replace(", line 1", "");
        assert_eq!(
            error.to_string(),
            format!("REGISTRY_NOTIFICATIONS{key}{message}")
        );
        assert_eq!(error.mistakes()[0].line(), None);
    }
}

#[test]
fn variables_of_services_and_links_are_ignored_at_any_depth() {
    let of_services = [
        ("_SERVICE_HOST", "10.0.0.1"),
        ("_PORT", "tcp://10.0.0.1:80"),
        ("_LISTENER_SERVICE_HOST", "10.0.0.1"),
        ("_LISTENER_SERVICE_PORT_HTTP", "80"),
        ("_LISTENER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("_LISTENER_ENV_PATH", "/bin"),
        ("_ENDPOINTS_SERVICE_HOST", "10.0.0.1"),
        ("_ENDPOINTS_PORT", "tcp://10.0.0.1:80"),
        ("_ENDPOINTS_7_SERVICE_HOST", "10.0.0.1"),
        ("_ENDPOINTS_0_SERVICE_PORT", "80"),
        ("_ENDPOINTS_0_HEADERS_SERVICE_HOST", "10.0.0.1"),
        ("_ENDPOINTS_0_HEADERS_X_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("_ENDPOINTS_0_URL_SERVICE_HOST", "10.0.0.1"),
        ("_ENDPOINTS_0_RETRY_SERVICE_PORT", "80"),
        ("_SOURCE_ADDR_SERVICE_HOST", "10.0.0.1"),
        ("_SOURCE_ADDR_PORT", "tcp://10.0.0.1:80"),
        ("_SOURCE_SERVICE_HOST", "10.0.0.1"),
        ("_SOURCE_PORT", "tcp://10.0.0.1:80"),
        ("_JOURNAL_SERVICE_HOST", "10.0.0.1"),
        ("_JOURNAL_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("_EVENTS_SERVICE_HOST", "10.0.0.1"),
        ("_EVENTS_PORT", "tcp://10.0.0.1:80"),
        ("_FANOUTTIMEOUT_SERVICE_HOST", "10.0.0.1"),
        ("_LISTENER_ENV_X", "[hush"),
        ("_LISTENER_PORT_80_TCP_START", "tcp://10.0.0.1:80"),
    ];
    for text in [FILE, "", "notifications: {endpoints: []}"] {
        let (builder, warnings) = warned(text, &of_services);
        assert_eq!(warnings, Vec::<String>::new(), "{text}");
        assert_eq!(told(&builder), told(&overridden(text, &[]).unwrap()));
    }
    // A header may have any name.
    let header = [("_ENDPOINTS_0_HEADERS_PORT", "tcp://x")];
    let (builder, warnings) = warned(FILE, &header);
    assert!(warnings.is_empty() && told(&builder).contains("headers: 1"));
}

#[test]
fn the_environment_alone_makes_endpoints() {
    let alone = [("_ENDPOINTS_0_NAME", "a"), ("_ENDPOINTS_0_URL", "http://h")];
    let (builder, warnings) = warned("", &alone);
    assert!(warnings.is_empty());
    let same = Notifier::builder().endpoint(of_reference("a", "http://h"));
    assert_eq!(told(&builder), told(&same));
}

#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let config = Config::from_yaml("").unwrap();
    let other = (OsStr::from_bytes(b"\xff"), OsStr::new(""));
    let ours = (
        OsStr::new("REGISTRY_NOTIFICATIONS"),
        OsStr::from_bytes(b"\xff"),
    );
    assert!(config.clone().override_from([other]).is_ok());
    let of_a_service = OsStr::new("REGISTRY_NOTIFICATIONS_LISTENER_ENV_X");
    let of_a_service = (of_a_service, OsStr::from_bytes(b"\xff"));
    assert!(config.clone().override_from([of_a_service]).is_ok());
    let error = config.override_from([ours]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "REGISTRY_NOTIFICATIONS: is not valid UTF-8: write it again"
    );
}

#[test]
fn the_mistakes_of_all_variables_are_reported() {
    let all = [
        ("_ENDPOINTS_0_TIMEOUT", "5 parsecs"),
        ("_ENDPOINTS_7_URL", "http://h"),
        ("_EVENTS", "[hush"),
        ("_ENDPOINTS_0_COMPACT", "maybe"),
    ];
    let error = overridden(FILE, &all).unwrap_err();
    assert!(error.is_syntax() && !error.is_unreadable());
    // Those that lead somewhere are read only when all of them do.
    assert_eq!(error.mistakes().len(), 2, "{error}");
    let error = overridden(FILE, &[all[0], all[3]]).unwrap_err();
    let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(
        lines
            .iter()
            .all(|it| it.starts_with("REGISTRY_NOTIFICATIONS_ENDPOINTS_0_"))
    );
}
