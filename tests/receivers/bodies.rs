//! What the formats of single events write, to the byte, and which events they carry.

use std::time::{Duration, SystemTime};

use http::Response;
use tower_registry_notifications::dead_letter::DeadLetterChannel;
use tower_registry_notifications::event::{
    Action, Descriptor, Envelope, Event, Kind, Manifest, RequestRecord, SharedEvent, media_types,
};
use tower_registry_notifications::sink::{Acceptance, Filter, Sink as _};
use tower_registry_notifications::{Bridge, Endpoint, Format, Notifier, SourceRecord};

use crate::common::receiver;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SINGLE: [Format; 3] = [Format::Azure, Format::Harbor, Format::ImageUpdater];
const MINUTE: Duration = Duration::from_secs(60);

fn pushed() -> Event {
    let mut event = Event::new(Action::Push);
    event.id = "019ab1c2-7a5f-7f00-8000-0000000000aa".into();
    event.timestamp = SystemTime::UNIX_EPOCH + Duration::new(1_763_920_744, 650_000_000);
    event.target.descriptor = Descriptor::new(media_types::OCI_MANIFEST, DIGEST, 524);
    event.target.length = 524;
    event.target.repository = "team/sub/app".into();
    event.target.tag = "v1".into();
    event.target.url = format!("http://10.0.0.9:5000/v2/team/sub/app/manifests/{DIGEST}");
    let mut request = RequestRecord::new("r-1", "PUT");
    request.host = "10.0.0.9:5000".into();
    request.user_agent = "a \"client\"".into();
    event.request = request;
    event.actor = "alice".into();
    event.source = SourceRecord::new("node:5000");
    event.source.instance_id = "i".into();
    event
}

fn text(event: &Event, format: Format) -> String {
    String::from_utf8(Envelope::new([event.clone()]).encode_compact(format)).unwrap()
}

#[test]
fn azure_is_the_bare_event() {
    let body = text(&pushed(), Format::Azure);
    let media_type = media_types::OCI_MANIFEST;
    assert_eq!(
        body,
        [
            r#"{"id":"019ab1c2-7a5f-7f00-8000-0000000000aa","timestamp":"2025-11-23T17:59:04.65Z","#,
            r#""action":"push","target":{"mediaType":""#,
            media_type,
            r#"","size":524,"digest":""#,
            DIGEST,
            r#"","length":524,"repository":"team/sub/app","tag":"v1"},"#,
            r#""request":{"id":"r-1","host":"10.0.0.9:5000","method":"PUT","useragent":"a \"client\""}}"#,
        ]
        .concat()
    );
}

