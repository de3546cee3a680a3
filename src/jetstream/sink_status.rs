//! The snapshot of a sink: [`JetStreamSinkStatus`].

use serde::Serialize;

/// A snapshot of a [`JetStreamSink`](super::JetStreamSink), without secrets. In JSON the fields have
/// these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JetStreamSinkStatus {
    /// Name of the stream.
    pub stream: String,
    /// Version of the server that is or was last connected.
    pub server_version: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// Whether an event would be accepted now.
    pub ready: bool,
    /// Events that wait for an acknowledgement.
    pub waiting: usize,
    /// Bytes of memory that they take.
    pub waiting_bytes: usize,
    /// Partitions whose last publish failed.
    pub failing_partitions: usize,
    /// The number of events that were acknowledged.
    pub published: u64,
    /// The number of these events that the stream already had, because an earlier
    /// acknowledgement was lost.
    pub duplicates: u64,
    /// The number of publishes that were not the first of their event.
    pub retries: u64,
    /// Why a publish failed last.
    pub last_error: Option<String>,
}
