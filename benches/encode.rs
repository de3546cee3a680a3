//! What it costs to write one event: `cargo bench --bench encode`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tower_registry_notifications::{
    Action, ActorRecord, Descriptor, Envelope, Event, Format, RequestRecord, SourceRecord,
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
    let mut request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
    request.addr = "192.0.2.11:42961".into();
    request.host = "registry.example.com".into();
    request.user_agent = "docker/27.3.1 go/go1.22.7 git-commit/41ca978 kernel/6.8.0-45-generic \
        os/linux arch/amd64 UpstreamClient(Docker-Client/27.3.1 \\(linux\\))"
        .into();
    event.request = request.into();
    event.actor = ActorRecord::new("alice");
    event.source = Arc::new(SourceRecord::new("registry.example.com:5000"));
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
        let envelope = Envelope::new([event]);
        let mut group = criterion.benchmark_group(name);
        for format in [Format::V2, Format::V1, Format::CloudEvents] {
            group.bench_function(format!("{format:?}"), |bencher| {
                bencher.iter(|| black_box(&envelope).encode(format));
            });
            group.bench_function(format!("{format:?}, compact"), |bencher| {
                bencher.iter(|| black_box(&envelope).encode_compact(format));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
