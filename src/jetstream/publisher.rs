//! Publishes the events of one partition, one after the other.
//!
//! # Order
//!
//! An event is published only after the one before it is acknowledged. If two were under
//! way when the connection is lost, the second could be stored and the first not, and
//! the first would be stored after it when it is published again.
//!
//! # At least once, stored once
//!
//! If no acknowledgement comes, the event may or may not have been stored. It is
//! published again with the same id, as often as necessary, and the server stores an id
//! once within its duplicate window. A client that waits for an acknowledgement is not
//! told that the connection was lost, so each wait has a time limit.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Request, jetstream};
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::connection::connected;
use super::error::{JetStreamError, Kind};
use super::message::Message;
use super::shared::{Room, Shared};
use crate::error::with_causes;
use crate::event::SharedEvent;
use crate::sink::SinkError;

/// How long to wait for an acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before an event is published again.
const PAUSE: Duration = Duration::from_millis(100);

/// The pause before an event is published again while the stream is full.
const PAUSE_WHILE_FULL: Duration = Duration::from_secs(1);

/// An event that was written to the sink.
pub(super) struct Waiting {
    pub(super) event: SharedEvent,
    pub(super) answer: oneshot::Sender<Result<(), SinkError>>,
    pub(super) room: Room,
}

pub(super) struct Publisher {
    shared: Arc<Shared>,
    prefix: String,
    partition: u16,
    failing: bool,
}

/// The outcome of one publish.
#[derive(Debug)]
enum Outcome {
    Stored {
        duplicate: bool,
    },
    /// The stream has no room.
    Full(String),
    /// Publishing again may succeed.
    Failed(String),
    /// Publishing again will never succeed.
    Refused(String),
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>, prefix: &str, partition: u16) -> Self {
        Self {
            shared,
            prefix: prefix.to_owned(),
            partition,
            failing: false,
        }
    }

    /// Publishes until the sink is gone, or stopped.
    pub(super) async fn run(mut self, mut events: UnboundedReceiver<Waiting>) {
        let shared = self.shared.clone();
        let mut stopped = std::pin::pin!(shared.stopped());
        loop {
            let waiting = tokio::select! {
                waiting = events.recv() => waiting,
                () = &mut stopped => return,
            };
            let Some(Waiting {
                event,
                answer,
                room,
            }) = waiting
            else {
                return;
            };
            let result = tokio::select! {
                result = self.publish(&event) => result,
                () = &mut stopped => return,
            };
            // The room is freed before the answer is sent, because the writer may write
            // again as soon as it has the answer.
            drop(room);
            let _gone = answer.send(result);
        }
    }

    /// Publishes an event until it is stored. Fails if it never can be.
    async fn publish(&mut self, event: &SharedEvent) -> Result<(), SinkError> {
        let mut first = true;
        loop {
            connected(&self.shared.client).await;
            if !std::mem::replace(&mut first, false) {
                self.shared.retries();
            }
            // Made anew for each attempt: nearly all succeed at the first, which need no
            // copy then.
            let Message {
                subject,
                headers,
                payload,
            } = Message::new(&self.prefix, self.partition, event);
            let request = Request::new()
                .headers(headers)
                .payload(payload)
                .timeout(Some(ACK_TIMEOUT));
            let answer = self.shared.client.send_request(subject, request).await;
            let outcome = match answer {
                Ok(message) => read(&message.payload),
                Err(error) => match error.kind() {
                    RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                        Outcome::Refused(with_causes(&error))
                    }
                    _ => Outcome::Failed(with_causes(&error)),
                },
            };
            match outcome {
                Outcome::Stored { duplicate } => {
                    self.works();
                    self.shared.stored(duplicate);
                    return Ok(());
                }
                Outcome::Refused(error) => {
                    let id = event.id();
                    tracing::error!(event = %id, error, "JetStream can never store an event");
                    return Err(SinkError::permanent(JetStreamError::new(
                        Kind::Other,
                        error,
                    )));
                }
                Outcome::Full(error) => {
                    self.fails(&error);
                    tokio::time::sleep(PAUSE_WHILE_FULL).await;
                }
                Outcome::Failed(error) => {
                    self.fails(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn fails(&mut self, error: &str) {
        let begins = !std::mem::replace(&mut self.failing, true);
        if self.shared.fails(error, begins) {
            tracing::warn!(error, "JetStream does not store events: they wait");
        }
    }

    fn works(&mut self) {
        if std::mem::replace(&mut self.failing, false) && self.shared.works() {
            tracing::info!("JetStream stores events again");
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.works();
    }
}

/// Reads the server's answer to a publish.
fn read(payload: &[u8]) -> Outcome {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<jetstream::Error>,
        #[serde(rename = "seq")]
        sequence: Option<u64>,
        #[serde(default)]
        duplicate: bool,
    }
    // The server uses this code for every failure to store. The usual one, a stream that
    // has reached its limit of bytes, lasts, so the next attempt waits longer.
    const STORE_FAILED: u64 = 10077;
    const TOO_LARGE: u64 = 10054;
    match serde_json::from_slice(payload) {
        Ok(Answer {
            error: None,
            sequence: Some(_),
            duplicate,
        }) => Outcome::Stored { duplicate },
        Ok(Answer {
            error: Some(error), ..
        }) => match error.error_code().0 {
            STORE_FAILED => Outcome::Full(error.to_string()),
            TOO_LARGE => Outcome::Refused(error.to_string()),
            _ => Outcome::Failed(error.to_string()),
        },
        Ok(_) => Outcome::Failed("an acknowledgement without a sequence".into()),
        Err(error) => Outcome::Failed(format!("not an acknowledgement: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_server_are_told_apart() {
        let stored = r#"{"stream":"S","seq":7}"#;
        let twice = r#"{"stream":"S","seq":7,"duplicate":true}"#;
        let error = |code: u64| {
            let text = r#"{"error":{"code":503,"err_code":N,"description":"d"},"seq":0}"#;
            read(text.replace('N', &code.to_string()).as_bytes())
        };
        assert!(matches!(
            read(stored.as_bytes()),
            Outcome::Stored { duplicate: false }
        ));
        assert!(matches!(
            read(twice.as_bytes()),
            Outcome::Stored { duplicate: true }
        ));
        assert!(matches!(error(10077), Outcome::Full(_)));
        assert!(matches!(error(10054), Outcome::Refused(_)));
        assert!(matches!(error(10008), Outcome::Failed(_)));
        for odd in ["", "{}", "[]", r#"{"seq":"x"}"#, r#"{"stream":"S"}"#] {
            assert!(matches!(read(odd.as_bytes()), Outcome::Failed(_)), "{odd}");
        }
    }
}
