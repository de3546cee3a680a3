//! What a registry reports to the bridge, and where the events go.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{BoxError, service_fn};
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::{
    Descriptor, Manifest, RequestRecord, SharedEvent, SourceRecord, media_types,
};
use tower_registry_notifications::sink::{Acceptance, ChannelSink, Events};
use tower_registry_notifications::{Bridge, Endpoint, Notifier, NotifierBuilder};

use super::{DIGEST, manifest};

/// Number of events after which the queues are emptied.
pub(crate) const ROUND: u64 = 64;

/// The facts about a request and its target.
pub(crate) struct Known {
    request: RequestRecord,
    blob: Descriptor,
    pub(crate) manifest: Descriptor,
    pub(crate) content: Vec<u8>,
}

impl Known {
    pub(crate) fn new(layers: usize) -> Self {
        let mut request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
        request.addr = "192.0.2.11:42961".into();
        request.host = "registry.example.com".into();
        request.user_agent = "containers/5.32.2 (github.com/containers/image)".into();
        let content = manifest(layers);
        let size = content.len() as u64;
        Self {
            request,
            blob: Descriptor::new("application/octet-stream", DIGEST, 31_357_624),
            manifest: Descriptor::new(media_types::OCI_MANIFEST, DIGEST, size),
            content,
        }
    }

    /// Returns a bridge for the request. Making it is part of the cost of an event.
    fn bridge(&self, notifier: &Notifier) -> Bridge {
        notifier
            .bridge(black_box(&self.request))
            .actor("alice")
            .base_url("https://registry.example.com")
    }
}

/// Reports one thing that happened.
pub(crate) type Report = fn(&Known, &Notifier) -> Acceptance;

/// Name, number of layers, whether events list references, and the report.
pub(crate) const REPORTS: [(&str, usize, bool, Report); 8] = [
    ("blob-pull", 0, false, |known, notifier| {
        let blob = black_box(&known.blob);
        known.bridge(notifier).blob_pulled("library/debian", blob)
    }),
    ("blob-push", 0, false, |known, notifier| {
        let blob = black_box(&known.blob);
        known.bridge(notifier).blob_pushed("library/debian", blob)
    }),
    ("delete", 0, false, |known, notifier| {
        let bridge = known.bridge(notifier);
        bridge.manifest_deleted("library/debian", black_box(DIGEST))
    }),
    ("manifest-push-without-references", 8, false, pushed),
    ("manifest-push-1", 1, true, pushed_and_parsed),
    ("manifest-push-8", 8, true, pushed_and_parsed),
    ("manifest-push-100", 100, true, pushed_and_parsed),
    ("manifest-push-100-without-references", 100, false, pushed),
];

fn pushed(known: &Known, notifier: &Notifier) -> Acceptance {
    let manifest = Manifest::new(black_box(&known.manifest).clone());
    let bridge = known.bridge(notifier);
    bridge.manifest_pushed("library/debian", manifest, Some("bookworm-slim"))
}

fn pushed_and_parsed(known: &Known, notifier: &Notifier) -> Acceptance {
    let content = black_box(&*known.content);
    let references = Manifest::parse_references(media_types::OCI_MANIFEST, content);
    let manifest = Manifest::new(black_box(&known.manifest).clone());
    let manifest = manifest.references(references.expect("a manifest"));
    let bridge = known.bridge(notifier);
    bridge.manifest_pushed("library/debian", manifest, Some("bookworm-slim"))
}

pub(crate) fn accepted(acceptance: Acceptance) {
    let answer = acceptance.now_or_never().expect("at once");
    answer.expect("accepted");
}

fn notifier(references: bool) -> NotifierBuilder {
    Notifier::builder()
        .source(SourceRecord::new("registry.example.com:5000"))
        .include_references(references)
}

/// Returns a notifier with three channel sinks, and their receiving ends.
pub(crate) fn channels(references: bool) -> (Notifier, [Events; 3]) {
    let mut notifier = notifier(references);
    let events = [(); 3].map(|()| {
        let (sink, events) = ChannelSink::new(ROUND as usize);
        notifier = std::mem::take(&mut notifier).sink(sink);
        events
    });
    (notifier.build().expect("a notifier"), events)
}

/// A notifier of three endpoints whose receiver accepts everything at once. Their
/// workers run in [`Endpoints::drain`] only, so that the queues do not grow and their
/// memory is warm.
pub(crate) struct Endpoints {
    runtime: Runtime,
    pub(crate) notifier: Notifier,
}

impl Endpoints {
    pub(crate) fn new(references: bool) -> Arc<Self> {
        Self::of(3, references, |endpoint| endpoint)
    }

    /// Like [`Endpoints::new`], with any number of endpoints and other settings.
    pub(crate) fn of(
        endpoints: usize,
        references: bool,
        settings: impl Fn(Endpoint) -> Endpoint,
    ) -> Arc<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let inside = runtime.enter();
        let mut notifier = notifier(references);
        for number in 0..endpoints {
            let client = service_fn(async |_: Request<Bytes>| {
                Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
            });
            let endpoint = Endpoint::new(format!("e{number}"), "http://receiver").client(client);
            notifier = notifier.endpoint(settings(endpoint.batch(Batch::of(ROUND as usize))));
        }
        let notifier = notifier.build().expect("a notifier");
        drop(inside);
        Arc::new(Self { runtime, notifier })
    }

    /// Lets the workers empty the queues.
    pub(crate) fn drain(&self) {
        let status = || self.notifier.status();
        let pending = || status().endpoints.iter().any(|it| it.pending > 0);
        self.runtime.block_on(async {
            while pending() {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// The events whose encoding is measured, as the bridge makes them: a pull by Docker, whose
/// `User-Agent` has characters to escape, and a push of eight layers with references.
pub(crate) fn encoded() -> [(&'static str, SharedEvent); 2] {
    let (notifier, mut events) = channels(true);
    let mut known = Known::new(8);
    known.request.user_agent = "docker/27.3.1 go/go1.22.7 git-commit/41ca978 \
        kernel/6.8.0-45-generic os/linux arch/amd64 \
        UpstreamClient(Docker-Client/27.3.1 \\(linux\\))"
        .into();
    let [pull, push] = [
        ("blob-pull", REPORTS[0].3),
        ("manifest-push", pushed_and_parsed),
    ];
    [pull, push].map(|(name, report)| {
        accepted(report(&known, &notifier));
        let received = events.each_mut().map(|events| events.try_recv());
        let [event, ..] = received;
        (name, event.expect("an event"))
    })
}
