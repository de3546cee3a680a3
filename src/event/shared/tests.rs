use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::event::{
    Descriptor, Encoding, Envelope, Event, Format, Platform, RequestRecord, Target, media_types,
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9./:-]{0,40}", ".{0,12}", Just(String::new())]
}

fn id() -> impl Strategy<Value = String> {
    let uuid = any::<u128>().prop_map(|bits| uuid::Uuid::from_u128(bits).to_string());
    prop_oneof![uuid, text()]
}

fn media_type() -> impl Strategy<Value = String> {
    let known = [LAYER, media_types::OCI_INDEX, media_types::OCI_MANIFEST];
    prop_oneof![
        text(),
        prop::sample::select(known.map(String::from).to_vec())
    ]
}

prop_compose! {
    fn platform()(texts in [text(), text(), text(), text()], os_features in vec(text(), 0..3))
        -> Platform
    {
        let [architecture, os, os_version, variant] = texts;
        Platform { architecture, os, os_version, os_features, variant }
    }
}

prop_compose! {
    fn descriptor()(
        (media_type, digest, size) in (media_type(), text(), any::<u64>()),
        urls in vec(text(), 0..3),
        annotations in btree_map(text(), text(), 0..3),
        data in vec(any::<u8>(), 0..8),
        platform in proptest::option::of(platform()),
        artifact_type in text(),
        plain in any::<bool>(),
    ) -> Descriptor {
        let descriptor = Descriptor::new(media_type, digest, size);
        if plain {
            return descriptor;
        }
        let platform = platform.map(Box::new);
        Descriptor { urls, annotations, data, platform, artifact_type, ..descriptor }
    }
}

prop_compose! {
    fn target()(
        descriptor in descriptor(),
        references in vec(descriptor(), 0..4),
        length in proptest::option::of(any::<u64>()),
        texts in [text(), text(), text(), text()],
        url in 0..4,
    ) -> Target {
        let [repository, from_repository, mut url_or_base, tag] = texts;
        let kind = ["/manifests/", "/blobs/", "/tags/"].get(url as usize);
        if let Some(kind) = kind {
            let (repository, digest) = (&*repository, &*descriptor.digest);
            url_or_base = [&*url_or_base, "/v2/", repository, kind, digest].concat();
        }
        let length = length.unwrap_or(descriptor.size);
        Target { descriptor, length, repository, from_repository, url: url_or_base, tag, references }
    }
}

prop_compose! {
    pub(crate) fn event()(
        target in target(),
        action in prop::sample::select(vec![Action::Push, Action::Pull, Action::Mount, Action::Delete]),
        kind in prop::sample::select(vec![None, Some(Kind::Blob), Some(Kind::Tag)]),
        seconds in 0..253_402_300_800_u64,
        nanoseconds in 0..1_000_000_000_u32,
        ids in [id(), id()],
        method in prop_oneof![Just("GET".to_owned()), text()],
        request in [text(), text(), text(), text()],
        others in [text(), text(), text(), text()],
    ) -> Event {
        let mut event = Event::new(action);
        let [event_id, request_id] = ids;
        event.id = event_id;
        event.timestamp = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        event.kind = kind;
        event.target = target;
        let [addr, host, user_agent, trace_parent] = request;
        let method = method.into();
        event.request =
            RequestRecord { id: request_id, addr, host, method, user_agent, trace_parent };
        let [actor, addr, instance_id, public_host] = others;
        event.actor = actor.into();
        event.source = SourceRecord { addr, instance_id, public_host };
        event
    }
}

/// Format v2 without white space as serde and Go's escaping make it.
fn expected(event: &Event) -> String {
    let mut json = serde_json::to_string(event).unwrap();
    for (character, escaped) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        json = json.replace(character, escaped);
    }
    json
}

fn encoding(format: Format, compact: bool) -> Encoding {
    Encoding {
        compact,
        ..Encoding::of(format)
    }
}

