//! What is written can be read: by ourselves, by any JSON parser, by the schema
//! of CloudEvents and by its official SDK. For all texts that an event may have.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use cloudevents::AttributesReader as _;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;
use tower_registry_notifications::event::{
    Action, ActorRecord, Descriptor, Envelope, Event, Kind, Manifest, Platform, RequestRecord,
    media_types,
};
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{Bridge, Endpoint, Format, Notifier, SourceRecord};

const FORMATS: [Format; 3] = [Format::V2, Format::V1, Format::CloudEvents];

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("cloudevents/spec.json")).unwrap();
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&schema).unwrap()
});

/// The elements of a batch, each of which the schema and the SDK have accepted.
fn cloud_events(events: &[Event]) -> Vec<(Value, cloudevents::Event)> {
    let batch = Envelope::new(events).encode(Format::CloudEvents);
    let batch: Vec<Value> = serde_json::from_slice(&batch).unwrap();
    assert_eq!(batch.len(), events.len());
    let read = |event: Value| {
        if let Err(error) = SCHEMA.validate(&event) {
            panic!("{error} in {event:#}");
        }
        let read = serde_json::from_value(event.clone()).unwrap();
        (event, read)
    };
    batch.into_iter().map(read).collect()
}

/// JSON without the white space that Go's indenting adds.
fn compacted(json: &[u8]) -> Vec<u8> {
    let (mut quoted, mut escaped) = (false, false);
    let mut stays = |byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        quoted || !b" \n".contains(byte)
    };
    json.iter().copied().filter(|byte| stays(byte)).collect()
}

fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(
        "\"\\/<>&'\u{0}\u{8}\u{c}\n\r\t\u{1f} \u{7f}\u{80}\u{2027}\u{2028}\u{2029}\u{feff}😀%:.@[]"
            .chars()
            .collect::<Vec<_>>(),
    );
    let any = vec(prop_oneof![special, any::<char>()], 0..24);
    let any = any.prop_map(String::from_iter);
    prop_oneof![any, "[a-z0-9./:-]{0,40}"]
}

fn media_type() -> impl Strategy<Value = String> {
    prop_oneof![text(), Just(media_types::OCI_INDEX.into())]
}

prop_compose! {
    fn platform()(texts in [text(), text(), text(), text()], os_features in vec(text(), 0..3))
        -> Platform
    {
        let [architecture, os, os_version, variant] = texts;
        let mut platform = Platform::default();
        platform.architecture = architecture;
        platform.os = os;
        platform.os_version = os_version;
        platform.os_features = os_features;
        platform.variant = variant;
        platform
    }
}

prop_compose! {
    fn descriptor()(
        media_type in media_type(),
        digest in text(),
        size in any::<u64>(),
        urls in vec(text(), 0..3),
        annotations in btree_map(text(), text(), 0..3),
        data in vec(any::<u8>(), 0..8),
        platform in proptest::option::of(platform()),
        artifact_type in text(),
    ) -> Descriptor {
        let mut descriptor = Descriptor::new(media_type, digest, size);
        descriptor.urls = urls;
        descriptor.annotations = annotations;
        descriptor.data = data;
        descriptor.platform = platform.map(Box::new);
        descriptor.artifact_type = artifact_type;
        descriptor
    }
}

prop_compose! {
    fn event()(
        action in prop::sample::select(vec![Action::Push, Action::Pull, Action::Mount, Action::Delete]),
        (seconds, nanoseconds) in (0..253_402_300_800_u64, 0..1_000_000_000_u32),
        descriptor in descriptor(),
        references in vec(descriptor(), 0..3),
        length in any::<u64>(),
        target in [text(), text(), text(), text()],
        request in [text(), text(), text(), text(), text()],
        others in [text(), text(), text()],
        id in (any::<char>(), text()),
    ) -> Event {
        let mut event = Event::new(action);
        event.id = format!("{}{}", id.0, id.1);
        event.timestamp = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        event.target.descriptor = descriptor;
        event.target.references = references;
        event.target.length = length;
        let [repository, from_repository, url, tag] = target;
        event.target.repository = repository;
        event.target.from_repository = from_repository;
        event.target.url = url;
        event.target.tag = tag;
        let [id, method, addr, host, user_agent] = request;
        let mut request = RequestRecord::new(id, method);
        request.addr = addr;
        request.host = host;
        request.user_agent = user_agent;
        event.request = request;
        let [actor, addr, instance_id] = others;
        event.actor = ActorRecord::new(actor);
        let mut source = SourceRecord::new(addr);
        source.instance_id = instance_id;
        event.source = source;
        event
    }
}

