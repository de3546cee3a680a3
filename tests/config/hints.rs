//! Hints that name the variable of the environment that would have worked.

use tower_registry_notifications::{Config, Notifier};
use tracing::Level;

use crate::common::captured::Captured;
use crate::environment::{FILE, overridden, warned};
use crate::expected::told;

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
