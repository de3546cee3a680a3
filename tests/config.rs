//! Configuration files.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "config/reference.rs"]
mod reference;

use std::time::Duration;

use common::receiver;
use http::Response;
use proptest::prelude::*;
use tower_registry_notifications::{
    Action, Config, ConfigError, Endpoint, EndpointBuilder, Event, Filter, Notifier,
    NotifierBuilder, Sink as _,
};

const DISTRIBUTION: &str = include_str!("config/distribution.yml");

fn read(text: &str) -> Result<NotifierBuilder, ConfigError> {
    Config::from_yaml(text)?.notifier()
}

/// `endpoint`, a map in flow style, as the one endpoint of a file.
fn of_endpoint(endpoint: &str) -> String {
    format!("notifications: {{endpoints: [{{name: a, url: 'http://h/', {endpoint}}}]}}")
}

/// What the builder has been told, apart from what is new in each.
fn told(builder: &NotifierBuilder) -> String {
    let text = format!("{builder:#?}");
    let lines = text.lines().filter(|it| !it.contains("instance_id"));
    lines.collect::<Vec<_>>().join("\n")
}

fn of_reference(name: &str, url: &str) -> EndpointBuilder {
    Endpoint::builder(name, url)
}

#[test]
fn a_configuration_of_distribution_is_read_as_it_stands() {
    let read = Config::from_yaml(DISTRIBUTION).unwrap().notifier().unwrap();
    let headers = |it: EndpointBuilder| {
        it.header("Authorization", "Bearer hush-hush")
            .header("X-Team", "platform")
            .header("X-Team", "registry")
    };
    let scanner = of_reference(
        "scanner",
        "https://scan:hush-pass@scanner.example.com:8443/events?kind=all",
    );
    let rootfs = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let filter = Filter::new()
        .ignore_media_types(["application/octet-stream", rootfs])
        .ignore_actions([Action::Pull, Action::Mount]);
    let same = Notifier::builder()
        .include_references(true)
        .endpoint(
            headers(scanner)
                .timeout(Duration::from_millis(1500))
                .threshold(5)
                .backoff(Duration::from_millis(3_723_500))
                .filter(filter),
        )
        .endpoint(
            headers(of_reference("mirror", "http://mirror.internal/hook"))
                .timeout(Duration::from_millis(250)),
        )
        .endpoint(of_reference("old", "http://old.internal/").disabled(true))
        .endpoint(of_reference("plain", "http://plain.internal"));
    assert_eq!(told(&read), told(&same));
}

#[test]
fn a_file_without_the_section_has_no_endpoints() {
    for text in [
        "",
        "# nothing\n",
        "---\n",
        "~",
        "version: 0.1\nlog: {level: info}",
        "notifications:\n",
        "notifications: {}",
        "notifications: {endpoints: , events: }",
        "\u{feff}notifications: {endpoints: []}",
    ] {
        let builder = read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(told(&builder), told(&Notifier::builder()), "{text:?}");
    }
}

#[tokio::test]
async fn headers_are_sent_and_a_redirect_accepts() {
    let (port, mut received) = receiver(Box::new(|_| Response::builder().status(302))).await;
    let text = format!(
        "notifications:
  source: {{addr: 'registry.example.com:5000'}}
  endpoints:
    - name: a
      url: http://me:hush@127.0.0.1:{port}/events
      timeout: 1m
      headers:
        X-Token: [one, two]
        X-Number: 5
        X-None:
        X-Text: just one
"
    );
    let config = Config::from_yaml(&text).unwrap();
    let notifier = config.notifier().unwrap().build().unwrap();
    assert_eq!(notifier.source().addr, "registry.example.com:5000");
    let event = Event::new(Action::Push).into();
    notifier.sink().write(&event).await.unwrap();
    let minute = Duration::from_secs(60);
    assert!(notifier.shutdown(minute).await.is_drained());
    let got = received.try_recv().unwrap();
    let values = |name| -> Vec<_> { got.headers.get_all(name).iter().collect() };
    assert_eq!(values("x-token"), ["one", "two"]);
    assert_eq!(values("x-number"), ["5"]);
    assert_eq!(values("x-text"), ["just one"]);
    assert!(values("x-none").is_empty());
    assert_eq!(values("authorization"), ["Basic bWU6aHVzaA=="]);
    assert!(received.try_recv().is_err(), "delivered twice");
}

/// Texts, each after a line `--- ` and before what it is answered with.
const MISTAKES: &str = include_str!("config/mistakes.txt");

#[test]
fn mistakes_are_named_with_place_key_value_and_remedy() {
    let mut number = 0;
    for mistake in MISTAKES.split("\n=== ").skip(1) {
        let (text, message) = mistake.split_once("\n--- ").unwrap();
        let (_, text) = text.split_once('\n').unwrap();
        let error = read(text).expect_err(text).to_string();
        assert_eq!(error, message.trim_end(), "{text}");
        assert!(!error.contains("hush"), "{error}");
        number += 1;
    }
    assert!(number > 50, "{number} mistakes");
}

