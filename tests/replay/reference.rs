//! What the reference posts and the layer does not, by design; to the last field,
//! from the exchange and from what the registry had before it.

use tower_registry_notifications::event::{Action, Descriptor, Event, Manifest, RequestRecord};

use crate::corpus::{Exchange, Place};
use crate::registry::{State, failed_tag, sha256};

/// How an exchange deliberately differs from the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// The reference posts a pull that it then refuses, or has nothing new to give.
    RefusedPull,
    /// The reference posts a push whose tagging then fails.
    FailedPush,
    /// The reference also posts the tags that went with a manifest.
    Untagged,
}

/// The address of every client, as far as the layer knows: a recording does not
/// say which connection a request came on.
pub(crate) const PEER: &str = "192.0.2.1:1";

/// Returns the address of the client if the request determines it. Distribution
/// trusts these headers from anyone.
pub(crate) fn forwarded_address(exchange: &Exchange) -> Option<String> {
    let headers = &exchange.request.headers;
    let first = headers
        .get("x-forwarded-for")
        .and_then(|it| it.split(',').next());
    let address = first.or_else(|| headers.get("x-real-ip"))?.trim();
    let address: std::net::IpAddr = address.parse().ok()?;
    Some(address.to_string())
}

/// Returns the events that only the reference posts, after those that it shares
/// with the layer.
///
/// `before` is what the registry had before the exchange.
pub(crate) fn only_there(exchange: &Exchange, before: &State) -> Option<(Difference, Vec<Event>)> {
    let status = exchange.response.status;
    match (&*exchange.request.method, exchange.place()?) {
        ("GET" | "HEAD", Place::Blob { repository, digest })
            if [304, 412, 416].contains(&status) =>
        {
            let blob = before.repository(&repository)?.blobs.get(&digest)?;
            let media_type = "application/octet-stream";
            let descriptor = Descriptor::new(media_type, &*blob.digest, blob.size);
            let event = of_content(exchange, Action::Pull, "blobs", repository, descriptor);
            Some((Difference::RefusedPull, vec![event]))
        }
        (
            "GET" | "HEAD",
            Place::Manifest {
                repository,
                reference,
            },
        ) if [400, 404].contains(&status) => {
            let (digest, manifest) = before.repository(&repository)?.manifest(&reference)?;
            let (media_type, content) = (&manifest.media_type, &manifest.content);
            let descriptor = Descriptor::new(media_type.clone(), digest, content.len() as u64);
            let mut event = of_content(exchange, Action::Pull, "manifests", repository, descriptor);
            event.target.references = references(media_type, content);
            event.target.tag = tag(reference);
            Some((Difference::RefusedPull, vec![event]))
        }
        ("PUT", Place::Manifest { repository, .. }) => {
            let tag = failed_tag(exchange)?;
            let content = &exchange.request.body;
            let media_type = exchange.request.headers.get("content-type")?.to_owned();
            let size = content.len() as u64;
            let descriptor = Descriptor::new(media_type.clone(), sha256(content), size);
            let mut event = of_content(exchange, Action::Push, "manifests", repository, descriptor);
            event.target.references = references(&media_type, content);
            event.target.tag = tag;
            Some((Difference::FailedPush, vec![event]))
        }
        (
            "DELETE",
            Place::Manifest {
                repository,
                reference,
            },
        ) if exchange.succeeded() => {
            let tags = before.repository(&repository)?.tags.iter();
            let tags = tags.filter(|(_, digest)| **digest == reference);
            let events = tags.map(|(tag, _)| {
                let mut event = of_request(exchange, Action::Delete, repository.clone());
                event.target.tag.clone_from(tag);
                event
            });
            let events: Vec<_> = events.collect();
            (!events.is_empty()).then_some((Difference::Untagged, events))
        }
        _ => None,
    }
}

fn tag(reference: String) -> String {
    match reference.contains(':') {
        true => String::new(),
        false => reference,
    }
}

fn references(media_type: &str, content: &[u8]) -> Vec<Descriptor> {
    let references = Manifest::parse_references(media_type, content);
    references.unwrap_or_default().to_descriptors()
}

/// An event with the exchange's request record.
fn of_request(exchange: &Exchange, action: Action, repository: String) -> Event {
    let headers = &exchange.request.headers;
    let header = |name| headers.get(name).unwrap_or_default().to_owned();
    let mut request = RequestRecord::new("", exchange.request.method.clone());
    request.addr = forwarded_address(exchange).unwrap_or_else(|| PEER.into());
    request.host = header("host");
    request.user_agent = header("user-agent");
    let mut event = Event::new(action);
    event.request = request;
    event.target.repository = repository;
    event
}

fn of_content(
    exchange: &Exchange,
    action: Action,
    kind: &str,
    repository: String,
    descriptor: Descriptor,
) -> Event {
    let headers = &exchange.request.headers;
    let scheme = headers.get("x-forwarded-proto").unwrap_or("http");
    let host = headers
        .get("x-forwarded-host")
        .or_else(|| headers.get("host"));
    let host = host.unwrap_or_default();
    let url = format!(
        "{scheme}://{host}/v2/{repository}/{kind}/{}",
        descriptor.digest
    );
    let mut event = of_request(exchange, action, repository);
    event.target.length = descriptor.size;
    event.target.descriptor = descriptor;
    event.target.url = url;
    event
}
