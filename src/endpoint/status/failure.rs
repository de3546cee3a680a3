//! The log line of an attempt that failed: [`Failure`].

use std::time::Duration;

use http::StatusCode;

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) endpoint: &'a str,
    /// The URL without user info.
    pub(crate) url: &'a str,
    /// Id of the first event of the request.
    pub(crate) event: Option<&'a str>,
    /// Number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// The status of the response, if there was one.
    pub(crate) status: Option<StatusCode>,
    /// The URL that a redirect leads to.
    pub(crate) location: Option<&'a str>,
    /// The status, or the error with all of its causes.
    pub(crate) error: &'a str,
    /// Events of the endpoint that wait or are under way.
    pub(crate) waiting: usize,
    /// The time until the next attempt. `None` if these events are given up.
    pub(crate) next_attempt: Option<Duration>,
}

/// Logs a failure. A macro, because the level of a log line is part of its static metadata.
macro_rules! log {
    ($level:ident, $failure:expr, $message:expr) => {{
        let Failure {
            endpoint,
            event,
            error,
            location,
            url,
            attempt,
            waiting,
            ..
        } = *$failure;
        let next_attempt_in = $failure.next_attempt();
        tracing::$level!(
            endpoint,
            event,
            error,
            location,
            url,
            attempt,
            waiting,
            next_attempt_in,
            "{}",
            $message
        );
    }};
}

impl Failure<'_> {
    /// Logs that the endpoint begins to fail.
    pub(crate) fn warn(&self) {
        log!(warn, self, self.message());
    }

    /// Logs one more failure of many.
    pub(crate) fn debug(&self) {
        log!(debug, self, "a delivery failed");
    }

    fn next_attempt(&self) -> String {
        let next = self.next_attempt.map(|next| format!("{next:.1?}"));
        next.unwrap_or_else(|| "none".into())
    }

    /// Returns the message, with what to check if the status shows a mistake in the
    /// configuration.
    fn message(&self) -> &'static str {
        match self.status.map(|status| status.as_u16()) {
            Some(401 | 403 | 407) => {
                "deliveries fail: the receiver refuses the credentials; \
                 check the endpoint's headers and the user info of its URL"
            }
            Some(404 | 405) => {
                "deliveries fail: the receiver does not know this URL; check its path"
            }
            Some(300..=399) => {
                "deliveries fail: the receiver redirects, which is not followed; \
                 use the URL that it redirects to"
            }
            _ => "deliveries fail",
        }
    }
}
