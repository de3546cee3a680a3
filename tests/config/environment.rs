//! Variables of the environment.

use tower_registry_notifications::{Config, ConfigError};

fn overridden(text: &str, environment: &[(&str, &str)]) -> Result<String, ConfigError> {
    let name = |name: &str| format!("REGISTRY_NOTIFICATIONS{name}");
    let environment = environment.iter().map(|(key, value)| (name(key), value));
    let config = Config::from_yaml(text)?.override_from(environment)?;
    config.notifier().map(|_| config.to_yaml())
}

#[test]
fn the_environment_goes_before_the_file() {
    let file = "notifications: {endpoints: [{name: a, url: 'http://h', headers: {Authorization: [Bearer old], X-A: [b]}}]}";
    let before = "notifications:\n  endpoints:\n    - name: a\n      url: \"http://h\"\n      headers:\n        \
                  Authorization:\n          - \"Bearer old\"\n        X-A:\n          - b\n";
    let after = |old: &str, new: &str| before.replace(old, new);
    let header = |new: &str| after("\"Bearer old\"", new);
    let more = |new: &str| format!("{before}{new}");
    for (environment, expected) in [
        (vec![("_ENDPOINTS_0_URL", "http://new")], after("//h", "//new")),
        // Either way to name the header; the reference has only the first.
        (vec![("_ENDPOINTS_0_HEADERS_AUTHORIZATION", "[Bearer new]")], header("\"Bearer new\"")),
        (vec![("_ENDPOINTS_0_HEADERS_AUTHORIZATION_0", "Bearer new")], header("\"Bearer new\"")),
        (vec![("_ENDPOINTS_0_HEADERS_AUTHORIZATION_1", "new")], header("\"Bearer old\"\n          - new")),
        (vec![("_ENDPOINTS_0_HEADERS_X-A", "[c]")], after("- b\n", "- c\n")),
        (vec![("_ENDPOINTS_0_TIMEOUT", "5s")], more("      timeout: 5s\n")),
        // Each in its order, however they come.
        (
            vec![
                ("_ENDPOINTS_1_URL", "http://b"),
                ("_ENDPOINTS_1_NAME", "b"),
                ("_ENDPOINTS_1", "{name: c, timeout: 1}"),
            ],
            more("    - name: b\n      timeout: 1\n      url: \"http://b\"\n"),
        ),
        (
            vec![("_ENDPOINTS", "\n- name: portus \n  url: https://h/v2\n  timeout: 2000ms\n"), ("_ENDPOINTS_0_NAME", "p")],
            "notifications:\n  endpoints:\n    - name: p\n      url: \"https://h/v2\"\n      timeout: 2000ms\n".into(),
        ),
        // The reference's own word, and the one of the file.
        (vec![("_EVENTCONFIG_INCLUDEREFERENCES", "true")], more("  events:\n    includereferences: true\n")),
        (vec![("_EVENTS_INCLUDEREFERENCES", "yes")], more("  events:\n    includereferences: yes\n")),
        (vec![("", "{events: {}}")], "notifications:\n  events: {}\n".into()),
        (vec![("", "")], "notifications: ~\n".into()),
        // Not ours, or set by Kubernetes.
        (vec![("S", "x"), ("_SERVICE_HOST", "10.0.0.1"), ("_PORT_80_TCP", "tcp://10.0.0.1:80")], before.into()),
    ] {
        let text = overridden(file, &environment);
        let text = text.unwrap_or_else(|error| panic!("{environment:?}: {error}"));
        assert_eq!(text, expected, "{environment:?}");
    }
    let all = [("_ENDPOINTS_0_URL", "http://h"), ("_ENDPOINTS_0_NAME", "a")];
    assert!(overridden("", &all).is_ok(), "nothing in the file");
}

#[test]
fn variables_that_make_no_sense_are_named() {
    let file = "notifications: {endpoints: [{name: a, url: 'http://h'}]}";
    for (key, value, message) in [
        (
            "_ENDPOINTS_0_TIMEOUT",
            "5 parsecs",
            ": notifications.endpoints[0].timeout: \"5 parsecs\" is not a duration: write it like 500ms or 1m30s",
        ),
        (
            "_ENDPOINTS_0_TIMEUOT",
            "5s",
            ": notifications.endpoints[0].timeuot: is not known here: did you mean \"timeout\"?",
        ),
        (
            "_ENDPOINT_0_NAME",
            "x",
            ": notifications.endpoint: is not known here: did you mean \"endpoints\"?",
        ),
        (
            "_ENDPOINTS_2_NAME",
            "x",
            ": notifications.endpoints: has 1 items: the next has the number 1",
        ),
        (
            "_ENDPOINTS_-1_NAME",
            "x",
            ": notifications.endpoints: is a list: name an item by its number, as in REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL",
        ),
        (
            "_ENDPOINTS_URL",
            "x",
            ": notifications.endpoints: is a list: name an item by its number, as in REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL",
        ),
        (
            "_ENDPOINTS_1_NAME",
            "b",
            ": notifications.endpoints[1]: has no url: give it one",
        ),
        (
            "_ENDPOINTS_0_NAME_X",
            "x",
            ": notifications.endpoints[0].name: is no list and no map: set it as a whole",
        ),
        (
            "_0",
            "x",
            ": notifications: has no numbered items: name a key",
        ),
        (
            "_ENDPOINTS",
            "[hush",
            ": is not valid YAML: unclosed bracket '['",
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
            "_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A",
            "x",
            ": has too many parts: it names no key",
        ),
    ] {
        let error = overridden(file, &[(key, value)]).expect_err(key);
        assert_eq!(
            error.to_string(),
            format!("REGISTRY_NOTIFICATIONS{key}{message}")
        );
        assert_eq!(error.line(), None);
    }
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
    let error = config.override_from([ours]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "REGISTRY_NOTIFICATIONS: is not valid UTF-8: write it again"
    );
}
