//! Configuration files.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod environment;
mod expected;
mod gitlab;
mod hints;
mod hostile;
#[cfg(feature = "journal")]
mod journal;
mod settings;
mod shipped;

use std::time::Duration;

use common::receiver;
use expected::{of_reference, told};
use http::Response;
use tower_registry_notifications::endpoint::Breaker;
use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::sink::{Filter, Sink as _};
use tower_registry_notifications::{BuildError, Config, Endpoint, Notifier, NotifierBuilder};

const DISTRIBUTION: &str = include_str!("distribution.yml");

fn read(text: &str) -> Result<NotifierBuilder, BuildError> {
    Config::from_yaml(text)?.notifier()
}

#[test]
fn a_configuration_of_distribution_is_read_as_it_stands() {
    let read = Config::from_yaml(DISTRIBUTION).unwrap().notifier().unwrap();
    let headers = |it: Endpoint| {
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
                .retry(
                    Breaker::new()
                        .threshold(5)
                        .backoff(Duration::from_millis(3_723_500)),
                )
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
        "notifications: {source: {addr: ''}}",
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
        X-Null: [null, ~, x]
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
    // As Go reads a list of strings.
    assert_eq!(values("x-null"), ["", "", "x"]);
    assert_eq!(values("authorization"), ["Basic bWU6aHVzaA=="]);
    assert!(received.try_recv().is_err(), "delivered twice");
}

/// Texts, each after a line `--- ` and before what it is answered with.
const MISTAKES: &str = include_str!("mistakes.txt");

/// The keys are compared with the docs elsewhere.
fn without_keys(line: &str) -> String {
    const KEYS: &str = "the keys here are ";
    match line.split_once(KEYS) {
        Some((start, _)) => format!("{start}{KEYS}…"),
        None => line.to_owned(),
    }
}

#[test]
fn mistakes_are_named_with_place_key_value_and_remedy() {
    let (mut number, mut wrong) = (0, Vec::new());
    for mistake in MISTAKES.split("\n=== ").skip(1) {
        let (text, message) = mistake.split_once("\n--- ").unwrap();
        let (_, text) = text.split_once('\n').unwrap();
        let error = read(text).expect_err(text).to_string();
        let error: Vec<_> = error.lines().map(without_keys).collect();
        let error = error.join("\n");
        if error != message.trim_end() {
            wrong.push(format!("{text}\n--- {error}"));
        }
        assert!(!error.contains("hush"), "{error}");
        number += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n=== \n"));
    assert!(number > 50, "{number} mistakes");
}

#[test]
fn a_second_document_without_content_is_none() {
    let section = "notifications: {endpoints: [{name: a, url: 'http://h'}]}\n";
    let alone = told(&read(section).unwrap());
    for end in [
        "---\n",
        "...\n",
        "---\n# end\n",
        "...\n---\n...\n",
        "---\n---\n",
        "---\nnull\n",
    ] {
        assert_eq!(
            told(&read(&[section, end].concat()).unwrap()),
            alone,
            "{end:?}"
        );
    }
    for end in ["---\n- a\n", "---\n{}\n", "---\n---\na\n"] {
        let error = read(&[section, end].concat()).unwrap_err().to_string();
        assert!(
            error.contains("line 2, column 1: begins a second document"),
            "{error}"
        );
    }
}

#[test]
fn messages_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yml");
    let message = |error: BuildError| {
        let message = error.to_string();
        message.replace(&directory.path().display().to_string(), "")
    };
    let error = Config::from_file(&path).unwrap_err();
    assert_eq!(error.mistakes()[0].line(), None);
    assert_eq!(
        message(error),
        "/config.yml: cannot be read: No such file or directory (os error 2)"
    );
    let text = "version: 0.1\nnotifications:\n  endpoints:\n  - {name: a, timeout: 5 parsecs}\n";
    std::fs::write(&path, text).unwrap();
    let error = Config::from_file(&path).unwrap_err();
    assert_eq!(error.mistakes()[0].line(), Some(4));
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

#[test]
fn a_number_of_go_with_a_fraction_of_zero_is_a_whole_number() {
    for (threshold, same) in [
        ("3.0", 3),
        ("1e1", 10),
        ("08", 8),
        ("0x10", 16),
        ("1_0", 10),
    ] {
        let text = format!(
            "notifications: {{endpoints: [{{name: a, url: 'http://h', threshold: {threshold}}}]}}"
        );
        let same = of_reference("a", "http://h").retry(Breaker::new().threshold(same));
        let same = Notifier::builder().endpoint(same);
        assert_eq!(told(&read(&text).unwrap()), told(&same), "{threshold}");
    }
}

#[test]
fn every_duration_needs_a_unit() {
    for (key, is_nothing_default) in [
        ("timeout: X", true),
        ("backoff: X", true),
        ("connecttimeout: X", false),
        ("retry: {base: X}", false),
        ("retry: {cap: X}", false),
        ("retry: {age: X}", false),
        ("batch: {linger: X}", true),
        ("queuepurgetimeout: X", true),
    ] {
        let with = |value: &str| {
            let key = key.replace('X', value);
            let text =
                format!("notifications: {{endpoints: [{{name: a, url: 'http://h', {key}}}]}}");
            read(&text).map(drop).map_err(|error| error.to_string())
        };
        for (value, message) in [
            ("500", "500 means 500 ns: write 500ms"),
            ("1e3", "1000 means 1000 ns: write 1000ms"),
            ("250000000", "250000000 means 250000000 ns: write 250ms"),
            ("9223372036854775807", "ns: write 9223372036.854775807s"),
            ("500ns", "\"500ns\" is less than 1"),
        ] {
            let error = with(value).expect_err(key);
            assert!(error.contains(message), "{key}: {error}");
        }
        assert_eq!(with("0").is_ok(), is_nothing_default, "{key}");
        with("1500ms").unwrap();
    }
    let text = "notifications: {fanouttimeout: 5, endpoints: []}";
    let error = read(text).unwrap_err().to_string();
    assert!(
        error.ends_with("notifications.fanouttimeout: 5 means 5 ns: write 5ms"),
        "{error}"
    );
}

#[test]
fn the_time_between_attempts_has_a_minimum() {
    for key in ["backoff: X", "retry: {base: X}"] {
        let with = |value: &str| {
            let key = key.replace('X', value);
            read(&format!(
                "notifications: {{endpoints: [{{name: a, url: 'http://h', {key}}}]}}"
            ))
        };
        let error = with("9ms").unwrap_err().to_string();
        assert!(error.contains("\"9ms\" is less than 10ms"), "{error}");
        with("10ms").unwrap();
    }
}

#[test]
fn a_value_that_goes_on_in_the_next_line_is_not_shown() {
    for lines in [
        "timeout: 5\n        hush-hush",
        "timeout: '5\n        hush-hush'",
        "timeout: |\n        5\n        hush-hush",
        "compact: yes\n        hush-hush",
        "url: h\n        hush-hush",
        "format: v1\n        hush-hush",
        "addresses: {policy: denyprivate, allow: [10.0.0.0/8\n        hush-hush]}",
        "include: {tags: ['[v*\n        hush-hush']}",
        "rootcertificates: [/no\n        hush-hush]",
    ] {
        let url = if lines.starts_with("url") {
            ""
        } else {
            "url: https://h\n      "
        };
        let text = format!("notifications:\n  endpoints:\n    - name: a\n      {url}{lines}\n");
        let error = read(&text).expect_err(lines).to_string();
        assert!(!error.contains("hush"), "{lines}: {error}");
        assert!(
            error.contains("continues in the next line"),
            "{lines}: {error}"
        );
    }
}

#[test]
fn secrets_are_not_shown() {
    let config = Config::from_yaml(DISTRIBUTION).unwrap();
    let shown = format!("{config:?} {:?}", config.notifier().unwrap());
    assert!(shown.contains("scanner.example.com"));
    assert!(!shown.contains("hush"), "{shown}");
}
