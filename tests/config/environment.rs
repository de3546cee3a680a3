//! Variables of the environment.

use tower_registry_notifications::{BuildError, Config, NotifierBuilder};

fn overridden(text: &str, environment: &[(&str, &str)]) -> Result<NotifierBuilder, BuildError> {
    let name = |name: &str| format!("REGISTRY_NOTIFICATIONS{name}");
    let environment = environment.iter().map(|(key, value)| (name(key), value));
    let config = Config::from_yaml(text)?.override_from(environment)?;
    config.notifier()
}

#[test]
fn invalid_variables_are_named() {
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
        assert_eq!(error.mistakes()[0].line(), None);
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

#[test]
fn the_mistakes_of_all_variables_are_reported() {
    let all = [
        ("_ENDPOINTS_0_TIMEOUT", "5 parsecs"),
        ("_ENDPOINTS_7_URL", "http://h"),
        ("_EVENTS", "[hush"),
        ("_ENDPOINTS_0_TIMEUOT", "5s"),
    ];
    let file = "notifications: {endpoints: [{name: a, url: 'http://h'}]}";
    let error = overridden(file, &all).unwrap_err();
    assert!(error.is_syntax() && !error.is_unreadable());
    // Those that lead somewhere are read only when all of them do.
    assert_eq!(error.mistakes().len(), 2, "{error}");
    let error = overridden(file, &[all[0], all[3]]).unwrap_err();
    let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(
        lines
            .iter()
            .all(|it| it.starts_with("REGISTRY_NOTIFICATIONS_ENDPOINTS_0_TIME"))
    );
}
