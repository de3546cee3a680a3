//! Notifications of the distribution project for any OCI registry.
//!
//! [distribution](https://distribution.github.io/distribution/) is the
//! reference registry. Its
//! [notifications](https://distribution.github.io/distribution/about/notifications/)
//! tell scanners, replicators and deployment tools of every push, pull, mount
//! and delete: each becomes an event that is posted to webhook endpoints. This
//! crate gives the same events, byte for byte, to any registry that is a
//! [tower service](https://docs.rs/tower/0.5/tower/trait.Service.html).
//!
//! ```no_run
//! use std::{net::SocketAddr, time::Duration};
//!
//! use axum::Router;
//! use tower::Layer;
//! use tower_registry_notifications::{Endpoint, NotificationLayer, Notifier, SourceRecord};
//!
//! # async fn serve(registry: Router) -> Result<(), Box<dyn std::error::Error>> {
//! let notifier = Notifier::builder()
//!     .source(SourceRecord::new("registry.example.com:5000"))
//!     .endpoint(Endpoint::new("ci", "https://ci.example.com/events"))
//!     .build()?;
//!
//! let layer = NotificationLayer::new(notifier.clone()).stat_with(registry.clone());
//! let app = Router::new().fallback_service(layer.layer(registry));
//!
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:5000").await?;
//! // The client's address needs the feature `axum-0-8`.
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
//!     .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
//!     .await?;
//! println!("{}", notifier.shutdown(Duration::from_secs(10)).await);
//! # Ok(()) }
//! ```
//!
//! ```text
//! request ─▶ NotificationLayer ─▶ registry ─▶ successful response ─▶ Bridge ─▶ event
//!                                                                                │
//!                           Notifier: Broadcaster ◀──────────────────────────────┘
//!                            ├─▶ endpoint: filter ─▶ queue ─▶ retry ─▶ HTTP POST
//!                            └─▶ any other Sink
//! ```
//!
//! | task | see |
//! | --- | --- |
//! | put the layer around an axum, hyper or other tower service | [`layer`], with recipes |
//! | know which requests make events, and when | [`layer`], under "When an event fires" |
//! | say who acts, or more than HTTP shows | [`ActorRecord`](event::ActorRecord), [`ResponseFacts`](layer::ResponseFacts) |
//! | report what happens without the layer | [`Bridge`] |
//! | configure a webhook: retries, batches, signatures, TLS, bounds | [`Endpoint`], [`endpoint`] |
//! | read endpoints from distribution's configuration file | `Config`, with the feature `config` |
//! | keep events that a receiver rejects | [`dead_letter`] |
//! | keep events on disk, through crashes | the module `journal`, with the feature of that name |
//! | deliver the events of many nodes | the module `jetstream`, with the feature of that name |
//! | send events elsewhere | [`sink_fn`], [`Sink`](sink::Sink) |
//! | receive events in the same process, as in tests | [`ChannelSink`](sink::ChannelSink) |
//! | monitor deliveries: metrics, log lines, status | [`Notifier`] |
//!
//! # Features
//!
//! | feature | adds | default |
//! | --- | --- | --- |
//! | `client` | the HTTP(S) client of endpoints; without it, an [`Endpoint`] takes a client of your own, and the crate has no TLS | on |
//! | `axum-0-8` | peer addresses from axum 0.8's `ConnectInfo` | off |
//! | `tower-http-0-6` | request ids from tower-http 0.6's `RequestId` | off |
//! | `config` | `Config`: endpoints from distribution's configuration file; turns on `client` | off |
//! | `journal` | the module `journal`: events wait on disk and survive crashes | off |
//! | `jetstream` | the module `jetstream`: events pass through NATS JetStream | off |

// Only docs.rs, which builds with a nightly compiler, has the badges of features.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod basic_auth;
mod bridge;
#[cfg(feature = "config")]
mod config;

pub mod dead_letter {
    //! Events that will not be tried again, and the places that keep them.
    //!
    //! | place | what it does |
    //! | --- | --- |
    //! | [`DeadLetterFile`] | writes each letter to a file, as a line of JSON |
    //! | [`DeadLetterChannel`] | passes letters to a subscriber in the same process |
    //! | `Journal` | keeps letters in a journal, with the feature `journal` |
    //! | any [`Sink`](crate::sink::Sink) | gets the events, without the reasons |
    //! | [`DeadLetterSink`] | is implemented by places of your own |
    //!
    //! Set one for an endpoint with [`Endpoint::dead_letters`], or for all of them with
    //! [`NotifierBuilder::dead_letters`](crate::NotifierBuilder::dead_letters). Without one, dead
    //! letters are lost, which is counted and logged. [`Notifier::send_again`] gives a letter
    //! back to its endpoint.

    #[cfg(doc)]
    use crate::{Endpoint, Notifier};

    pub use crate::endpoint::dead_letter::{
        DeadLetter, DeadLetterChannel, DeadLetterFile, DeadLetterSink, DeadLetters, Reason,
    };
}
pub mod endpoint;
mod error;
pub mod event;
mod host;
mod in_flight;
#[cfg(feature = "jetstream")]
pub mod jetstream;
#[cfg(feature = "journal")]
pub mod journal;
pub mod layer;
mod listener;
mod metrics;
mod networks;
mod notifier;
mod queue;
mod redact;
mod same_file;
mod shutdown;
pub mod sink;
mod worker_runtime;

pub use bridge::Bridge;
#[cfg(feature = "config")]
pub use config::Config;
pub use endpoint::Endpoint;
pub use error::{BuildError, Mistake};
pub use event::{Format, SourceRecord};
pub use layer::{NotificationLayer, RequestBody, StatBody};
pub use listener::Listener;
pub use notifier::{Notifier, NotifierBuilder, NotifierStatus};
pub use shutdown::{ShutdownReport, Undelivered};
pub use sink::sink_fn;

/// The examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
