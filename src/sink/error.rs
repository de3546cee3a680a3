//! Why a sink did not accept an event: [`SinkError`].

use std::error::Error;
use std::fmt;

use tower::BoxError;

/// Why a sink did not accept an event.
#[derive(Debug)]
pub struct SinkError(SinkErrorKind);

#[derive(Debug)]
enum SinkErrorKind {
    Full,
    Closed,
    NoEndpoint(String),
    Unsupported(String),
    #[cfg_attr(
        not(feature = "jetstream"),
        allow(dead_code, reason = "only JetStream has such events")
    )]
    Permanent(BoxError),
    Other(BoxError),
}

impl SinkError {
    /// Creates the error of a sink that has reached its capacity.
    pub fn full() -> Self {
        Self(SinkErrorKind::Full)
    }

    /// Creates the error of a sink that was closed.
    pub fn closed() -> Self {
        Self(SinkErrorKind::Closed)
    }

    /// Creates the error of a write to an endpoint that does not exist.
    pub(crate) fn no_endpoint(name: &str) -> Self {
        Self(SinkErrorKind::NoEndpoint(name.into()))
    }

    /// Creates the error of a write to an endpoint whose format cannot carry the event.
    pub(crate) fn unsupported(endpoint: &str) -> Self {
        Self(SinkErrorKind::Unsupported(endpoint.into()))
    }

    /// Creates an error with any other reason. If the reason is a `SinkError`, it is
    /// returned unchanged.
    pub fn other(reason: impl Into<BoxError>) -> Self {
        match reason.into().downcast::<Self>() {
            Ok(error) => *error,
            Err(reason) => Self(SinkErrorKind::Other(reason)),
        }
    }

    /// Creates the error of an event that the sink will never accept.
    #[cfg(feature = "jetstream")]
    pub(crate) fn permanent(reason: impl Into<BoxError>) -> Self {
        Self(SinkErrorKind::Permanent(reason.into()))
    }

    /// Whether the sink will never accept the event.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self.0, SinkErrorKind::Permanent(_))
    }

    /// Whether the sink has reached its capacity.
    pub fn is_full(&self) -> bool {
        matches!(self.0, SinkErrorKind::Full)
    }

    /// Whether the sink was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, SinkErrorKind::Closed)
    }

    /// Whether there is no endpoint of the name in a dead letter.
    pub fn is_no_endpoint(&self) -> bool {
        matches!(self.0, SinkErrorKind::NoEndpoint(_))
    }

    /// Whether the format of the endpoint in a dead letter cannot carry its event.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.0, SinkErrorKind::Unsupported(_))
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            SinkErrorKind::Full => f.write_str("sink is full"),
            SinkErrorKind::Closed => f.write_str("sink is closed"),
            SinkErrorKind::NoEndpoint(name) => write!(f, "no such endpoint: {name:?}"),
            SinkErrorKind::Unsupported(name) => {
                write!(f, "the format of endpoint {name:?} cannot carry the event")
            }
            SinkErrorKind::Permanent(_) => f.write_str("sink can never take the event"),
            SinkErrorKind::Other(_) => f.write_str("sink failed"),
        }
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            SinkErrorKind::Permanent(reason) | SinkErrorKind::Other(reason) => Some(&**reason),
            SinkErrorKind::Full
            | SinkErrorKind::Closed
            | SinkErrorKind::NoEndpoint(_)
            | SinkErrorKind::Unsupported(_) => None,
        }
    }
}