#[test]
fn harbor_has_the_fields_of_its_default_format_and_no_other() {
    let harbor = |event: &Event| text(event, Format::Harbor);
    let resource = format!(
        r#"{{"digest":"{DIGEST}","tag":"v1","resource_url":"10.0.0.9:5000/team/sub/app:v1"}}"#
    );
    let repository = r#"{"name":"sub/app","namespace":"team","repo_full_name":"team/sub/app","repo_type":"private"}"#;
    let mut event = pushed();
    assert_eq!(
        harbor(&event),
        [
            r#"{"type":"PUSH_ARTIFACT","occur_at":1763920744,"operator":"alice","event_data":{"resources":["#,
            &resource,
            r#"],"repository":"#,
            repository,
            "}}",
        ]
        .concat()
    );

    // As Harbor writes a pull by digest, and a repository that is in no project.
    event.action = Action::Pull;
    event.target.tag = String::new();
    event.target.repository = "app".into();
    let body = harbor(&event);
    let resource = format!(
        r#"{{"digest":"{DIGEST}","tag":"{DIGEST}","resource_url":"10.0.0.9:5000/app@{DIGEST}"}}"#
    );
    assert!(body.starts_with(r#"{"type":"PULL_ARTIFACT","#), "{body}");
    assert!(body.contains(&resource), "{body}");
    assert!(body.contains(r#"{"name":"app","namespace":"","#), "{body}");

    event.action = Action::Delete;
    event.timestamp = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let body = harbor(&event);
    assert!(
        body.starts_with(r#"{"type":"DELETE_ARTIFACT","occur_at":0,"#),
        "{body}"
    );
}

#[test]
fn the_image_updater_s_data_is_the_event_and_names_the_image() {
    let mut event = pushed();
    let body: serde_json::Value =
        serde_json::from_str(&text(&event, Format::ImageUpdater)).unwrap();
    assert_eq!(body["specversion"], "1.0");
    assert_eq!(body["type"], "registry.image.pushed.v1");
    assert_eq!(body["source"], "http://10.0.0.9:5000");
    assert_eq!(body["subject"], "team/sub/app:v1");
    let data = &body["data"];
    assert_eq!(data["registryUrl"], "10.0.0.9:5000");
    assert_eq!(data["repository"], "team/sub/app");
    assert_eq!(data["tag"], "v1");
    assert_eq!(data["digest"], DIGEST);
    assert_eq!(
        serde_json::from_value::<Event>(data.clone()).unwrap(),
        event
    );

    event.target.url = String::new();
    event.request.host = String::new();
    event.source.public_host = "[::1]:5000".into();
    let body = text(&event, Format::ImageUpdater);
    assert!(body.contains(r#""source":"https://[::1]:5000""#), "{body}");
}

#[test]
fn the_host_is_the_public_one_else_that_of_the_request_else_the_source() {
    let host = |event: &Event| SharedEvent::from(event).registry_host().to_owned();
    let mut event = pushed();
    assert_eq!(host(&event), "10.0.0.9:5000");
    event.source.public_host = "registry.example.com".into();
    assert_eq!(host(&event), "registry.example.com");
    for format in SINGLE {
        let body = text(&event, format);
        assert!(body.contains("registry.example.com"), "{body}");
        assert!(
            SharedEvent::from(&event)
                .to_bytes(format)
                .starts_with(b"{\n   \"")
        );
    }
    // The formats of distribution do not have it.
    for format in [Format::V2, Format::V1, Format::CloudEvents] {
        assert!(!text(&event, format).contains("registry.example.com"));
    }
    event.source.public_host = String::new();
    event.request.host = String::new();
    assert_eq!(host(&event), "node:5000");
    event.source.addr = String::new();
    let shared = SharedEvent::from(&event);
    assert_eq!(shared.registry_host(), "");
    assert!(SINGLE.iter().all(|format| !format.carries(&shared)));
    assert!(Format::V2.carries(&shared));
}

#[tokio::test]
async fn a_public_host_is_a_host() {
    for (host, valid) in [
        ("registry.example.com:5000", true),
        ("[2001:db8::1]:443", true),
        ("https://registry.example.com", false),
        ("registry.example.com/", false),
        ("me@registry.example.com", false),
        ("a b", false),
    ] {
        let built = Notifier::builder().public_host(host).build();
        assert_eq!(built.is_ok(), valid, "{host}");
        let source = SourceRecord::new("node:5000");
        let built = Notifier::builder().source(source).public_host(host).build();
        assert_eq!(built.is_ok(), valid, "{host}");
    }
    let notifier = Notifier::builder().public_host("r:5").build().unwrap();
    assert_eq!(notifier.source().public_host, "r:5");
}

const HAPPENINGS: [&str; 11] = [
    "push tag",
    "push digest",
    "pull tag",
    "pull digest",
    "delete digest",
    "delete tag",
    "push blob",
    "pull blob",
    "mount blob",
    "delete blob",
    "delete repository",
];

fn happens(bridge: &Bridge, what: &str) -> Acceptance {
    let manifest = Manifest::new(Descriptor::new(media_types::OCI_MANIFEST, DIGEST, 7));
    let blob = Descriptor::new("application/octet-stream", DIGEST, 7);
    match what {
        "push tag" => bridge.manifest_pushed("a/b", manifest, Some("t")),
        "push digest" => bridge.manifest_pushed("a/b", manifest, None),
        "pull tag" => bridge.manifest_pulled("a/b", manifest, Some("t")),
        "pull digest" => bridge.manifest_pulled("a/b", manifest, None),
        "delete digest" => bridge.manifest_deleted("a/b", DIGEST),
        "delete tag" => bridge.tag_deleted("a/b", "t"),
        "push blob" => bridge.blob_pushed("a/b", blob),
        "pull blob" => bridge.blob_pulled("a/b", blob),
        "mount blob" => bridge.blob_mounted("a/b", blob, None),
        "delete blob" => bridge.blob_deleted("a/b", DIGEST),
        _ => bridge.repo_deleted("a/b"),
    }
}

/// Which happenings an endpoint posts, and how many its format cannot carry.
async fn posts(format: Format, filter: Filter) -> (Vec<&'static str>, u64) {
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let endpoint = Endpoint::new("e", format!("http://127.0.0.1:{port}/"));
    let endpoint = endpoint.format(format).filter(filter).timeout(MINUTE);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    let mut request = RequestRecord::new("r", "PUT");
    request.host = "registry.example.com".into();
    let mut posted = Vec::new();
    let mut events = 0;
    let bridge = notifier.bridge(request);
    for name in HAPPENINGS {
        happens(&bridge, name).await.unwrap();
        let now = notifier.status().endpoints[0].events;
        posted.extend((now > events).then_some(name));
        events = now;
    }
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    for name in &posted {
        assert!(received.try_recv().is_ok(), "{name}");
    }
    assert!(received.try_recv().is_err(), "one event a request");
    let status = &notifier.status().endpoints[0];
    assert_eq!(status.events, posted.len() as u64);
    (posted, status.unsupported)
}

#[tokio::test]
async fn formats_carry_deletions_and_pulls_only_if_the_filter_names_them() {
    let all = Filter::new;
    let naming = |actions: &[Action]| Filter::new().include_actions(actions.to_vec());
    use Action::{Delete, Pull, Push};
    for format in SINGLE {
        assert_eq!(
            posts(format, all()).await,
            (vec!["push tag"], 10),
            "{format:?}"
        );
    }
    let asked = naming(&[Push, Delete]);
    let deletes = (vec!["push tag", "delete digest"], 5);
    assert_eq!(posts(Format::Azure, asked.clone()).await, deletes);
    let deletes = (vec!["push tag", "delete digest", "delete tag"], 4);
    assert_eq!(posts(Format::Harbor, asked.clone()).await, deletes);
    assert_eq!(
        posts(Format::ImageUpdater, asked).await,
        (vec!["push tag"], 6)
    );
    let pulls = (vec!["pull tag", "pull digest"], 1);
    assert_eq!(posts(Format::Harbor, naming(&[Pull])).await, pulls);
    // What the filter does not want is not counted.
    let tagged = Filter::new()
        .include_kinds([Kind::Manifest])
        .include_tags(["*"]);
    assert_eq!(posts(Format::Azure, tagged).await, (vec!["push tag"], 1));
}

#[tokio::test]
async fn a_dead_letter_that_the_format_cannot_carry_is_not_sent_again() {
    let (letters, mut dead) = DeadLetterChannel::new(8);
    let refusing = |format| {
        let letters = letters.clone();
        async move {
            let (port, _received) = receiver(Box::new(|_| Response::builder().status(400))).await;
            let endpoint = Endpoint::new("e", format!("http://127.0.0.1:{port}/"));
            let endpoint = endpoint
                .format(format)
                .dead_letters(letters)
                .timeout(MINUTE);
            Notifier::builder().endpoint(endpoint).build().unwrap()
        }
    };
    let before = refusing(Format::V2).await;
    let pull: SharedEvent = Event::new(Action::Pull).into();
    before.write(&pull).await.unwrap();
    let letter = dead.recv().await.unwrap();
    let after = refusing(Format::Azure).await;
    let error = after.send_again(&letter).await.unwrap_err();
    assert!(error.is_unsupported() && !error.is_no_endpoint(), "{error}");
}

#[tokio::test]
async fn the_user_agent_of_azure_is_known_and_can_be_replaced() {
    for (configured, agent) in [
        (None, "AzureContainerRegistry/1.0"),
        (
            Some("AzureContainerRegistry/2.0"),
            "AzureContainerRegistry/2.0",
        ),
    ] {
        let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
        let mut endpoint = Endpoint::new("e", format!("http://127.0.0.1:{port}/"));
        endpoint = endpoint.format(Format::Azure).timeout(MINUTE);
        if let Some(configured) = configured {
            endpoint = endpoint.header("user-agent", configured);
        }
        let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
        notifier.write(&pushed().into()).await.unwrap();
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        let got = received.try_recv().unwrap();
        assert_eq!(got.headers["user-agent"], agent);
        assert_eq!(got.headers["content-type"], "application/json");
        assert_eq!(got.headers.get_all("user-agent").iter().count(), 1);
    }
}

#[tokio::test]
async fn settings_that_do_not_fit_the_format_are_reported() {
    use tower_registry_notifications::endpoint::Batch;
    let endpoint = |format| Endpoint::new("e", "http://receiver/").format(format);
    for (wrong, field) in [
        (endpoint(Format::Azure).batch(Batch::of(2)), "batch events"),
        (endpoint(Format::Harbor).event_type("image"), "event type"),
        (
            endpoint(Format::ImageUpdater).event_type("pushed"),
            "event type",
        ),
        (
            endpoint(Format::ImageUpdater).event_type("an \"image\""),
            "event type",
        ),
        (
            endpoint(Format::Azure).filter(Filter::new().include_actions([Action::Mount])),
            "format",
        ),
        (
            endpoint(Format::Harbor).filter(Filter::new().ignore_actions([
                Action::Push,
                Action::Pull,
                Action::Delete,
            ])),
            "format",
        ),
    ] {
        let error = Notifier::builder().endpoint(wrong).build().unwrap_err();
        let [mistake] = error.mistakes() else {
            panic!("{error}");
        };
        assert_eq!(mistake.field(), format!("endpoint \"e\": {field}"));
    }
}

#[tokio::test]
async fn the_type_of_events_is_set() {
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let endpoint = |name: &str| {
        let endpoint = Endpoint::new(name, format!("http://127.0.0.1:{port}/"));
        endpoint.format(Format::ImageUpdater).timeout(MINUTE)
    };
    // Two endpoints at once, which must not share an encoding.
    let notifier = Notifier::builder()
        .endpoint(endpoint("a").event_type("com.example.container.changed"))
        .endpoint(endpoint("b"))
        .build()
        .unwrap();
    notifier.write(&pushed().into()).await.unwrap();
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let mut types = Vec::new();
    while let Ok(got) = received.try_recv() {
        let body: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        types.push(body["type"].as_str().unwrap().to_owned());
    }
    types.sort_unstable();
    assert_eq!(
        types,
        ["com.example.container.changed", "registry.image.pushed.v1"]
    );
}
