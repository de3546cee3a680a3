//! What fails while JetStream starts or elects a leader, and is tried again.

use std::time::Duration;

use async_nats::jetstream::Error;
use tokio::time::{Instant, sleep};

use super::error::{ErrorKind, JetStreamError};

/// The pause before JetStream is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Repeats an attempt whose server cannot be reached, until `deadline`.
pub(super) async fn retry_until<T, F>(
    deadline: Instant,
    mut attempt: impl FnMut() -> F,
) -> Result<T, JetStreamError>
where
    F: Future<Output = Result<T, JetStreamError>>,
{
    loop {
        match attempt().await {
            Err(error) if error.is_unreachable() && Instant::now() < deadline => {
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// The error of a request that was not answered.
pub(super) fn no_answer(error: impl std::error::Error + Send + Sync + 'static) -> JetStreamError {
    JetStreamError::new(ErrorKind::Unreachable, "JetStream does not answer").because(error)
}

/// Whether the error passes by itself: 503, no leader yet.
pub(super) fn is_temporary(error: &Error) -> bool {
    const NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
    error.code() == 503 && error.error_code().0 != NOT_ENABLED_FOR_ACCOUNT
}
