//! Notifications of the distribution project for any OCI registry.
//!
//! [distribution](https://distribution.github.io/distribution/) is the
//! reference registry, and its
//! [notifications](https://distribution.github.io/distribution/about/notifications/)
//! are what scanners, replicators and deployers listen to: every push, pull,
//! mount and delete of a manifest, blob or tag becomes an event that is posted
//! to webhook endpoints. This crate gives the same events, to the byte, to any
//! registry that is a [`tower::Service`]:
//!
//! ```text
//! request ─▶ NotificationLayer ─▶ registry ─▶ successful response ─▶ Bridge ─▶ Event
//!                                                                                │
//!                           Notifier: Broadcaster ◀──────────────────────────────┘
//!                            ├─▶ endpoint: filter ─▶ queue ─▶ retry ─▶ HTTP POST
//!                            └─▶ any other Sink
//! ```
//!
//! - [`NotificationLayer`] recognises the distribution API's routes, builds the
//!   request record and the actor from each request and, on a successful
//!   response, tells the bridge. What is no event passes untouched.
//! - [`Bridge`] makes an [`Event`] of each happening and writes it to a
//!   [`Sink`]. A registry that knows more than HTTP shows may use it directly.
//! - [`Notifier`] owns the endpoints and their tasks.
//!
//! # Features
//!
//! | feature | gives | default |
//! | --- | --- | --- |
//! | `client` | the HTTP(S) client of endpoints; without it an [`Endpoint`] needs one of its own, and the crate has no TLS | on |
//! | `axum` | peer addresses from axum 0.8's `ConnectInfo` | off |
//! | `tower-http` | request ids from tower-http 0.6's `RequestId` | off |
//! | `config` | [`Config`]: endpoints from distribution's configuration file | off |

mod basic_auth;
mod bridge;
#[cfg(feature = "config")]
mod config;

/// Events that will not be tried again, and what keeps them.
pub mod dead_letter {
    pub use crate::endpoint::dead_letter::{
        DeadLetter, DeadLetterChannel, DeadLetterFile, DeadLetterSink, DeadLetters, Reason,
    };
}
pub mod endpoint;
mod error;
pub mod event;
mod in_flight;
mod layer;
mod listener;
mod metrics;
mod networks;
mod notifier;
mod queue;
mod redact;
mod shutdown;
pub mod sink;

pub use bridge::Bridge;
#[cfg(feature = "config")]
pub use config::Config;
pub use endpoint::Endpoint;
pub use error::{BuildError, Mistake};
pub use event::{
    Action, ActorRecord, Descriptor, Envelope, Event, Format, Kind, MANIFEST_LIMIT, Manifest,
    ParseManifestError, Platform, RequestRecord, SharedEvent, SourceRecord, Target, media_types,
};
pub use layer::{
    BaseUrl, Notification, NotificationLayer, PeerAddr, RequestBody, ResponseBody, ResponseFacts,
    ResponseFuture, StatBody, TrustedProxies,
};
pub use listener::Listener;
pub use notifier::{Notifier, NotifierBuilder, NotifierStatus};
pub use shutdown::{Left, ShutdownReport};
pub use sink::{Acceptance, Broadcaster, ChannelSink, Events, Filter, Sink, SinkError, sink_fn};

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
