//! Odd manifests: what they refer to is read here as distribution reads it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../../common/mod.rs"]
mod common;
mod random;
mod registry;
mod rows;
mod table;

use std::collections::HashMap;
use std::time::Duration;

use common::{Received, receiver};
use http::Response;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tower_registry_notifications::Format;
use tower_registry_notifications::event::{
    Action, Envelope, Event, MANIFEST_LIMIT, Manifest, media_types,
};

use crate::registry::Registry;
use crate::rows::ROWS;
use crate::table::{BLOBS, OCI, Row, digest, expand, image};

const MINUTE: Duration = Duration::from_secs(60);

/// Manifests at random that are compared in one run.
const RANDOM: usize = 400;

/// The references that we read, as an event in format v1 has them.
fn ours(kind: &str, content: &[u8]) -> Option<Value> {
    let references = Manifest::parse_references(kind, content).ok()?;
    let mut event = Event::new(Action::Push);
    event.target.descriptor.media_type = kind.to_owned().into();
    event.target.references = references.to_descriptors();
    let envelope = Envelope::new([event]).encode_compact(Format::V1);
    Some(references_of(&serde_json::from_slice(&envelope).unwrap()))
}

fn references_of(envelope: &Value) -> Value {
    match &envelope["events"][0]["target"]["references"] {
        Value::Null => json!([]),
        references => references.clone(),
    }
}

/// Compares what is read with what docker-registry posted, or with what the
/// row says instead.
fn check(row: &Row) {
    let (wanted, why) = row.differs.unwrap_or((row.posted, "it was posted"));
    let content = expand(row.kind, row.manifest);
    assert_eq!(ours(row.kind, &content), wanted.value(row.kind), "{why}");
}

/// Pushes the manifests, one tag each; what the registry posted of those that
/// it took.
async fn push<'a>(
    registry: &Registry,
    repository: &str,
    manifests: impl Iterator<Item = (&'a str, Vec<u8>)>,
) -> usize {
    for blob in BLOBS {
        registry.push_blob(repository, &digest(blob), blob).await;
    }
    assert!(
        registry
            .push_manifest(repository, "image", OCI, image())
            .await
    );
    let mut taken = 0;
    for (n, (kind, content)) in manifests.enumerate() {
        let tag = format!("row{n}");
        let was_taken = registry
            .push_manifest(repository, &tag, kind, content)
            .await;
        taken += usize::from(was_taken);
    }
    taken
}

/// The references of each tag's manifest, up to the event of a repository that
/// marks the end.
async fn posted(received: &mut UnboundedReceiver<Received>) -> HashMap<String, Value> {
    let mut posted = HashMap::new();
    loop {
        let next = tokio::time::timeout(MINUTE, received.recv()).await;
        let received = next.expect("the end was not posted").unwrap();
        let envelope: Value = serde_json::from_slice(&received.body).unwrap();
        let target = &envelope["events"][0]["target"];
        if target["repository"] == "end" {
            return posted;
        }
        if let Some(tag) = target["tag"].as_str() {
            posted.insert(tag.to_owned(), references_of(&envelope));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_registry_posts_what_the_table_says() {
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let registry = Registry::start(port).await;
    let manifests = ROWS
        .iter()
        .map(|row| (row.kind, expand(row.kind, row.manifest)));
    let taken = push(&registry, "odd", manifests).await;
    registry.push_blob("end", &digest("end"), "end").await;
    let posted = posted(&mut received).await;
    let mut wrong = Vec::new();
    for (n, row) in ROWS.iter().enumerate() {
        let posted = posted.get(&format!("row{n}")).cloned();
        if posted != row.posted.value(row.kind) {
            wrong.push(format!("{}: {posted:?}", row.name));
        }
        check(row);
    }
    let differ: Vec<_> = ROWS
        .iter()
        .filter_map(|row| Some((row.name, row.differs?.1)))
        .collect();
    println!(
        "{}{} manifests, {taken} taken, {} of them read as posted, {} refused, {} differ for a reason:",
        Registry::version(),
        ROWS.len(),
        taken - differ.len(),
        ROWS.len() - taken,
        differ.len(),
    );
    differ
        .iter()
        .for_each(|(name, why)| println!("  {name}: {why}"));
    // The image itself has a tag too.
    assert_eq!(posted.len(), taken + 1);
    assert!(taken >= 60, "{taken} are too few");
    assert!(
        wrong.is_empty(),
        "the table is wrong:\n{}",
        wrong.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_registry_posts_what_is_read_of_manifests_at_random() {
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let registry = Registry::start(port).await;
    let mut runner = TestRunner::deterministic();
    let images = random::images();
    let images: Vec<_> = (0..RANDOM)
        .map(|_| images.new_tree(&mut runner).unwrap().current())
        .collect();
    let manifests = images.iter().map(|it| (OCI, expand(OCI, it.as_bytes())));
    let taken = push(&registry, "random", manifests).await;
    registry.push_blob("end", &digest("end"), "end").await;
    let posted = posted(&mut received).await;
    assert_eq!(posted.len(), taken + 1);
    println!("{RANDOM} manifests at random, {taken} taken");
    assert!(taken >= RANDOM / 4, "{taken} are too few");
    for (n, image) in images.iter().enumerate() {
        let ours = ours(OCI, &expand(OCI, image.as_bytes()));
        // What is refused for a digest of nothing makes no event.
        if let Some(posted) = posted.get(&format!("row{n}")) {
            assert_eq!(ours.as_ref(), Some(posted), "{image}");
        }
    }
}

/// Fills a manifest of the largest size with copies of `element`.
fn largest(before: &str, element: &str) -> Vec<u8> {
    let count = (MANIFEST_LIMIT - before.len() - 2) / (element.len() + 1);
    let elements = vec![element; count].join(",");
    format!("{before}{elements}]}}").into_bytes()
}

#[test]
fn more_references_than_an_event_may_list_are_omitted_without_being_kept() {
    let layers = r#"{"config":{"digest":"c"},"layers":["#;
    let annotations = format!(
        r#"{{"annotations":{{{}}}}}"#,
        r#""a":"b","#.repeat(99) + r#""a":"""#
    );
    for (kind, before, element) in [
        (media_types::OCI_INDEX, r#"{"manifests":["#, "{}"),
        (media_types::DOCKER_LIST, r#"{"manifests":["#, "null"),
        (
            media_types::OCI_INDEX,
            r#"{"manifests":["#,
            r#"{"platform":{}}"#,
        ),
        (
            media_types::OCI_MANIFEST,
            layers,
            r#"{"digest":"sha256:0"}"#,
        ),
        (
            media_types::OCI_MANIFEST,
            layers,
            r#"{"urls":[null,null,null,null,null,null]}"#,
        ),
        (media_types::DOCKER_MANIFEST, layers, &annotations),
        (
            media_types::OCI_MANIFEST,
            layers,
            r#"{"data":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}"#,
        ),
    ] {
        let content = largest(before, element);
        let mut error = None;
        let taken = allocation_counter::measure(|| {
            error = Manifest::parse_references(kind, &content).err();
        });
        println!("{element:.30}: {} bytes at most", taken.bytes_max);
        assert!(error.unwrap().is_too_many_references(), "{element}");
        assert!(
            taken.bytes_max < 4 << 20,
            "{element}: {} bytes",
            taken.bytes_max
        );
    }
}