/// What is left of an event in format v1.
fn as_v1(mut event: Event) -> Event {
    let target = &mut event.target;
    for reference in &mut target.references {
        if target.descriptor.media_type == media_types::OCI_INDEX {
            reference.platform = None;
        }
    }
    for descriptor in target.references.iter_mut().chain([&mut target.descriptor]) {
        descriptor.data.clear();
        descriptor.artifact_type.clear();
    }
    event
}

proptest! {
    #[test]
    fn any_event_is_read_as_it_was_written(events in vec(event(), 1..4)) {
        let envelope = Envelope::new(&*events);
        for format in FORMATS {
            let indented = envelope.encode(format);
            prop_assert_eq!(
                String::from_utf8(compacted(&indented)).unwrap(),
                String::from_utf8(envelope.encode_compact(format)).unwrap()
            );
        }
        let v2: Envelope = serde_json::from_slice(&envelope.encode(Format::V2)).unwrap();
        prop_assert_eq!(&v2, &envelope);
        let v1: Envelope = serde_json::from_slice(&envelope.encode(Format::V1)).unwrap();
        prop_assert_eq!(v1.events, events.iter().cloned().map(as_v1).collect::<Vec<_>>());
        for ((json, read), event) in cloud_events(&events).iter().zip(&events) {
            prop_assert_eq!(read.id(), &event.id);
            let data: Event = serde_json::from_value(json["data"].clone()).unwrap();
            prop_assert_eq!(&data, event);
        }
    }
}

proptest! {
    #[test]
    fn events_for_image_updaters_are_cloud_events(event in event()) {
        prop_assume!(!event.request.host.is_empty());
        let envelope = Envelope::new([event.clone()]);
        let indented = envelope.encode(Format::ImageUpdater);
        let compact = envelope.encode_compact(Format::ImageUpdater);
        prop_assert_eq!(compacted(&indented), compact);
        let json: Value = serde_json::from_slice(&indented).unwrap();
        if let Err(error) = SCHEMA.validate(&json) {
            panic!("{error} in {json:#}");
        }
        let read: cloudevents::Event = serde_json::from_value(json.clone()).unwrap();
        prop_assert!(read.ty().contains("image") && read.source().starts_with("http"));
        let data: Event = serde_json::from_value(json["data"].clone()).unwrap();
        prop_assert_eq!(&data, &event);
        prop_assert_eq!(&json["data"]["registryUrl"], &event.request.host);

        // The others are JSON, whatever the texts are.
        for format in [Format::Azure, Format::Harbor] {
            let indented = envelope.encode(format);
            serde_json::from_slice::<Value>(&indented).unwrap();
            prop_assert_eq!(compacted(&indented), envelope.encode_compact(format));
        }
    }
}

/// Events with numbers, as an endpoint posts them.
#[tokio::test]
async fn a_numbered_event_is_a_cloud_event() {
    let (bodies, mut posted) = tokio::sync::mpsc::unbounded_channel();
    let client = tower::service_fn(move |request: http::Request<bytes::Bytes>| {
        bodies.send(request.into_body()).unwrap();
        std::future::ready(Ok::<_, tower::BoxError>(http::Response::new(
            http_body_util::Empty::new(),
        )))
    });
    let endpoint = Endpoint::new("a \"name\" ü", "http://receiver").client(client);
    let endpoint = endpoint.format(Format::CloudEvents).sequence(true);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    let bridge = notifier.bridge(RequestRecord::new("r", "DELETE"));
    bridge.tag_deleted("a/b", "t").await.unwrap();
    let report = notifier.shutdown(Duration::from_secs(60)).await;
    assert!(report.is_drained());
    let json: Value = serde_json::from_slice(&posted.recv().await.unwrap()).unwrap();
    SCHEMA.validate(&json).unwrap();
    let read: cloudevents::Event = serde_json::from_value(json).unwrap();
    let extension = |name| read.extension(name).unwrap().to_string();
    assert_eq!(extension("sequence"), "00000000000000000001");
    let instance = &notifier.source().instance_id;
    let partition = format!("{instance}/a%20%22name%22%20%C3%BC");
    assert_eq!(extension("partitionkey"), partition);
}

#[test]
fn an_envelope_without_events_is_a_frame() {
    let encoded = |format| {
        let envelope = Envelope::default();
        [envelope.encode(format), envelope.encode_compact(format)]
            .map(|json| String::from_utf8(json).unwrap())
    };
    let frame = ["{\n   \"events\": []\n}", "{\"events\":[]}"];
    assert_eq!(encoded(Format::V2), frame);
    assert_eq!(encoded(Format::V1), frame);
    assert_eq!(encoded(Format::CloudEvents), ["[]", "[]"]);
}

