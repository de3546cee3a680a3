//! Events pass through NATS JetStream between registries and workers.
//!
//! A registry of many nodes keeps no events on its nodes: each node writes them
//! to a stream of [NATS JetStream](https://docs.nats.io/nats-concepts/jetstream),
//! which stores them once and replicates them.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use tower_registry_notifications::Notifier;
//! use tower_registry_notifications::jetstream::JetStream;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let sink = JetStream::new("nats://nats.example.com:4222").sink().await?;
//! let notifier = Notifier::builder().sink(sink.clone()).build()?;
//! // … serve, with the layer around the registry …
//! notifier.shutdown(Duration::from_secs(10)).await;
//! let left = sink.shutdown(Duration::from_secs(10)).await;
//! # Ok(()) }
//! ```
//!
//! # What is stored
//!
//! An event is published to the subject `<prefix>.<partition>.<kind>.<action>`, by
//! default `registry.notifications.7.manifest.push`. The partition is a hash of the
//! repository: the first eight bytes of its SHA-256, modulo the number of
//! partitions.
//!
//! | header | content |
//! | --- | --- |
//! | `Nats-Msg-Id` | id of the event |
//! | `Content-Type` | `application/vnd.tower-registry-notifications.event+json` |
//! | `Repository` | name of the repository; control characters, spaces, `%` and what is not ASCII are percent-encoded |
//! | `traceparent` | W3C trace of the request, if it has one |
//!
//! The stream has [limits](JetStream#stream) of size and age, and refuses events when it is
//! full. It is created when it is missing. An existing one must fit the settings.
//!
//! # Promises
//!
//! - Every event whose write resolved is in the stream, once, unless no server
//!   answered for longer than the [duplicate
//!   window](JetStream::duplicate_window): then it may be there twice.
//! - The events of a repository that one registry node writes one after the other
//!   are stored in this order. At most one event a partition is under way, and an
//!   event is published again, each 100 ms, until it is acknowledged.
//! - JetStream acknowledges an event before it is synced to disk, unless the
//!   server has `sync_interval: always` in its configuration. Without it, a power
//!   failure of all servers that have the event may lose up to two minutes of
//!   events. With it, a single server stored about 1,000 events a second on a
//!   machine where it stored 50,000 without. A client cannot see the setting, so
//!   the line that is logged when a server is connected names it, with the
//!   server's version. Three replicas in different failure domains are the usual
//!   remedy.
//!
//! # Metrics
//!
//! | metric | type | meaning |
//! | --- | --- | --- |
//! | `registry_notifications_jetstream_published_total` | counter | events that JetStream acknowledged |
//! | `registry_notifications_jetstream_duplicates_total` | counter | those of them that the stream had already |
//! | `registry_notifications_jetstream_retries_total` | counter | publishes that were not the first of their events |
//! | `registry_notifications_jetstream_waiting` | gauge | events that wait for an acknowledgement |
//!
//! # Logs
//!
//! | level | message |
//! | --- | --- |
//! | error | `JetStream can never store an event`: it is larger than the server's `max_payload` |
//! | warn | `JetStream does not store events: they wait`, with the reason |
//! | warn | `the connection to NATS is lost: trying again` |
//! | info | `JetStream stores events again`, `the stream is created` |
//! | info | `connected to JetStream, …`, with the server's version |

mod connection;
mod error;
mod message;
mod metrics;
mod publisher;
mod settings;
mod shared;
mod sink;
mod stream;
mod subject;

pub use self::error::JetStreamError;
pub use self::settings::JetStream;
pub use self::sink::{JetStreamSink, JetStreamSinkStatus};
