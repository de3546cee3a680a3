//! From the head of a request: who asks, from where, under which address.
//!
//! Each fact has a file of its own. All of them read headers through
//! [`EndToEnd`], so that nothing is believed that a proxy would have removed.

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

use std::net::SocketAddr;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderValue, Method};

use self::actor::Credentials;
pub use self::base_url::BaseUrl;
use self::forwarded::Client;
use self::omitted::{Fact, Omitted};
pub use self::peer::PeerAddr;
pub use self::proxies::TrustedProxies;
use crate::event::{ActorRecord, RequestRecord};

pub(super) use self::headers::{EndToEnd, Only};

/// Bytes of the longest `User-Agent` that an event takes. Without a bound a few
/// hundred requests fill the queues of all endpoints.
const USER_AGENT_LIMIT: usize = 8 << 10;

/// Tells something from the head of a request.
pub(super) type FromParts<T> = dyn Fn(&Parts) -> Option<T> + Send + Sync;

/// What the layer's settings say of the origin of requests.
#[derive(Clone, Copy)]
pub(super) struct OriginSettings<'a> {
    /// What distribution's API begins with, as in `/v2/`.
    pub(super) prefix: &'a str,
    pub(super) trusted_proxies: &'a TrustedProxies,
    pub(super) base_url: &'a BaseUrl,
    pub(super) https: bool,
    pub(super) actor: Option<&'a FromParts<ActorRecord>>,
    pub(super) basic_auth_actor: bool,
    pub(super) bearer_actor: bool,
    pub(super) peer_addr: Option<&'a FromParts<SocketAddr>>,
}

/// What a request says of itself, taken before the inner service gets it.
pub(super) struct Origin {
    pub(super) request: RequestRecord,
    /// Who acts, if the response does not say it.
    pub(super) actor: ActorRecord,
    /// What URLs begin with; empty for relative ones.
    pub(super) base_url: String,
    omitted: Omitted,
}

impl Origin {
    pub(super) fn of(parts: &Parts, settings: OriginSettings<'_>) -> Self {
        let headers = EndToEnd::of(&parts.headers);
        let peer = settings.peer_addr.and_then(|peer| peer(parts));
        let peer = peer.or_else(|| peer::extended(&parts.extensions));
        let peer = peer.map(peer::canonical);
        let proxies = settings.trusted_proxies;
        let trusted = proxies.trusts(peer.map(|peer| peer.ip()));
        let client = if trusted {
            Client::of(headers, proxies)
        } else {
            Client::default()
        };

        let mut omitted = Omitted::default();
        let id = request_id::request_id(&parts.extensions, headers, trusted);
        let mut request = RequestRecord::new(id, method(&parts.method));
        request.addr = match (client.address, peer) {
            (Some(address), _) => address.to_string(),
            (None, Some(peer)) => peer.to_string(),
            (None, None) => String::new(),
        };
        request.user_agent = match headers.first(&USER_AGENT) {
            Some(agent) if agent.len() <= USER_AGENT_LIMIT => text(agent),
            Some(_) => {
                omitted.add(Fact::UserAgent);
                String::new()
            }
            None => String::new(),
        };
        request.trace_parent = trace::trace_parent(headers).unwrap_or_default();
        let host = host::requested(&parts.uri, headers, &mut omitted);
        let asked = base_url::Asked::new(&parts.uri, settings.https, host);
        let path = settings.prefix.strip_suffix("/v2/").unwrap_or_default();
        let base_url = settings.base_url.of(asked, &client, path, &mut omitted);
        request.host = host.unwrap_or_default().into();
        Self {
            request,
            actor: actor(parts, headers, settings, &mut omitted),
            base_url,
            omitted,
        }
    }

    /// Counts the facts that an event of this request lacks. That of the actor
    /// is not lacking if the response names one.
    pub(super) fn count_omitted(&self, actor_is_known: bool) {
        self.omitted.count(actor_is_known);
    }
}

fn method(method: &Method) -> &'static str {
    // Only these have routes.
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        _ => "DELETE",
    }
}

fn actor(
    parts: &Parts,
    headers: EndToEnd<'_>,
    settings: OriginSettings<'_>,
    omitted: &mut Omitted,
) -> ActorRecord {
    if let Some(actor) = parts.extensions.get::<ActorRecord>() {
        return actor.clone();
    }
    if let Some(actor) = settings.actor.and_then(|actor| actor(parts)) {
        return actor;
    }
    let credentials = Credentials {
        basic: settings.basic_auth_actor,
        bearer: settings.bearer_actor,
    };
    ActorRecord::new(credentials.name(headers, omitted).unwrap_or_default())
}

/// A header's text; each byte that is not UTF-8 becomes U+FFFD, as in Go.
fn text(value: &HeaderValue) -> String {
    let mut text = String::with_capacity(value.len());
    for chunk in value.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}