#[test]
fn content_types_are_those_that_receivers_compare_with() {
    let types = FORMATS.map(|format| (format.content_type(), format.batch_content_type()));
    let v2 = "application/vnd.docker.distribution.events.v2+json";
    let v1 = "application/vnd.docker.distribution.events.v1+json";
    let cloud = (
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    );
    assert_eq!(types, [(v2, v2), (v1, v1), cloud]);
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn each_happening_has_its_kind_its_type_and_its_subject() {
    let (sink, mut events) = ChannelSink::new(16);
    let mut request = RequestRecord::new("r", "PUT");
    request.trace_parent = TRACE.into();
    let bridge = Bridge::new(Arc::new(sink), request)
        .source(SourceRecord::new("registry.example.com:5000"))
        .actor("alice");
    let manifest = || Manifest::new(Descriptor::new("unknown/type", DIGEST, 7));
    let blob = || Descriptor::new("application/octet-stream", DIGEST, 7);
    for (write, kind, done, subject) in [
        (
            bridge.manifest_pushed("a/b", manifest(), Some("t")),
            Kind::Manifest,
            "pushed",
            ":t",
        ),
        (
            bridge.manifest_pulled("a/b", manifest(), None),
            Kind::Manifest,
            "pulled",
            DIGEST,
        ),
        (
            bridge.manifest_deleted("a/b", DIGEST),
            Kind::Manifest,
            "deleted",
            DIGEST,
        ),
        (
            bridge.blob_pushed("a/b", blob()),
            Kind::Blob,
            "pushed",
            DIGEST,
        ),
        (
            bridge.blob_pulled("a/b", blob()),
            Kind::Blob,
            "pulled",
            DIGEST,
        ),
        (
            bridge.blob_mounted("a/b", blob(), None),
            Kind::Blob,
            "mounted",
            DIGEST,
        ),
        (
            bridge.blob_deleted("a/b", DIGEST),
            Kind::Blob,
            "deleted",
            DIGEST,
        ),
        (bridge.tag_deleted("a/b", "t"), Kind::Tag, "deleted", ":t"),
        (bridge.repo_deleted("a/b"), Kind::Repository, "deleted", ""),
    ] {
        write.await.unwrap();
        let event = events.try_recv().unwrap().to_event();
        let (json, read) = cloud_events(std::slice::from_ref(&event)).remove(0);
        let subject = match subject {
            DIGEST => format!("a/b@{DIGEST}"),
            other => format!("a/b{other}"),
        };
        assert_eq!(event.kind(), kind, "{json:#}");
        assert_eq!(read.ty(), format!("registry.{kind}.{done}.v1"));
        assert_eq!(read.subject(), Some(&*subject));
        assert_eq!(read.source(), "//registry.example.com:5000");
        assert_eq!(
            read.time().map(|time| SystemTime::from(*time)),
            Some(event.timestamp)
        );
        assert_eq!(read.datacontenttype(), Some("application/json"));
        assert_eq!(json["traceparent"], TRACE);
        assert_eq!(json["specversion"], "1.0");

        // What was parsed knows all but that it was a blob that was deleted.
        let parsed: Event = serde_json::from_value(json["data"].clone()).unwrap();
        let deleted_blob = (kind, event.action) == (Kind::Blob, Action::Delete);
        let apparent = if deleted_blob { Kind::Manifest } else { kind };
        assert_eq!(parsed.kind(), apparent, "{json:#}");
    }
}

#[test]
fn a_source_is_a_uri_reference_whatever_it_says_of_itself() {
    for (addr, instance_id, source) in [
        ("registry:5000", "i", "//registry:5000"),
        ("[2001:db8::1]:443", "", "//[2001:db8::1]:443"),
        ("registry:99999", "", "//registry%3A99999"),
        ("a/b?c#d@e", "", "//a%2Fb%3Fc%23d%40e"),
        ("::1", "", "//%3A:1"),
        ("", "01", "urn:uuid:01"),
        ("", "not a uuid", "urn:uuid:not%20a%20uuid"),
        ("", "", "/v2/"),
    ] {
        let mut record = SourceRecord::new(addr);
        record.instance_id = instance_id.into();
        let mut event = Event::new(Action::Delete);
        event.source = record;
        let (json, _) = cloud_events(&[event]).remove(0);
        assert_eq!(json["source"], source);
        assert_eq!(json.get("subject"), None, "there is no repository");
        assert_eq!(json.get("traceparent"), None);
    }
}
