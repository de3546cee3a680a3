//! What an event costs the request that causes it: `cargo bench --bench bridge`.
//!
//! Each iteration makes a bridge and an event, as the layer does once for a
//! request, and shares the event
//!
//! - with three channels, receives it from them and drops it, or
//! - with the queues of three endpoints. Their workers empty them between
//!   rounds of 64 events, which is not timed, so that the queues do not grow
//!   and their memory is warm.
//!
//! Allocations and bytes of one iteration are printed first.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{BoxError, service_fn};
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::{
    Descriptor, Manifest, RequestRecord, SourceRecord, media_types,
};
use tower_registry_notifications::sink::{Acceptance, ChannelSink, Events};
use tower_registry_notifications::{Bridge, Endpoint, Notifier};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Events between two times that the queues are emptied.
const ROUND: u64 = 64;

/// What the layer knows of a request and of what happened.
struct Facts {
    request: RequestRecord,
    blob: Descriptor,
    manifest: Descriptor,
    content: Vec<u8>,
}

impl Facts {
    fn new() -> Self {
        let mut request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
        request.addr = "192.0.2.11:42961".into();
        request.host = "registry.example.com".into();
        request.user_agent = "containers/5.32.2 (github.com/containers/image)".into();
        let content = manifest();
        let size = content.len() as u64;
        Self {
            request,
            blob: Descriptor::new("application/octet-stream", DIGEST, 31_357_624),
            manifest: Descriptor::new(media_types::OCI_MANIFEST, DIGEST, size),
            content,
        }
    }

    fn bridge(&self, notifier: &Notifier) -> Bridge {
        notifier
            .bridge(black_box(&self.request))
            .actor("alice")
            .base_url("https://registry.example.com")
    }

    fn pull(&self, bridge: &Bridge) -> Acceptance {
        bridge.blob_pulled("library/debian", black_box(&self.blob))
    }

    /// References that were parsed before.
    fn push_parsed(&self) -> impl Fn(&Self, &Bridge) -> Acceptance + use<> {
        let references = Manifest::parse_references(media_types::OCI_MANIFEST, &self.content);
        let manifest = Manifest::new(self.manifest.clone());
        let manifest = manifest.references(references.expect("a manifest"));
        move |_, bridge| {
            let tag = Some("bookworm-slim");
            bridge.manifest_pushed("library/debian", black_box(&manifest), tag)
        }
    }

    fn push(&self, bridge: &Bridge) -> Acceptance {
        let content = black_box(&*self.content);
        let references = Manifest::parse_references(media_types::OCI_MANIFEST, content);
        let manifest = Manifest::new(self.manifest.clone());
        let manifest = manifest.references(references.expect("a manifest"));
        bridge.manifest_pushed("library/debian", manifest, Some("bookworm-slim"))
    }
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

fn accepted(acceptance: Acceptance) {
    acceptance
        .now_or_never()
        .expect("at once")
        .expect("accepted");
}

/// Three channels, and the ends of their subscriber.
fn channels() -> (Notifier, [Events; 3]) {
    let mut notifier = Notifier::builder()
        .source(SourceRecord::new("registry.example.com:5000"))
        .include_references(true);
    let events = [(); 3].map(|()| {
        let (sink, events) = ChannelSink::new(ROUND as usize);
        notifier = std::mem::take(&mut notifier).sink(sink);
        events
    });
    (notifier.build().expect("a notifier"), events)
}

/// Three endpoints whose receiver accepts everything at once.
fn endpoints(runtime: &Runtime) -> Notifier {
    let _inside = runtime.enter();
    let mut notifier = Notifier::builder()
        .source(SourceRecord::new("registry.example.com:5000"))
        .include_references(true);
    for name in ["a", "b", "c"] {
        let client = service_fn(async |_: Request<Bytes>| {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        });
        let endpoint = Endpoint::new(name, "http://receiver").client(client);
        notifier = notifier.endpoint(endpoint.batch(Batch::of(ROUND as usize)));
    }
    notifier.build().expect("a notifier")
}

/// Lets the workers empty the queues.
fn drain(runtime: &Runtime, notifier: &Notifier) {
    let pending = || notifier.status().endpoints.iter().any(|it| it.pending > 0);
    runtime.block_on(async {
        while pending() {
            tokio::task::yield_now().await;
        }
    });
}

/// The time of this many events, in rounds.
fn rounds(iterations: u64, runtime: &Runtime, notifier: &Notifier, event: &dyn Fn()) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let round = left.min(ROUND);
        let start = Instant::now();
        (0..round).for_each(|_| event());
        total += start.elapsed();
        drain(runtime, notifier);
        left -= round;
    }
    total
}

fn counted(name: &str, event: impl FnOnce()) {
    let counted = allocation_counter::measure(event);
    let (count, bytes) = (counted.count_total, counted.bytes_total);
    println!("{name}: {count} allocations, {bytes} bytes");
}

fn events(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let facts = Facts::new();
    let parsed = facts.push_parsed();
    type Make<'a> = &'a dyn Fn(&Facts, &Bridge) -> Acceptance;
    let events: [(&str, Make<'_>); 3] = [
        ("blob pull", &Facts::pull),
        ("manifest push, 8 layers, parsed before", &parsed),
        ("manifest push, 8 layers, with parsing", &Facts::push),
    ];
    for (name, make) in events {
        let (notifier, mut received) = channels();
        let mut event = || {
            accepted(make(&facts, &facts.bridge(&notifier)));
            received.each_mut().map(|events| events.try_recv())
        };
        (0..2 * ROUND).for_each(|_| drop(event()));
        let name_of = |to: &str| format!("{name} to 3 {to}");
        let mut last = None;
        counted(&name_of("channels"), || last = event()[0].take());
        let memory = last.map(|event| event.memory());
        println!("{name}: {} bytes wait", memory.unwrap_or_default());
        criterion.bench_function(&name_of("channels"), |bencher| bencher.iter(&mut event));

        let notifier = endpoints(&runtime);
        let event = || accepted(make(&facts, &facts.bridge(&notifier)));
        rounds(10 * ROUND, &runtime, &notifier, &event);
        counted(&name_of("queues"), event);
        drain(&runtime, &notifier);
        criterion.bench_function(&name_of("queues"), |bencher| {
            bencher.iter_custom(|iterations| rounds(iterations, &runtime, &notifier, &event));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = events
}
criterion_main!(benches);