/// Bytes that stay allocated after `make`, whose result is kept.
fn kept<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let mut kept = None;
    let counted = allocation_counter::measure(|| kept = Some(make()));
    (kept.unwrap(), counted.bytes_current.try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_event_survives_the_compact_form(event in event()) {
        let shared = SharedEvent::from(&event);
        prop_assert_eq!(shared.to_event(), event.clone());
        prop_assert_eq!(shared.kind(), event.kind());
        prop_assert_eq!(shared.id(), &*event.id);
        prop_assert_eq!(shared.request_id(), &*event.request.id);
        prop_assert_eq!(&shared.url(), &event.target.url);
        prop_assert_eq!(SharedEvent::from(event.clone()).to_event(), event);
    }

    #[test]
    fn any_event_is_encoded_to_the_byte_as_its_owned_form(event in event()) {
        let expected = expected(&event);
        let shared = SharedEvent::from(&event);
        let encoded = shared.encoded(&encoding(Format::V2, true));
        prop_assert_eq!(std::str::from_utf8(encoded.event()).unwrap(), &expected);
        let serialized: Event =
            serde_json::from_str(&serde_json::to_string(&shared).unwrap()).unwrap();
        let again = SharedEvent::from(serialized).encoded(&encoding(Format::V2, true));
        prop_assert_eq!(again.event(), expected.as_bytes());
        for format in [Format::V2, Format::V1] {
            let envelope = Envelope::new([event.clone()]);
            prop_assert_eq!(shared.to_bytes(format), envelope.encode(format));
            let compact = shared.encoded(&encoding(format, true));
            prop_assert_eq!(compact.body(), envelope.encode_compact(format));
        }
        let alone = shared.to_bytes(Format::CloudEvents);
        let batch = Envelope::new([event]).encode(Format::CloudEvents);
        prop_assert_eq!(&batch[2..batch.len() - 2], &alone[..]);
    }

    #[test]
    fn memory_is_what_an_allocator_counts(event in event(), by_value in any::<bool>()) {
        let owned = event.clone();
        let (shared, counted) = kept(|| SharedEvent::from(&event));
        prop_assert_eq!(shared.memory(), counted);
        // Taking the event itself frees what it held, but for its source.
        let SourceRecord { addr, instance_id, public_host } = &owned.source;
        let source = [addr, instance_id, public_host].map(String::capacity);
        let source: usize = source.iter().sum();
        prop_assert!(shared.memory() >= source);
        if by_value {
            let (shared, counted) = kept(|| SharedEvent::from(owned.clone()));
            prop_assert_eq!(shared.memory(), counted);
        }
    }

    #[test]
    fn a_list_is_the_references_that_were_put_into_it(references in vec(descriptor(), 0..6)) {
        let list: ReferenceList = references.iter().collect();
        prop_assert_eq!(list.len(), references.len());
        prop_assert_eq!(list.is_empty(), references.is_empty());
        let read: Vec<_> = list.iter().map(|it| it.to_descriptor()).collect();
        prop_assert_eq!(&read, &references);
        let origin = Origin::default();
        let draft = Draft::new(Action::Push, Kind::Manifest, "a/b");
        let without = draft.share(&origin, None).memory();
        let shared = Draft { references: (&list).into(), ..draft }.share(&origin, None);
        prop_assert_eq!(shared.to_event().target.references, references);
        prop_assert_eq!(shared.memory(), without + list.bytes());
    }
}

/// The request of a blob pull by podman, as the layer sees it.
fn origin() -> Origin {
    let mut request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
    request.addr = "192.0.2.11:42961".into();
    request.host = "registry.example.com".into();
    request.user_agent = "containers/5.32.2 (github.com/containers/image)".into();
    let mut origin = Origin::from(&request);
    origin.set_base_url("https://registry.example.com");
    origin.set_actor("alice");
    origin
}

fn content(media_type: &str) -> Content<'_> {
    Content {
        media_type,
        digest: DIGEST,
        size: 31_357_624,
        rest: None,
    }
}

#[test]
fn a_blob_pull_takes_two_allocations_and_little_memory() {
    let (origin, source) = (origin(), Arc::new(SourceRecord::new("node:5000")));
    let pull = || {
        let draft = Draft::new(Action::Pull, Kind::Blob, "library/debian");
        let content = content("application/octet-stream");
        Draft { content, ..draft }.share(&origin, Some(&source))
    };
    // The first one sets up the generator of ids.
    drop(pull());
    let mut event = None;
    let counted = allocation_counter::measure(|| event = Some(pull()));
    let event = event.unwrap();
    assert_eq!(counted.count_total, 2);
    assert_eq!(counted.bytes_current, event.memory() as i64);
    // Three entries in queues are to fit into 450 bytes with it.
    let memory = event.memory();
    assert!(memory + 3 * 32 <= 450, "{memory}");
    assert_eq!(
        event.url(),
        format!("https://registry.example.com/v2/library/debian/blobs/{DIGEST}")
    );
}

