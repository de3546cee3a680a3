//! What it costs to encode one event: `cargo bench --bench encode`.
//!
//! Nobody holds an encoding from one iteration to the next, so each of them is
//! made anew and freed.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tower_registry_notifications::event::{
    Action, Descriptor, Envelope, Event, Format, RequestRecord, SharedEvent, SourceRecord,
    media_types,
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A pull of a blob by Docker, as a registry behind a proxy sees it.
fn blob_pull() -> Event {
    let mut event = Event::new(Action::Pull);
    event.target.descriptor = Descriptor::new("application/octet-stream", DIGEST, 31_357_624);
    event.target.length = 31_357_624;
    event.target.repository = "library/debian".into();
    event.target.url = format!("https://registry.example.com/v2/library/debian/blobs/{DIGEST}");
    event.request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
    event.request.addr = "192.0.2.11:42961".into();
    event.request.host = "registry.example.com".into();
    event.request.user_agent = "docker/27.3.1 go/go1.22.7 git-commit/41ca978 \
        kernel/6.8.0-45-generic os/linux arch/amd64 \
        UpstreamClient(Docker-Client/27.3.1 \\(linux\\))"
        .into();
    event.actor = "alice".into();
    event.source = SourceRecord::new("registry.example.com:5000");
    event
}

/// A push of an image with eight layers, with references.
fn manifest_push() -> Event {
    let mut event = blob_pull();
    event.action = Action::Push;
    let target = &mut event.target;
    target.descriptor = Descriptor::new(media_types::OCI_MANIFEST, DIGEST, 1_864);
    target.url = format!("https://registry.example.com/v2/library/debian/manifests/{DIGEST}");
    target.tag = "bookworm-slim".into();
    let config = "application/vnd.oci.image.config.v1+json";
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    target.references = vec![Descriptor::new(layer, DIGEST, 31_357_624); 9];
    target.references[0] = Descriptor::new(config, DIGEST, 7_023);
    event
}

fn encode(criterion: &mut Criterion) {
    for (name, event) in [
        ("blob pull", blob_pull()),
        ("manifest push", manifest_push()),
    ] {
        let shared = SharedEvent::from(&event);
        println!("{name}: {} bytes of memory", shared.memory());
        let mut group = criterion.benchmark_group(name);
        for format in [Format::V2, Format::V1, Format::CloudEvents] {
            group.bench_function(format!("{format:?}"), |bencher| {
                bencher.iter(|| black_box(&shared).to_bytes(format));
            });
        }
        // An envelope is of events in their owned form, which costs a conversion.
        let envelope = Envelope::new([event]);
        group.bench_function("envelope, V2, compact", |bencher| {
            bencher.iter(|| black_box(&envelope).encode_compact(Format::V2));
        });
        group.finish();
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
