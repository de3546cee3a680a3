//! Writes one event of every kind to a configured endpoint, and takes down the requests.

use bytes::Bytes;
use http::{HeaderMap, Response};
use tower_registry_notifications::event::{Descriptor, Manifest, RequestRecord, media_types};
use tower_registry_notifications::{Bridge, Config};

use crate::common::receiver;

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

/// The host of all requests to the registry, which is not its public one.
pub(crate) const INSIDE: &str = "10.0.0.9:5000";
/// The one that the page configures.
const PUBLIC: &str = "registry.example.com:5000";

pub(crate) const DIGEST: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A request that was posted.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// The first value of a header, or an empty text, as in Go.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// A parameter of the query, or an empty text.
    pub(crate) fn query(&self, name: &str) -> &str {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .into_iter()
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    }
}

/// What came of the events.
pub(crate) struct Posted {
    pub(crate) requests: Vec<Request>,
    /// Events that the format cannot carry.
    pub(crate) unsupported: u64,
}

/// The images that are pushed with a tag, by the public host.
pub(crate) fn images() -> Vec<String> {
    ["team/app:1.0", "tools:2.0"]
        .map(|it| format!("{PUBLIC}/{it}"))
        .into()
}

/// The same by the host of the requests.
pub(crate) fn images_of_requests() -> Vec<String> {
    ["team/app:1.0", "tools:2.0"]
        .map(|it| format!("{INSIDE}/{it}"))
        .into()
}

/// How many events are written.
pub(crate) const EVENTS: usize = 12;

async fn write(bridge: &Bridge, media_type: &'static str) {
    let manifest = || Manifest::new(Descriptor::new(media_type, DIGEST, 7));
    let blob = || Descriptor::new("application/octet-stream", DIGEST, 7);
    let writes = [
        bridge.manifest_pushed("team/app", manifest(), Some("1.0")),
        bridge.manifest_pushed("team/app", manifest(), None),
        bridge.manifest_pulled("team/app", manifest(), Some("1.0")),
        bridge.manifest_pulled("team/app", manifest(), None),
        bridge.manifest_deleted("team/app", DIGEST),
        bridge.blob_pushed("team/app", blob()),
        bridge.blob_pulled("team/app", blob()),
        bridge.blob_mounted("team/app", blob(), Some("team/base")),
        bridge.blob_deleted("team/app", DIGEST),
        bridge.tag_deleted("team/app", "1.0"),
        bridge.repo_deleted("team/app"),
        bridge.manifest_pushed("tools", manifest(), Some("2.0")),
    ];
    assert_eq!(writes.len(), EVENTS);
    for write in writes {
        write.await.unwrap();
    }
}

/// Reads the configuration, sends its only endpoint here, and writes the events.
pub(crate) async fn posted(configuration: &str) -> Posted {
    posted_of(configuration, media_types::OCI_MANIFEST).await
}

/// The same with manifests of another media type.
pub(crate) async fn posted_of(configuration: &str, media_type: &'static str) -> Posted {
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let (before, rest) = configuration.split_once("https://").unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    // The page's endpoints have the defaults of the reference, of which a second for an
    // attempt may be too short on a machine that is busy.
    let text = format!("{before}http://127.0.0.1:{port}/{path}");
    let text = text.replacen(
        "name:",
        "timeout: 1m\n      name:",
        usize::from(!text.contains('{')),
    );
    let config = Config::from_yaml(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let notifier = config.notifier().unwrap().build().unwrap();
    let mut request = RequestRecord::new("019ab1c2-7a5f-7f00-8000-0000000000aa", "PUT");
    request.host = INSIDE.into();
    request.user_agent = "skopeo/1.18".into();
    let bridge = notifier
        .bridge(request)
        .actor("alice")
        .base_url(format!("http://{INSIDE}"));
    write(&bridge, media_type).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let mut requests = Vec::new();
    while let Ok(got) = received.try_recv() {
        requests.push(Request {
            path: got.path,
            headers: got.headers,
            body: got.body,
        });
    }
    Posted {
        requests,
        unsupported: notifier.status().endpoints[0].unsupported,
    }
}
