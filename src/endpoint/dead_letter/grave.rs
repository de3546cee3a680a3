use std::sync::Arc;
use std::time::Duration;

use super::{DeadLetter, DeadLetterSink, Reason};
use crate::endpoint::batch::Tried;
use crate::endpoint::status::Counts;
use crate::error::with_causes;
use crate::event::SharedEvent;
use crate::sink::{SinkError, Write};

/// How long a sink of dead letters may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where an endpoint's events end that will not be tried again: counted,
/// logged, and in the sink of dead letters if there is one.
pub(crate) struct Grave {
    endpoint: Arc<str>,
    sink: Option<Arc<dyn DeadLetterSink>>,
    counts: Arc<Counts>,
}

/// What the last attempt came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    pub(crate) error: String,
    pub(crate) answer: String,
}

impl Grave {
    pub(crate) fn new(
        endpoint: Arc<str>,
        sink: Option<Arc<dyn DeadLetterSink>>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            endpoint,
            sink,
            counts,
        }
    }

    /// Buries an event. Resolves when the sink has it, or has failed: whatever
    /// happens, it is over for the event.
    pub(crate) fn bury(
        &self,
        event: &SharedEvent,
        reason: Reason,
        cause: &Cause,
        tried: &Tried,
    ) -> impl Future<Output = ()> + Send + use<> {
        let first = self.counts.dead(reason);
        let (endpoint, id) = (self.endpoint.clone(), event.id.clone());
        if first {
            let (endpoint, reason, error) = (&*endpoint, reason.as_str(), &*cause.error);
            tracing::warn!(endpoint, reason, error, event = id, "events are given up");
        }
        let write = self.sink.as_ref().map(|sink| {
            let letter = Arc::new(DeadLetter {
                endpoint: endpoint.to_string(),
                reason,
                error: Some(cause.error.clone()).filter(|error| !error.is_empty()),
                answer: cause.answer.clone(),
                attempts: tried.attempts,
                first_attempt: tried.first,
                last_attempt: tried.last,
                event: (**event).clone(),
            });
            Write::catching(|| sink.bury(&letter))
        });
        let counts = self.counts.clone();
        async move {
            let error = match write {
                Some(write) => match kept(write).await {
                    Ok(()) => return,
                    Err(error) => with_causes(&error),
                },
                None => "there is no sink of dead letters".into(),
            };
            if counts.lost() {
                tracing::error!(endpoint = &*endpoint, event = id, error, "events are lost");
            }
        }
    }
}

async fn kept(write: Write) -> Result<(), SinkError> {
    let write = match write.answer() {
        Ok(answer) => return answer,
        Err(write) => write,
    };
    let late = |_| Err(SinkError::other("sink did not answer in time"));
    tokio::time::timeout(TIMEOUT, write)
        .await
        .unwrap_or_else(late)
}
