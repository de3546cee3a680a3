//! The facts in the head of a request: its id, who acts, from where, and what URLs
//! begin with.
//!
//! Each fact has a file of its own. All of them read headers through
//! [`EndToEnd`], so that no header counts that a proxy may have removed before
//! the registry.

mod actor;
mod base_url;
mod forwarded;
mod headers;
mod host;
mod omitted;
mod peer;
mod proxies;
mod request_id;
mod trace;

use std::borrow::Cow;
use std::net::SocketAddr;

use http::header::USER_AGENT;
use http::request::Parts;

use self::actor::Credentials;
pub use self::base_url::BaseUrl;
use self::forwarded::Client;
use self::omitted::{Fact, Omitted};
pub use self::peer::PeerAddr;
pub(super) use self::peer::PeerWatch;
pub use self::proxies::TrustedProxies;
use crate::event::{ActorRecord, Origin, push_lossy};

pub(super) use self::headers::{EndToEnd, Single};

/// Length of the longest `User-Agent` that an event takes, in bytes. Without a bound
/// a few hundred requests could fill the queues of all endpoints.
const USER_AGENT_LIMIT: usize = 8 << 10;

/// Length of the texts of most origins without the `User-Agent`, in bytes.
const ROOM: usize = 256;

/// A closure, set by the registry's author, that reads a fact from the head of a
/// request.
pub(super) type FromParts<T> = dyn Fn(&Parts) -> Option<T> + Send + Sync;

/// The settings of the layer that concern the origin of requests.
#[derive(Clone, Copy)]
pub(super) struct OriginSettings<'a> {
    /// The path that the distribution API begins with, such as `/v2/`.
    pub(super) prefix: &'a str,
    pub(super) trusted_proxies: &'a TrustedProxies,
    pub(super) peers: &'a PeerWatch,
    pub(super) base_url: &'a BaseUrl,
    pub(super) https: bool,
    pub(super) actor: Option<&'a FromParts<ActorRecord>>,
    pub(super) basic_auth_actor: bool,
    pub(super) bearer_actor: bool,
    pub(super) peer_addr: Option<&'a FromParts<SocketAddr>>,
    pub(super) request_id: Option<&'a FromParts<String>>,
}

/// The facts in the head of a request, taken before the inner service gets it.
pub(super) struct RequestOrigin {
    origin: Origin,
    omitted: Omitted,
}

impl RequestOrigin {
    pub(super) fn of(parts: &Parts, headers: EndToEnd<'_>, settings: OriginSettings<'_>) -> Self {
        let peer = settings.peer_addr.and_then(|peer| peer(parts));
        let peer = peer.or_else(|| peer::extended(&parts.extensions));
        let peer = peer.map(peer::canonical);
        let proxies = settings.trusted_proxies;
        if proxies.are_networks() {
            settings.peers.note(peer);
        }
        // Anybody can send forwarding headers, so those of other peers are not read.
        let trusted = proxies.trusts(peer.map(|peer| peer.ip()));
        let client = if trusted {
            Client::of(headers, proxies)
        } else {
            Client::default()
        };
        let mut omitted = Omitted::default();
        let user_agent = user_agent(headers, &mut omitted);
        let host = host::requested(&parts.uri, headers, &mut omitted);

        // In the order in which the texts stand in the origin.
        let mut origin = Origin::with_capacity(ROOM + user_agent.len());
        let stated = settings.request_id.and_then(|id| id(parts));
        let stated = stated.as_deref().filter(|id| request_id::is_bounded(id));
        let found = || request_id::request_id(&parts.extensions, headers, trusted);
        match stated.or_else(found) {
            Some(id) => origin.set_request_id(id),
            None => origin.set_new_request_id(),
        }
        match (client.address, peer) {
            (Some(address), _) => origin.set_addr(&address.to_string()),
            (None, Some(peer)) => origin.set_addr(&peer::text(peer)),
            (None, None) => {}
        }
        origin.set_host(host.unwrap_or_default());
        origin.set_user_agent(&user_agent);
        if let Some(trace) = trace::trace_parent(headers) {
            origin.set_trace_parent(&trace);
        }
        origin.set_method(parts.method.as_str());
        let requested = base_url::Requested::new(&parts.uri, settings.https, host);
        let path = settings.prefix.strip_suffix("/v2/").unwrap_or_default();
        let base_url = settings.base_url.of(requested, &client, path, &mut omitted);
        origin.set_base_url_of(base_url);
        origin.set_actor(&actor(parts, headers, settings, &mut omitted));
        Self { origin, omitted }
    }

    /// Returns the origin of the events of this request, and counts the facts that they
    /// lack. `actor`, which the response names, replaces that of the request.
    pub(super) fn with_actor(mut self, actor: Option<&ActorRecord>) -> Origin {
        self.omitted.count(actor.is_some());
        if let Some(actor) = actor {
            self.origin.set_actor(&actor.name);
        }
        self.origin
    }
}

/// Returns the `User-Agent` of a request. Each byte that is not UTF-8 becomes U+FFFD,
/// as in Go.
fn user_agent<'a>(headers: EndToEnd<'a>, omitted: &mut Omitted) -> Cow<'a, str> {
    let Some(agent) = headers.first(&USER_AGENT) else {
        return Cow::Borrowed("");
    };
    if agent.len() > USER_AGENT_LIMIT {
        omitted.add(Fact::UserAgent);
        return Cow::Borrowed("");
    }
    match str::from_utf8(agent.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(agent.len());
            push_lossy(&mut text, agent.as_bytes());
            Cow::Owned(text)
        }
    }
}

/// Returns the actor that the first of these names: a request extension, the author's
/// closure, the credentials. Empty if none of them does.
fn actor<'a>(
    parts: &'a Parts,
    headers: EndToEnd<'_>,
    settings: OriginSettings<'_>,
    omitted: &mut Omitted,
) -> Cow<'a, str> {
    if let Some(actor) = parts.extensions.get::<ActorRecord>() {
        return Cow::Borrowed(&actor.name);
    }
    if let Some(actor) = settings.actor.and_then(|actor| actor(parts)) {
        return Cow::Owned(actor.name);
    }
    let credentials = Credentials {
        basic: settings.basic_auth_actor,
        bearer: settings.bearer_actor,
    };
    credentials
        .name(headers, omitted)
        .unwrap_or_default()
        .into()
}
