//! Makes events of requests to a registry: [`NotificationLayer`].
//!
//! # When an event fires
//!
//! An event fires on every successful response to one of these routes, whatever the
//! spelling of name, tag or digest: the registry decides what is valid. `<name>` is
//! everything between the prefix and the last `/manifests/` or `/blobs/` that
//! makes a route. A reference with a `:` is a digest, any other is a tag.
//!
//! | request | response | event |
//! | --- | --- | --- |
//! | GET, HEAD `<name>/manifests/<ref>` | 200, 203, 206 | pull |
//! | PUT `<name>/manifests/<ref>` | any 2xx | push |
//! | PUT `<name>/manifests/<digest>?tag=a&tag=b` | any 2xx | push for each tag in the response's `OCI-Tag`; one without a tag if there is none |
//! | DELETE `<name>/manifests/<ref>` | any 2xx | delete of the tag, or of the digest |
//! | GET, HEAD `<name>/blobs/<digest>` | 200, 203, 206, 302, 303, 307 | pull |
//! | DELETE `<name>/blobs/<digest>` | any 2xx | delete |
//! | PUT `<name>/blobs/uploads/<id>` | any 2xx but 202 | push |
//! | PUT of any other URL with a `digest` parameter | any 2xx but 202 | push |
//! | POST `<name>/blobs/uploads/` | 201 | mount if query or form body has `mount`, else push |
//! | DELETE of anything | any 2xx with [`ResponseFacts::repository_deleted`] | delete of the repository |
//!
//! The spec lets a registry choose the URLs of its uploads. Where one is not of
//! the form above, the response's `Location` names the repository, or the URL
//! itself does, as `<name>/uploads/<id>` and `<name>/blobs/upload/<id>` do.
//!
//! # When an event is written
//!
//! An event is written before the client sees the response. A request that can
//! change the registry runs to completion once it has been passed on. If its
//! client hangs up, or a timeout outside the layer fires, it continues in a task
//! of its own for at most the
//! [`detached_timeout`](NotificationLayer::detached_timeout). A timeout *inside* the
//! layer still stops it, so that a change may lack its event: put timeouts outside.
//!
//! The event of a GET with a body is written when the body ends, for whatever
//! reason. The last bytes are held back until the sinks have accepted it, so
//! that no client can have the whole content without its event.
//!
//! # Where to put the layer
//!
//! Put it around the whole registry, so that no request bypasses it. Auth
//! middleware may stand outside (it puts an [`ActorRecord`](crate::event::ActorRecord)
//! into the request's extensions) or inside (into the response's extensions).
//! Middleware that compresses responses stands outside, because an encoded body
//! hides the size of its content.
//!
//! # Stats
//!
//! The layer sends no requests of its own unless
//! [`stat_with`](NotificationLayer::stat_with) names a service for them.
//! Without it, a fact that neither the request nor the response shows is
//! omitted from the event and counted in
//! `registry_notifications_missing_facts_total`.
#![doc = include_str!("recipes.md")]

mod answer;
mod body;
mod detachable;
mod exchange;
mod facts;
mod future;
mod generations;
mod headers;
#[allow(clippy::module_inception, reason = "named as its siblings are")]
mod layer;
mod memory;
mod observed;
mod origin;
mod outcome;
mod pull;
mod respond;
mod response_facts;
mod route;
mod service;
mod settings;
mod sizes;
mod stat;
mod stat_service;
mod tap;
mod uploads;

pub use self::body::{RequestBody, ResponseBody};
pub use self::future::ResponseFuture;
pub use self::layer::NotificationLayer;
pub use self::origin::{BaseUrl, PeerAddr, TrustedProxies};
pub use self::response_facts::ResponseFacts;
pub use self::service::Notification;
pub use self::stat_service::StatBody;
