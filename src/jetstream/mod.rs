//! Events pass through NATS JetStream between registries and workers.
//!
//! A registry of many nodes keeps no events on its nodes: each node writes them
//! to a stream of [NATS JetStream](https://docs.nats.io/nats-concepts/jetstream),
//! which stores them once and replicates them. Workers, of which there may be any
//! number, deliver them to endpoints.
//!
//! ```text
//! registry × N ─▶ JetStreamSink ─▶ JetStream ─▶ JetStreamWorker × M ─▶ endpoints
//! ```
//!
//! A registry:
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
//! A worker, which the example `worker` is too:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use tower_registry_notifications::{Endpoint, Notifier};
//! # use tower_registry_notifications::jetstream::JetStream;
//! # async fn work() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoints = Notifier::builder()
//!     .endpoint(Endpoint::new("ci", "https://ci.example.com/events"));
//! let worker = JetStream::new("nats://nats.example.com:4222").worker(endpoints).await?;
//! tokio::signal::ctrl_c().await?;
//! println!("{}", worker.shutdown(Duration::from_secs(10)).await);
//! # Ok(()) }
//! ```
//!
//! # Behind a journal
//!
//! An event that JetStream has not acknowledged is in the memory of the registry alone. In
//! a notifier with a journal (feature `journal`), [`JetStreamSink::endpoint`] takes the
//! place of the sink. An event then waits on disk until JetStream has acknowledged it, so
//! that it survives a crash of the registry, and a stream that is full or away for longer
//! than memory lasts.
//!
//! ```no_run
//! # #[cfg(feature = "journal")]
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_registry_notifications::Notifier;
//! use tower_registry_notifications::jetstream::JetStream;
//! use tower_registry_notifications::journal::Journal;
//!
//! let sink = JetStream::new("nats://nats.example.com:4222").sink().await?;
//! let notifier = Notifier::builder()
//!     .journal(Journal::open("/var/lib/registry/notifications")?)
//!     .endpoint(sink.endpoint("stream"))
//!     .build()?;
//! # Ok(()) }
//! ```
//!
//! An event whose acknowledgement was lost in a crash is published again with the same
//! id. The stream has it once if the registry is back within the [duplicate
//! window](JetStream::duplicate_window).
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
//! An event that every endpoint has is removed by the workers, unless they are told to
//! [keep](JetStream::keep_acknowledged) it.
//!
//! # Promises
//!
//! **At least once.** Every event whose write resolved is delivered to every endpoint
//! that wants it, or becomes a dead letter, unless it grows older than
//! [`max_age`](JetStream::max_age) before. What the stream drops by age is counted and
//! logged.
//!
//! **Order.** The events of a repository that one registry node writes one after the
//! other are stored in this order, and the *first* deliveries of a repository at an
//! endpoint are in the order of the stream.
//!
//! **Repeats.** After a crash of a worker or a server, or when a worker is cut off or
//! stopped for longer than the [`ack_wait`](JetStream::ack_wait), events may be
//! delivered again, possibly after newer ones. Receivers tell them by their id. If no
//! server answers a registry for longer than the [duplicate
//! window](JetStream::duplicate_window), an event may be in the stream twice.
//!
//! **Delay.** A dead worker delays its partitions by about the `ack_wait`, 15 s. A
//! shutdown neither repeats nor delays.
//!
//! **Syncs.** JetStream acknowledges an event before it is synced to disk, unless the
//! server has `sync_interval: always` in its configuration. Without it, a power failure
//! of all servers that have the event may lose up to two minutes of events. With it, a
//! single server stored about 1,000 events a second on a machine where it stored 50,000
//! without. A client cannot see the setting, so the line that is logged when a server is
//! connected names it, with the server's version. Three replicas in different failure
//! domains are the usual remedy.
//!
//! # How a worker keeps the order
//!
//! An endpoint has one durable consumer for each partition. From 2.11 on, the server
//! pins a consumer to one worker at a time. When the pin moves, the new worker first
//! gathers everything that the last one had not acknowledged, and goes on in the order of
//! the stream. A worker drops what it holds without a confirmed sign of its progress for
//! 0.8 of the `ack_wait`, so that one that was stopped does not deliver again what another
//! has delivered meanwhile. An event that waits for another attempt stays with its worker,
//! which tells the server so.
//!
//! Earlier servers, such as 2.9, ignore pins. There a partition has one event under way
//! at a time at an endpoint, whichever worker gets it. That is slower, and logged.
//!
//! Workers find each other by messages to `<prefix>.workers`, and share the partitions
//! evenly. A partition moves when a worker joins, leaves or dies. Without permission for
//! this subject, each worker asks for everything, and the server decides.
//!
//! # Metrics
//!
//! | metric | type | meaning |
//! | --- | --- | --- |
//! | `registry_notifications_jetstream_published_total` | counter | events that JetStream acknowledged |
//! | `registry_notifications_jetstream_duplicates_total` | counter | those of them that the stream had already |
//! | `registry_notifications_jetstream_retries_total` | counter | publishes that were not the first of their events |
//! | `registry_notifications_jetstream_waiting` | gauge | events that wait for an acknowledgement |
//! | `registry_notifications_jetstream_lag` | gauge | events that an `endpoint` does not have yet, of each `partition` that this worker serves |
//! | `registry_notifications_jetstream_aged_out_total` | counter | times that the stream had dropped events by age before an `endpoint` had them |
//!
//! Those of [`Notifier`](crate::Notifier) count what one worker does. An event that it
//! hands over to another counts in both as one of `Events`.
//!
//! # Logs
//!
//! | level | message |
//! | --- | --- |
//! | error | `JetStream can never store an event`: it is larger than the server's `max_payload` |
//! | error | `events are lost: they were too old for the stream before the endpoint had them` |
//! | error | `a message of the stream is not an event: it becomes a dead letter` |
//! | error | `JetStream delivers nothing of a partition to an endpoint`: for 10 s, with the server's reason |
//! | warn | `NATS complains`: such as of missing permissions, once a minute |
//! | warn | `no worker delivers to this endpoint, …`: its consumers keep events in the stream |
//! | warn | `the consumers have no pin, …`: the server is older than 2.11, or was when they were created |
//! | warn | `JetStream does not store events: they wait`, with the reason |
//! | warn | `the connection to NATS is lost: trying again` |
//! | info | `JetStream stores events again`, `the stream is created` |
//! | info | `connected to JetStream, …`, with the server's version |

mod acknowledgement;
mod balance;
mod connection;
mod consumer;
mod coordinator;
mod error;
mod maintenance;
mod message;
mod metrics;
mod outbox;
mod patience;
mod publisher;
mod removal;
mod room;
mod settings;
mod shared;
mod sink;
mod sink_status;
mod stream;
mod subject;
mod worker;

pub use self::error::JetStreamError;
pub use self::settings::JetStream;
pub use self::sink::JetStreamSink;
pub use self::sink_status::JetStreamSinkStatus;
pub use self::worker::{JetStreamLag, JetStreamWorker, JetStreamWorkerStatus};
