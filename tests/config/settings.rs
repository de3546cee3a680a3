//! What this crate adds to the section.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Response;
use tower_registry_notifications::dead_letter::DeadLetterFile;
use tower_registry_notifications::endpoint::{AddressPolicy, Backoff, Batch, Breaker, Overflow};
use tower_registry_notifications::event::{Action, Event, Kind};
use tower_registry_notifications::sink::{Filter, Sink as _};
use tower_registry_notifications::{Config, Endpoint, Format, Notifier};

use crate::common::receiver;
use crate::expected::{of_reference, told};
use crate::read;

const EXAMPLE: &str = include_str!("../../examples/notifications.yml");
const GITLAB: &str = include_str!("../../examples/gitlab.yml");
const SOURCE: &str = include_str!("../../src/config/config.rs");
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_setting_reaches_its_builder() {
    let scanner = of_reference("scanner", "https://scanner.example.com/events")
        .header("Authorization", "Bearer secret")
        .filter(
            Filter::new()
                .ignore_media_types(["application/octet-stream"])
                .ignore_media_types(["application/vnd.oci.image.layer.v1.tar+gzip"])
                .ignore_actions([Action::Pull]),
        );
    let backoff = Backoff::new().base(SECOND).factor(2.0).cap(300 * SECOND);
    let deployer = Endpoint::new("deployer", "https://deployer.example.com/hook")
        .format(Format::CloudEvents)
        .sequence(true)
        .compact(true)
        .timeout(SECOND)
        .retry(backoff.attempts(20).age(24 * 3600 * SECOND))
        .concurrency(4)
        .batch(Batch::of(100).bytes(1 << 20).linger(SECOND / 20))
        .queue_events(100_000)
        .queue_bytes(128 << 20)
        .overflow(Overflow::DropOldest)
        .dead_letters(DeadLetterFile::new("/var/lib/registry/dead-letters.jsonl"))
        .filter(
            Filter::new()
                .include_repositories(["team/*", "library/**"])
                .include_tags(["v*"])
                .include_actions([Action::Push, Action::Delete])
                .include_media_types(["application/vnd.oci.image.manifest.v1+json"])
                .include_kinds([Kind::Manifest, Kind::Tag]),
        );
    let partner = of_reference("partner", "https://partner.example.com/hook")
        .disabled(true)
        .connect_timeout(5 * SECOND)
        .sign(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
        .sign_hmac("X-Hub-Signature-256", "a text that both sides know")
        .format(Format::ImageUpdater)
        .event_type("com.example.image.pushed")
        .system_roots(false)
        .proxy_from_env(false)
        .addresses(
            AddressPolicy::deny_private()
                .allow(["10.20.0.0/16"])
                .unwrap(),
        )
        .filter(
            Filter::new()
                .exclude_repositories(["scratch/**"])
                .exclude_tags(["tmp-*"])
                .exclude_kinds([Kind::Blob]),
        );
    let same = Notifier::builder()
        .source(tower_registry_notifications::SourceRecord::new(
            "10.0.0.3:5000",
        ))
        .public_host("registry.example.com")
        .include_references(true)
        .endpoint(scanner)
        .endpoint(deployer)
        .endpoint(partner);
    assert_eq!(told(&read(EXAMPLE).unwrap()), told(&same));
}

#[test]
fn omitted_settings_have_defaults() {
    let text = "notifications: {endpoints: [{name: a, url: 'http://h/', retry: RETRY, batch: , \
                queue: {}, addresses: {}, include: {}, ignore: {}, deadletters: , rootcertificates: []}]}";
    for (retry, policy) in [
        ("breaker", Breaker::new().into()),
        ("{}", Backoff::new().into()),
        (
            "backoff",
            tower_registry_notifications::endpoint::RetryPolicy::from(Backoff::new()),
        ),
    ] {
        let same = of_reference("a", "http://h/").retry(policy);
        let read = read(&text.replace("RETRY", retry)).unwrap();
        assert_eq!(told(&read), told(&Notifier::builder().endpoint(same)));
    }
    let queue = |settings: &str| {
        let text = format!(
            "notifications: {{endpoints: [{{name: a, url: 'http://h/', queue: {{{settings}}}}}]}}"
        );
        told(&read(&text).unwrap())
    };
    let same = |events, bytes| {
        let endpoint = of_reference("a", "http://h/")
            .queue_events(events)
            .queue_bytes(bytes);
        told(&Notifier::builder().endpoint(endpoint))
    };
    assert_eq!(queue("events: 5"), same(5, 128 << 20));
    assert_eq!(queue("bytes: 5KiB"), same(100_000, 5 << 10));
}

/// The last parts of all keys in the tables of `Config`.
fn documented() -> BTreeSet<String> {
    let rows = SOURCE.lines().filter_map(|it| it.strip_prefix("/// | `"));
    let cells = rows.map(|row| row.split('|').next().unwrap());
    let keys = cells.flat_map(|cell| cell.split('`').step_by(2));
    let keys = keys.filter_map(|key| key.rsplit('.').next());
    keys.filter(|it| !it.is_empty()).map(Into::into).collect()
}

#[test]
fn the_example_has_every_key_that_is_documented() {
    let documented = documented();
    assert!(documented.len() > 40, "{documented:?}");
    for key in &documented {
        let line = |it: &str| {
            // A journal would be made, so its keys stand there as comments.
            it.trim_start_matches([' ', '-', '#'])
                .starts_with(&format!("{key}:"))
        };
        let mut lines = EXAMPLE.lines().chain(GITLAB.lines());
        assert!(lines.any(line), "{key} is not in the example");
    }
    // And no key is known that is not documented.
    for map in [
        "",
        "retry: {",
        "batch: {",
        "queue: {",
        "deadletters: {",
        "clientcertificate: {",
        "hmac: {",
        "addresses: {",
        "ignore: {",
        "include: {",
    ] {
        let end = if map.is_empty() { "" } else { "}" };
        let text = format!("notifications: {{endpoints: [{{{map}xxxxxxxxxxxx: 1{end}}}]}}");
        let error = read(&text).unwrap_err().to_string();
        let (_, keys) = error.split_once("the keys here are ").unwrap();
        for key in keys.split(", ") {
            let is = |it: &str| {
                it == key
                    || matches!(
                        key,
                        "retry"
                            | "batch"
                            | "queue"
                            | "ignore"
                            | "include"
                            | "deadletters"
                            | "addresses"
                            | "clientcertificate"
                            | "hmac"
                    )
            };
            assert!(
                documented.iter().any(|it| is(it)),
                "{key} is not documented"
            );
        }
    }
}

#[tokio::test]
async fn secrets_in_files_sign() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n").unwrap();
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let text = format!(
        "notifications: {{endpoints: [{{name: a, url: 'http://127.0.0.1:{port}', timeout: 1m, \
         signingsecrets: ['file:{}', whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw],
         hmac: {{header: X-Signature, secret: 'file:{}'}}}}]}}",
        file.display(),
        file.display()
    );
    let config = Config::from_yaml(&text).unwrap();
    let notifier = config.notifier().unwrap().build().unwrap();
    let event = Event::new(Action::Push).into();
    notifier.sink().write(&event).await.unwrap();
    assert!(notifier.shutdown(60 * SECOND).await.is_drained());
    let got = received.try_recv().unwrap();
    let signatures = got.headers["webhook-signature"].to_str().unwrap();
    assert_eq!(signatures.split(' ').count(), 2, "{signatures}");
    let hmac = got.headers["x-signature"].to_str().unwrap();
    assert!(hmac.starts_with("sha256="), "{hmac}");
    let shown = format!("{config:?} {:?}", config.notifier().unwrap());
    for secret in ["C2FVs", "MfKQ9"] {
        assert!(!shown.contains(secret), "{shown}");
    }

    std::fs::write(&file, "hush").unwrap();
    let error = config.notifier().unwrap_err().to_string();
    let path = "notifications.endpoints[0].signingsecrets[0]";
    assert!(error.contains(&format!("{path}: the value is not a signing secret: ")));
    assert!(!error.contains("hush"), "{error}");
    std::fs::remove_file(&file).unwrap();
    let error = config.notifier().unwrap_err().to_string();
    assert!(
        error.contains("cannot be read: No such file or directory"),
        "{error}"
    );
}

#[test]
fn certificates_are_read_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "notifications: {{endpoints: [{{name: a, url: 'https://h', rootcertificates: ['{}'], \
         clientcertificate: {{certificate: '{}', key: '{}'}}}}]}}",
        path("ca"),
        path("certificate"),
        path("key")
    );
    let config = Config::from_yaml(&text).unwrap();
    for name in ["ca", "certificate", "key"] {
        let error = config.notifier().unwrap_err().to_string();
        assert!(
            error.contains(&format!("the file {:?} cannot be read", path(name))),
            "{error}"
        );
        std::fs::write(path(name), name).unwrap();
    }
    let same = of_reference("a", "https://h")
        .root_certificates("ca")
        .client_certificate("certificate", "key");
    let builder = config.notifier().unwrap();
    assert_eq!(told(&builder), told(&Notifier::builder().endpoint(same)));

    let disabled = text.replace("name: a", "name: a, disabled: true");
    std::fs::remove_file(path("ca")).unwrap();
    let builder = read(&disabled).unwrap();
    assert!(
        builder.build().is_ok(),
        "a disabled endpoint needs no files"
    );
}