#[test]
fn a_push_of_eight_layers_takes_few_allocations_and_little_memory() {
    let (origin, source) = (origin(), Arc::new(SourceRecord::new("node:5000")));
    let push = || {
        let mut references = ReferenceList::with_capacity(9, 9 * DIGEST.len());
        references.push("application/vnd.oci.image.config.v1+json", DIGEST, 7_023);
        (0..8).for_each(|_| references.push(LAYER, DIGEST, 31_357_624));
        let draft = Draft {
            tag: "bookworm-slim",
            content: content(media_types::OCI_MANIFEST),
            references: (&references).into(),
            ..Draft::new(Action::Push, Kind::Manifest, "library/debian")
        };
        draft.share(&origin, Some(&source))
    };
    drop(push());
    let mut event = None;
    let counted = allocation_counter::measure(|| event = Some(push()));
    let event = event.unwrap();
    assert_eq!(counted.count_total, 3, "one of them for the list");
    assert_eq!(counted.bytes_current, event.memory() as i64);
    let memory = event.memory();
    assert!(memory + 3 * 32 <= 1_250, "{memory}");
    assert_eq!(event.references().count(), 9);
}

#[test]
fn concurrent_readers_share_an_encoding_and_the_last_one_frees_it() {
    let event = SharedEvent::from(Event::new(Action::Pull));
    let same = |a: &Encoded, b: &Encoded| a.body().as_ptr() == b.body().as_ptr();
    let counted = allocation_counter::measure(|| {
        let first = event.encoded(&encoding(Format::V2, false));
        let second = event.clone().encoded(&encoding(Format::V2, false));
        assert!(same(&first, &second));
        let bytes = event.to_bytes(Format::V2);
        assert_eq!(bytes.as_ptr(), first.body().as_ptr());
        let other = event.encoded(&encoding(Format::V1, false));
        assert_ne!(first.body(), other.body());
        assert!(same(&first, &event.encoded(&encoding(Format::V2, false))));
        // A third one takes the place of the older of the two.
        let third = event.encoded(&encoding(Format::CloudEvents, false));
        assert!(same(
            &third,
            &event.encoded(&encoding(Format::CloudEvents, false))
        ));
        drop((first, second));
        assert!(bytes.starts_with(b"{"), "somebody holds it still");
    });
    assert_eq!(counted.bytes_current, 0, "nothing stays behind");
}

#[test]
fn an_event_may_be_dropped_before_its_encoding() {
    let event = Event::new(Action::Pull);
    let counted = allocation_counter::measure(|| {
        let bytes = SharedEvent::from(&event).to_bytes(Format::V2);
        assert!(serde_json::from_slice::<Envelope>(&bytes).is_ok());
    });
    assert_eq!(counted.bytes_current, 0);
}

#[test]
fn threads_that_encode_at_once_get_whole_encodings_and_leave_nothing() {
    let event = SharedEvent::from(Event::new(Action::Pull));
    let expected = event.to_bytes(Format::V2).to_vec();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..2_000 {
                    let other = [Format::V1, Format::CloudEvents][round % 2];
                    let (bytes, other) = (event.to_bytes(Format::V2), event.to_bytes(other));
                    assert_eq!(bytes, expected);
                    drop((other, bytes));
                }
            });
        }
    });
    assert!(event.0.encodings.is_empty());
}

#[test]
fn a_text_that_is_too_long_is_left_out_and_the_rest_stays() {
    let mut event = Event::new(Action::Push);
    event.id = "i".into();
    event.request.user_agent = "u".repeat(text::LIMIT - 100);
    event.target.repository = "r".repeat(90);
    event.target.tag = "t".repeat(text::LIMIT + 1);
    event.target.descriptor.artifact_type = "a".repeat(50);
    event.target.descriptor.data = vec![1; 50];
    event.target.references = vec![Descriptor::new("m", "sha256:00", 1); 3];
    let read = SharedEvent::from(&event).to_event();
    assert_eq!(read.request, event.request);
    assert_eq!(read.target.repository, event.target.repository);
    assert_eq!((&*read.id, &*read.target.tag), ("i", ""));
    assert!(read.target.descriptor.data.is_empty());

    event.request.user_agent = "u".repeat(text::LIMIT + 1);
    let read = SharedEvent::from(&event).to_event();
    assert_eq!(read.request.user_agent, "");
    assert_eq!(read.target.references, event.target.references);
}
