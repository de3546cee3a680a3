//! Why a sink did not accept an event: [`SinkError`].

use std::error::Error;
use std::fmt;

use tower::BoxError;

/// Why a sink did not accept an event.
#[derive(Debug)]
pub struct SinkError(Kind);

#[derive(Debug)]
enum Kind {
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
        Self(Kind::Full)
    }

    /// Creates the error of a sink that was closed.
    pub fn closed() -> Self {
        Self(Kind::Closed)
    }

    /// Creates the error of a write to an endpoint that does not exist.
    pub(crate) fn no_endpoint(name: &str) -> Self {
        Self(Kind::NoEndpoint(name.into()))
    }

    /// Creates the error of a write to an endpoint whose format cannot carry the event.
    pub(crate) fn unsupported(endpoint: &str) -> Self {
        Self(Kind::Unsupported(endpoint.into()))
    }

    /// Creates an error with any other reason. If the reason is a `SinkError`, it is
    /// returned unchanged.
    pub fn other(reason: impl Into<BoxError>) -> Self {
        match reason.into().downcast::<Self>() {
            Ok(error) => *error,
            Err(reason) => Self(Kind::Other(reason)),
        }
    }

    /// Creates the error of an event that the sink will never accept.
    #[cfg(feature = "jetstream")]
    pub(crate) fn permanent(reason: impl Into<BoxError>) -> Self {
        Self(Kind::Permanent(reason.into()))
    }

    /// Whether the sink will never accept the event.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self.0, Kind::Permanent(_))
    }

    /// Whether the sink has reached its capacity.
    pub fn is_full(&self) -> bool {
        matches!(self.0, Kind::Full)
    }

    /// Whether the sink was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Kind::Closed)
    }

    /// Whether there is no endpoint of the name in a dead letter.
    pub fn is_no_endpoint(&self) -> bool {
        matches!(self.0, Kind::NoEndpoint(_))
    }

    /// Whether the format of the endpoint in a dead letter cannot carry its event.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.0, Kind::Unsupported(_))
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Full => f.write_str("sink is full"),
            Kind::Closed => f.write_str("sink is closed"),
            Kind::NoEndpoint(name) => write!(f, "no such endpoint: {name:?}"),
            Kind::Unsupported(name) => {
                write!(f, "the format of endpoint {name:?} cannot carry the event")
            }
            Kind::Permanent(_) => f.write_str("sink can never take the event"),
            Kind::Other(_) => f.write_str("sink failed"),
        }
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Permanent(reason) | Kind::Other(reason) => Some(&**reason),
            Kind::Full | Kind::Closed | Kind::NoEndpoint(_) | Kind::Unsupported(_) => None,
        }
    }
}
