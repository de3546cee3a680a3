//! Variables of the environment.

use tower_registry_notifications::{BuildError, Config, Notifier, NotifierBuilder};
use tracing::Level;

use crate::common::captured::Captured;
use crate::expected::{of_reference, told};

fn overridden(text: &str, environment: &[(&str, &str)]) -> Result<NotifierBuilder, BuildError> {
    let name = |name: &str| format!("REGISTRY_NOTIFICATIONS{name}");
    let environment = environment.iter().map(|(key, value)| (name(key), value));
    let config = Config::from_yaml(text)?.override_from(environment)?;
    config.notifier()
}

const FILE: &str = "notifications: {endpoints: [{name: a, url: 'http://h'}]}";

/// The notifier, and what was warned of.
fn warned(text: &str, environment: &[(&str, &str)]) -> (NotifierBuilder, Vec<String>) {
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
fn a_hint_names_the_variable_that_would_have_worked_with_its_value() {
    for (key, value, message) in [
        (
            "_ENDPOINTS_2_NAME",
            "b",
            "notifications.endpoints: has 1 items: the next is REGISTRY_NOTIFICATIONS_ENDPOINTS_1_NAME=b",
        ),
        (
            "_ENDPOINTS_1_NAME",
            "b",
            "notifications.endpoints[1]: has no url: set REGISTRY_NOTIFICATIONS_ENDPOINTS_1_URL",
        ),
        (
            "_ENDPOINTS_0_IGNORE_ACTIONS",
            "pull",
            "notifications.endpoints[0].ignore.actions: the value is not a list: \
             write REGISTRY_NOTIFICATIONS_ENDPOINTS_0_IGNORE_ACTIONS_0=pull",
        ),
        (
            "_ENDPOINTS",
            "http://me:hush@h",
            "notifications.endpoints: the value is not a list: write REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL=http://…@h",
        ),
        (
            "",
            "http://me:hush@h",
            "notifications: the value is not a map: write REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL=http://…@h",
        ),
        (
            "_ENDPOINTS_0",
            "http://me:hush@h",
            "notifications.endpoints[0]: the value is not a map: write REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL=http://…@h",
        ),
        (
            "_ENDPOINTS_0_IGNORE_ACTIONS",
            "pull,mount",
            "notifications.endpoints[0].ignore.actions: the value is not a list: \
             write REGISTRY_NOTIFICATIONS_ENDPOINTS_0_IGNORE_ACTIONS='[pull,mount]'",
        ),
        (
            "_ENDPOINTS_0_HEADERS",
            "Bearer hush",
            "notifications.endpoints[0].headers: the value is not a map: \
             write REGISTRY_NOTIFICATIONS_ENDPOINTS_0_HEADERS_AUTHORIZATION=…",
        ),
        (
            "_ENDPOINTS_0_HEADERS_X_API_KEY",
            "hush",
            "notifications.endpoints[0].headers.x: is one value: \
             did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_HEADERS='{x-api-key: …}'?",
        ),
        (
            "_ENDPOINTS",
            "{name: b}",
            "notifications.endpoints: is a map, not a list: write REGISTRY_NOTIFICATIONS_ENDPOINTS_0=…",
        ),
        (
            "_ENDPOINTS",
            "[{name: b, url: 'http://h', ignore: {actions: pull}}]",
            "notifications.endpoints[0].ignore.actions: the value is not a list: write it as [a, b]",
        ),
        (
            "_EVENTS",
            "true",
            "notifications.events: the value is not a map: write REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES=true",
        ),
        (
            "_SOURCE",
            "registry:5000",
            "notifications.source: the value is not a map: write REGISTRY_NOTIFICATIONS_SOURCE_ADDR=registry:5000",
        ),
        (
            "_ENDPOINTS_0_BATCH",
            "100",
            "notifications.endpoints[0].batch: the value is not a map: write REGISTRY_NOTIFICATIONS_ENDPOINTS_0_BATCH_EVENTS=100",
        ),
        (
            "_ENDPOINTS",
            "[a]",
            "notifications.endpoints[0]: the value is not a map: write it as {key: value}",
        ),
    ] {
        let error = overridden(FILE, &[(key, value)]).expect_err(key);
        let message = format!("REGISTRY_NOTIFICATIONS{key}: {message}");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_variable_that_leads_to_no_setting_is_a_warning() {
    for (text, key, value, message) in [
        (
            FILE,
            "_ENDPOINTS_0_TIMEUOT",
            "5s",
            "notifications.endpoints[0].timeuot: is not known here: \
             did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_TIMEOUT=5s?",
        ),
        (
            FILE,
            "_ENDPOINT_0_URL",
            "http://me:hush@h/p",
            "notifications.endpoint: is not known here: \
             did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL=http://…@h/p?",
        ),
        (
            FILE,
            "_ENDPOINTS_0_HEADER_AUTHORIZATION",
            "Bearer hush",
            "notifications.endpoints[0].header: is not known here: \
             did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_HEADERS_AUTHORIZATION=…?",
        ),
        (
            FILE,
            "_ENDPOINTS_-1_NAME",
            "x",
            "notifications.endpoints: is a list, whose items have numbers from 0: \
             did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME=x?",
        ),
        (
            FILE,
            "_ENDPOINTS_URL",
            "http://h",
            "notifications.endpoints: is a list: did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL=http://h?",
        ),
        (
            "notifications: {endpoints: }",
            "_ENDPOINTS_URL",
            "http://h",
            "notifications.endpoints: is a list: did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL=http://h?",
        ),
        (
            FILE,
            "_ENDPOINT_URL",
            "http://h",
            "notifications.endpoint: is not known here: did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL=http://h?",
        ),
        (
            FILE,
            "_ENDPOINTS_0_IGNOREACTIONS",
            "[pull]",
            "notifications.endpoints[0].ignoreactions: is not known here: \
             did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_IGNORE_ACTIONS='[pull]'?",
        ),
        (
            FILE,
            "_SOURCE_PUBLIC_HOST",
            "r.example.com",
            "notifications.source.public: is not known here: \
             did you mean REGISTRY_NOTIFICATIONS_SOURCE_PUBLICHOST=r.example.com?",
        ),
        (
            FILE,
            "_INCLUDEREFERENCES",
            "true",
            "notifications.includereferences: is not known here: \
             did you mean REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES=true?",
        ),
        (
            FILE,
            "__ENDPOINTS__0__TIMEOUT",
            "5s",
            "notifications.: is not known here: \
             did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_TIMEOUT=5s?",
        ),
        (
            FILE,
            "_ENDPOINTS_0_NAME_X",
            "x",
            "notifications.endpoints[0].name: is one value: did you mean REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME=x?",
        ),
        (
            FILE,
            "_0",
            "x",
            "notifications: has no numbered items: did you mean REGISTRY_NOTIFICATIONS=…?",
        ),
        (
            FILE,
            "_COLOR",
            "[hush",
            "notifications.color: is not known here: the keys here are events, source, ",
        ),
        (
            FILE,
            "_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A",
            "x",
            "has too many parts: it names no key",
        ),
    ] {
        let (builder, warnings) = warned(text, &[(key, value)]);
        let [warning] = &warnings[..] else {
            panic!("{key}: {warnings:?}");
        };
        let message = format!("REGISTRY_NOTIFICATIONS{key}: {message}");
        assert!(warning.starts_with(&message), "{warning}\n{message}");
        assert!(!warning.contains("hush"), "{warning}");
        let without = overridden(text, &[]).unwrap();
        assert_eq!(told(&builder), told(&without), "{key}");
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

/// The beginning of the name is misspelt, and it would be ignored without a word.
#[test]
fn a_variable_that_is_almost_one_of_ours_is_a_warning() {
    let (captured, _guard) = Captured::all();
    let environment = [
        ("REGISTRY_NOTIFICATION_ENDPOINTS_0_URL", "http://me:hush@h"),
        ("REGISTRY_NOTIFICATON_ENDPOINTS_0_TIMEOUT", "5s"),
        ("registry_notifications_endpoints_0_name", "a"),
        ("REGISTRY_NOTIFICATION", "hush"),
        // Of a service called registry-notification.
        ("REGISTRY_NOTIFICATION_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_NOTIFICATION_PORT", "tcp://10.0.0.1:80"),
        ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
        ("REGISTRY", "x"),
        ("HOME", "/"),
    ];
    let config = Config::from_yaml("").unwrap().override_from(environment);
    assert_eq!(
        told(&config.unwrap().notifier().unwrap()),
        told(&Notifier::builder())
    );
    let warnings = captured.at(&[Level::WARN]);
    let meant = [
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL=http://…@h?",
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_TIMEOUT=5s?",
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME=a?",
        "REGISTRY_NOTIFICATIONS=…?",
    ];
    assert_eq!(warnings.len(), meant.len(), "{warnings:?}");
    for (warning, meant) in warnings.iter().zip(meant) {
        let hint = format!("is not known here: did you mean {meant}");
        assert!(
            warning.contains(&hint) && !warning.contains("hush"),
            "{warning}"
        );
    }
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
