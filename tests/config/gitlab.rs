//! Files of GitLab's registry.

use std::time::Duration;

use tower_registry_notifications::endpoint::{Backoff, Breaker, StatusMeaning};
use tower_registry_notifications::{Config, Format, Notifier};
use tracing::Level;

use crate::common::captured::Captured;
use crate::expected::{of_reference, told};
use crate::read;

const SECOND: Duration = Duration::from_secs(1);

fn backoff(attempts: u32, first: Duration) -> Backoff {
    let backoff = Backoff::new().base(first).factor(1.5);
    let backoff = backoff.cap(60 * SECOND).age(15 * 60 * SECOND);
    backoff.attempts(attempts)
}

#[test]
fn the_keys_of_gitlab_are_mapped() {
    let text = "notifications:
  fanouttimeout: 5s
  events: {includereferences: true}
  endpoints:
    - name: rails
      disabled: false
      url: https://gitlab.example.com/api/v4/container_registry_event/events
      headers: {Authorization: [hush]}
      timeout: 500ms
      threshold: 5
      maxretries: 5
      backoff: 2s
      ignoredmediatypes: [application/octet-stream]
      ignore: {actions: [pull]}
      queuepurgetimeout: 7s
      queuesizelimit: 100
    - name: geo
      url: https://geo.example.com/events
      maxretries: 0
      queuesizelimit: 0
    - name: ours
      url: https://ours.example.com/events
      format: v2
      retry: breaker
      queue: {events: 7}
";
    use tower_registry_notifications::event::Action;
    use tower_registry_notifications::sink::Filter;
    let of_gitlab = |name, url| {
        let endpoint = of_reference(name, url)
            .format(Format::V1)
            .queue_events(3000);
        // No status says that the receiver will never take the event.
        let endpoint = endpoint.on_status(400..=599, StatusMeaning::Retry);
        endpoint.retry(backoff(11, SECOND))
    };
    let url = "https://gitlab.example.com/api/v4/container_registry_event/events";
    let rails = of_gitlab("rails", url)
        .header("Authorization", "hush")
        .timeout(SECOND / 2)
        .retry(backoff(6, 2 * SECOND))
        .queue_events(100)
        .filter(
            Filter::new()
                .ignore_media_types(["application/octet-stream"])
                .ignore_actions([Action::Pull]),
        );
    let geo = of_gitlab("geo", "https://geo.example.com/events");
    let ours = of_reference("ours", "https://ours.example.com/events")
        .retry(Breaker::new())
        .queue_events(7);
    let same = Notifier::builder().include_references(true);
    let same = same.endpoint(rails).endpoint(geo).endpoint(ours);

    let (captured, _guard) = Captured::all();
    let config = Config::from_yaml(text).unwrap();
    assert!(captured.at(&[Level::WARN]).is_empty());
    assert_eq!(told(&config.notifier().unwrap()), told(&same));
    let warnings = captured.at(&[Level::WARN]);
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(
        warning.contains(
            "line 10, column 18: notifications.endpoints[0].threshold: has no effect beside maxretries"
        ),
        "{warning}"
    );
    assert_eq!(config.shutdown_deadline(), Some(12 * SECOND));
}

#[test]
fn one_key_of_gitlab_makes_a_section_one_of_gitlabs() {
    for (key, deadline) in [
        ("fanouttimeout: 0", 20),
        ("fanouttimeout: 1m", 65),
        (
            "endpoints: [{name: b, url: 'http://b', disabled: true, queuepurgetimeout: 9s}]",
            24,
        ),
        (
            "endpoints: [{name: b, url: 'http://b', disabled: true, queuesizelimit: 5}]",
            20,
        ),
        (
            "endpoints: [{name: b, url: 'http://b', disabled: true, maxretries: 5}]",
            20,
        ),
    ] {
        let text = match key.strip_suffix(']') {
            Some(list) => format!("notifications: {{{list}, {{name: a, url: 'http://a'}}]}}"),
            None => format!("notifications: {{{key}, endpoints: [{{name: a, url: 'http://a'}}]}}"),
        };
        let config = Config::from_yaml(&text).unwrap();
        assert_eq!(config.shutdown_deadline(), Some(deadline * SECOND), "{key}");
        let told = told(&config.notifier().unwrap());
        let (_, a) = told.split_once("name: \"a\"").unwrap();
        assert!(a.contains("V1") && a.contains("attempts: 11"), "{a}");
    }
    let config = Config::from_yaml("notifications: {endpoints: [{name: a, url: 'http://a'}]}");
    assert_eq!(config.unwrap().shutdown_deadline(), None);
    assert_eq!(Config::from_yaml("").unwrap().shutdown_deadline(), None);
}

#[test]
fn a_threshold_without_maxretries_is_converted_with_a_warning() {
    let text = "notifications: {fanouttimeout: 5s, endpoints: [{name: a, url: 'http://a', threshold: 20}]}";
    let (captured, _guard) = Captured::all();
    let told = told(&read(text).unwrap());
    assert!(told.contains("attempts: 21"), "{told}");
    let warnings = captured.at(&[Level::WARN]);
    assert!(
        warnings[0].contains("write maxretries instead"),
        "{warnings:?}"
    );
}

#[test]
fn keys_of_gitlab_do_not_mix_with_another_policy() {
    for (keys, message) in [
        (
            "maxretries: 5, retry: backoff",
            "maxretries: is for GitLab's retries",
        ),
        (
            "maxretries: 5, retry: breaker",
            "maxretries: is for GitLab's retries",
        ),
        ("maxretries: -1", "is out of range"),
        ("queuesizelimit: many", "is not a whole number"),
    ] {
        let text = format!("notifications: {{endpoints: [{{name: a, url: 'http://a', {keys}}}]}}");
        let error = read(&text).expect_err(keys).to_string();
        assert!(error.contains(message), "{error}");
    }
}