#[test]
fn a_file_is_named_in_messages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yml");
    let message = |error: ConfigError| {
        let message = error.to_string();
        message.replace(&directory.path().display().to_string(), "")
    };
    let error = Config::from_file(&path).unwrap_err();
    assert_eq!(error.line(), None);
    assert_eq!(
        message(error),
        "/config.yml: cannot be read: No such file or directory (os error 2)"
    );
    let text = "version: 0.1\nnotifications:\n  endpoints:\n  - {name: a, timeout: 5 parsecs}\n";
    std::fs::write(&path, text).unwrap();
    let error = Config::from_file(&path).unwrap_err();
    assert_eq!(error.line(), Some(4));
    assert_eq!(
        message(error),
        "/config.yml:4:24: notifications.endpoints[0].timeout: \"5 parsecs\" is not a duration: \
         write it like 500ms or 1m30s"
    );
    std::fs::write(&path, b"notifications: \xff").unwrap();
    let error = Config::from_file(&path).unwrap_err();
    assert_eq!(message(error), "/config.yml: is not UTF-8: save it as that");
    std::fs::write(&path, vec![b'\n'; (1 << 20) + 1]).unwrap();
    let error = Config::from_file(&path).unwrap_err();
    assert!(message(error).contains("larger than 1 MiB"));
}

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
        (vec![("_ENDPOINTS_0_TIMEOUT", "5s")], more("      timeout: \"5s\"\n")),
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
            "notifications:\n  endpoints:\n    - name: p\n      url: \"https://h/v2\"\n      timeout: \"2000ms\"\n".into(),
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

#[test]
fn secrets_are_not_shown() {
    let config = Config::from_yaml(DISTRIBUTION).unwrap();
    let shown = format!("{config:?} {:?}", config.notifier().unwrap());
    assert!(shown.contains("scanner.example.com"));
    assert!(!shown.contains("hush"), "{shown}");
    assert!(config.to_yaml().contains("Bearer hush-hush"));
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    for text in [DISTRIBUTION, include_str!("config/reference.yml")] {
        let first = Config::from_yaml(text).unwrap();
        let written = first.to_yaml();
        let second = Config::from_yaml(&written).unwrap();
        assert_eq!(second.to_yaml(), written);
        assert_eq!(
            told(&second.notifier().unwrap()),
            told(&first.notifier().unwrap())
        );
    }
}

/// Texts that are small and stand for what no memory holds.
fn bombs() -> Vec<String> {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    let mut merges = "a0: &a0 {k0: v}\n".to_owned();
    let mut chain = "a0: &a0 x\n".to_owned();
    for n in 1..2000 {
        let alias = format!("*a{},", n - 1);
        laughs += &format!("a{n}: &a{n} [{}]\n", alias.repeat(9));
        merges += &format!("a{n}: &a{n} {{<<: [{}], k{n}: v}}\n", alias.repeat(9));
        chain += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
    }
    let long = format!(
        "a: &a {}\nb: [{}]",
        "x".repeat(500_000),
        "*a, ".repeat(100_000)
    );
    vec![laughs, merges, chain, long]
}

#[test]
fn bombs_are_refused() {
    for bomb in bombs() {
        assert!(bomb.len() < 1 << 20);
        let error = Config::from_yaml(&bomb).unwrap_err().to_string();
        let refused = ["too large: use fewer aliases", "nested more than 64 deep"];
        assert!(refused.iter().any(|it| error.contains(it)), "{error}");
    }
    for text in [
        "[", "{a: ", "- ", "? ", "!a [", "&a [", "'", "\"\\", "|\n ", "%a ", "a:\n ", "&a ", "*a ",
        "# ",
    ] {
        let _ = Config::from_yaml(&text.repeat((1 << 20) / text.len()));
    }
    let stairs: String = (0..1000)
        .map(|n| format!("{}a:\n", " ".repeat(n)))
        .collect();
    let error = Config::from_yaml(&stairs).unwrap_err().to_string();
    assert!(error.contains("nested more than 64 deep"), "{error}");
}

/// Words that make up configurations, and what breaks them.
fn words() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "notifications:",
        "endpoints:",
        "- ",
        "  ",
        "\n",
        "name: a",
        "url: http://h",
        "timeout: ",
        "5s",
        "headers: ",
        "ignore: ",
        "actions: ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "'",
        "\"",
        "? ",
        ": ",
        "|",
        ">",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "~",
        "\u{feff}",
        "\t",
        "\0",
        "é",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|it| it.concat())
}

proptest! {
    #[test]
    fn nothing_panics(text in prop_oneof![any::<String>(), words()], value in words()) {
        if let Ok(config) = Config::from_yaml(&text) {
            let written = config.to_yaml();
            let again = Config::from_yaml(&written);
            prop_assert!(again.is_ok(), "{text:?} {written:?} {again:?}");
            prop_assert_eq!(again.unwrap().to_yaml(), written);
            for key in ["", "_ENDPOINTS", "_ENDPOINTS_0", "_ENDPOINTS_0_HEADERS_A_0"] {
                let key = format!("REGISTRY_NOTIFICATIONS{key}");
                let _ = config.clone().override_from([(key, &value)]);
            }
        }
    }
}
