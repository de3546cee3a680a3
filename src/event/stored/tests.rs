use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::shared::tests::event;
use crate::event::{Action, Descriptor, Format, Platform, RequestRecord, SourceRecord};

/// What was written by the releases so far, and must be read for ever.
const GOLDEN: [(&str, &str); 3] = [
    (
        "a blob that was deleted",
        include_str!("../../../tests/event/golden/blob-deleted.v1.json"),
    ),
    (
        "a manifest with everything",
        include_str!("../../../tests/event/golden/manifest-pushed.v1.json"),
    ),
    (
        "a manifest in a registry with a public host",
        include_str!("../../../tests/event/golden/manifest-pushed.v2.json"),
    ),
];

fn time(seconds: u64, nanoseconds: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

fn blob_deleted() -> SharedEvent {
    let mut event = Event::new(Action::Delete);
    event.id = "019ab1c2-7a5f-7f00-8000-0000000000aa".into();
    event.timestamp = time(1_763_920_744, 650_000_000);
    event.kind = Some(Kind::Blob);
    event.target.repository = "library/debian".into();
    event.target.descriptor.digest = "sha256:c0ffee".into();
    event.request = RequestRecord::new("r-1", "DELETE");
    let source = SourceRecord::default();
    SharedEvent::accepted(&event, source, time(1_763_920_744, 650_000_123))
}

fn manifest_pushed(public_host: &str) -> SharedEvent {
    let mut event = Event::new(Action::Push);
    event.id = "not a UUID".into();
    event.timestamp = time(1_763_920_744, 1);
    event.kind = Some(Kind::Manifest);
    let mut descriptor = Descriptor::new("application/vnd.example+json", "sha256:01", 7);
    descriptor.urls = vec!["https://elsewhere.example.com/<a>&b".into()];
    descriptor.annotations = [("name".into(), "line\nend".into())].into();
    descriptor.data = b"data".into();
    descriptor.artifact_type = "application/vnd.example.artifact".into();
    descriptor.platform = Some(Box::new(Platform {
        architecture: "arm64".into(),
        os: "linux".into(),
        os_version: "6".into(),
        os_features: vec!["f".into()],
        variant: "v8".into(),
    }));
    let plain = Descriptor::new("application/vnd.oci.image.layer.v1.tar", "sha256:02", 9);
    event.target.references = vec![descriptor.clone(), plain];
    event.target.descriptor = descriptor;
    event.target.length = 8;
    event.target.repository = "library/debian".into();
    event.target.from_repository = "other".into();
    event.target.url = "https://r.example.com/v2/library/debian/manifests/sha256:01".into();
    event.target.tag = "12".into();
    let mut request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "PUT");
    request.addr = "192.0.2.11:42961".into();
    request.host = "r.example.com".into();
    request.user_agent = "skopeo".into();
    request.trace_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into();
    event.request = request;
    event.actor = "alice".into();
    let source = SourceRecord {
        addr: "node:5000".into(),
        instance_id: "i".into(),
        public_host: public_host.into(),
    };
    SharedEvent::accepted(&event, source, time(1_763_920_745, 0))
}

fn parts(event: &SharedEvent) -> (Event, SystemTime) {
    (event.to_event(), event.accepted_at())
}

#[test]
fn golden_files_are_read_and_written_to_the_byte() {
    let events = [
        blob_deleted(),
        manifest_pushed(""),
        manifest_pushed("registry.example.com:5000"),
    ];
    for ((name, golden), event) in GOLDEN.iter().zip(events) {
        let golden = golden.trim_end();
        assert_eq!(
            String::from_utf8(to_bytes(&event)).unwrap(),
            golden,
            "{name}"
        );
        let read = from_bytes(golden.as_bytes()).unwrap();
        assert_eq!(parts(&read), parts(&event), "{name}");
    }
}

#[test]
fn a_blob_that_was_deleted_comes_back_as_a_blob() {
    let read = from_bytes(&to_bytes(&blob_deleted())).unwrap();
    assert_eq!(read.kind(), Kind::Blob);
    let json: serde_json::Value =
        serde_json::from_slice(&read.to_bytes(Format::CloudEvents)).unwrap();
    assert_eq!(json["type"], "registry.blob.deleted.v1");
}

#[test]
fn bytes_that_are_not_a_stored_event_are_an_error() {
    for wrong in [
        "",
        "{}",
        "[]",
        r#"{"version":1}"#,
        r#"{"version":1,"acceptedAt":"never","event":{}}"#,
        r#"{"version":1,"acceptedAt":"2026-11-23T17:59:04Z","kind":"word","event":{}}"#,
        r#"{"id":"1","timestamp":"2026-11-23T17:59:04.65Z","action":"pull"}"#,
        "\u{0}",
    ] {
        assert!(
            matches!(from_bytes(wrong.as_bytes()), Err(StoredError::Json(_))),
            "{wrong}"
        );
    }
    let nested = format!(r#"{{"version":1,"event":{}"#, "[".repeat(100_000));
    assert!(matches!(
        from_bytes(nested.as_bytes()),
        Err(StoredError::Json(_))
    ));
    let large = vec![b' '; MOST_BYTES + 1];
    assert!(matches!(from_bytes(&large), Err(StoredError::TooLarge)));
}

#[test]
fn a_later_version_is_named_whatever_its_fields_are() {
    let error = from_bytes(br#"{"version":3,"other":[]}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stored event has version 3, this release reads up to 2"
    );
}

proptest! {
    #[test]
    fn any_event_is_read_as_it_was_stored(event in event(), nanoseconds in any::<u32>()) {
        let at = time(nanoseconds.into(), nanoseconds % 1_000_000_000);
        let source = event.source.clone();
        let shared = SharedEvent::accepted(&event, source, at);
        let bytes = to_bytes(&shared);
        prop_assert!(!bytes.contains(&b'\n'));
        let read = from_bytes(&bytes).unwrap();
        prop_assert_eq!(parts(&read), (event, at));
        prop_assert_eq!(read.memory(), shared.memory());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..500, byte in any::<u8>()) {
        let _ = from_bytes(&bytes);
        let mut altered = GOLDEN[1].1.as_bytes().to_vec();
        let at = at % altered.len();
        altered[at] = byte;
        let _ = from_bytes(&altered);
    }
}
