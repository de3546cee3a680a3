//! What an event costs the request that makes it: `cargo bench --bench bridge`.
//!
//! Three endpoints, whose workers do not run meanwhile. Allocations are printed
//! first, one event's at a time.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{BoxError, service_fn};
use tower_registry_notifications::{
    ActorRecord, BlobListener as _, Bridge, Descriptor, Endpoint, Manifest, ManifestListener as _,
    Notifier, RequestRecord, UrlBuilder, media_types,
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Events that go into fresh queues at a time.
const ROUND: u64 = 10_000;

fn notifier(runtime: &Runtime) -> Notifier {
    let _inside = runtime.enter();
    let mut notifier = Notifier::builder().include_references(true);
    for name in ["a", "b", "c"] {
        let client = service_fn(async |_: Request<Bytes>| {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        });
        let endpoint = Endpoint::new(name, "http://receiver").client(client);
        notifier = notifier.endpoint(endpoint.queue_events(usize::MAX).queue_bytes(usize::MAX));
    }
    notifier.build().expect("a notifier")
}

/// Makes a bridge as the layer does, once for each request.
fn bridge(notifier: &Notifier, urls: &UrlBuilder) -> Bridge {
    let mut request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
    request.addr = "192.0.2.11:42961".into();
    request.host = "registry.example.com".into();
    request.user_agent = "containers/5.32.2 (github.com/containers/image)".into();
    let actor = ActorRecord::new("alice");
    Bridge::new(
        urls.clone(),
        notifier.source(),
        actor,
        request,
        notifier.sink(),
    )
    .include_references(true)
}

/// Makes an event.
type Make<'a> = &'a dyn Fn(&Bridge);

fn pull(bridge: &Bridge) {
    let blob = Descriptor::new("application/octet-stream", DIGEST, 31_357_624);
    let write = bridge.blob_pulled("library/debian", blob);
    futures_util::FutureExt::now_or_never(write)
        .expect("at once")
        .expect("accepted");
}

fn push(bridge: &Bridge, content: &[u8]) {
    let references = Manifest::parse_references(media_types::OCI_MANIFEST, black_box(content));
    let descriptor = Descriptor::new(media_types::OCI_MANIFEST, DIGEST, content.len() as u64);
    let manifest = Manifest::new(descriptor).references(references.expect("a manifest"));
    let write = bridge.manifest_pushed("library/debian", manifest, Some("bookworm-slim"));
    futures_util::FutureExt::now_or_never(write)
        .expect("at once")
        .expect("accepted");
}

/// A manifest of eight layers.
fn manifest() -> Vec<u8> {
    let of = |kind: &str, size| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{DIGEST}","size":{size}}}"#
        )
    };
    let layers = vec![of("layer.v1.tar+gzip", 31_357_624); 8].join(",");
    let (kind, config) = (media_types::OCI_MANIFEST, of("config.v1+json", 7_023));
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layers}]}}"#)
        .into_bytes()
}

/// The time of so many events, in fresh queues now and then.
fn rounds(iterations: u64, runtime: &Runtime, event: Make<'_>) -> Duration {
    let urls = UrlBuilder::new("https://registry.example.com");
    let mut total = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let notifier = notifier(runtime);
        let round = left.min(ROUND);
        let start = Instant::now();
        for _ in 0..round {
            event(&bridge(&notifier, &urls));
        }
        total += start.elapsed();
        left -= round;
    }
    total
}

fn events(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let content: Arc<[u8]> = manifest().into();
    let push = |bridge: &Bridge| push(bridge, &content);
    let events: [(&str, Make<'_>); 2] = [
        ("blob pull to 3 queues", &pull),
        ("manifest push of 8 layers to 3 queues", &push),
    ];
    for (name, event) in events {
        let (notifier, urls) = (notifier(&runtime), UrlBuilder::new("https://r.example.com"));
        // The queues have grown by then.
        (0..100).for_each(|_| event(&bridge(&notifier, &urls)));
        let counted = allocation_counter::measure(|| event(&bridge(&notifier, &urls)));
        println!(
            "{name}: {} allocations, {} bytes",
            counted.count_total, counted.bytes_total
        );
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| rounds(iterations, &runtime, event));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = events
}
criterion_main!(benches);
