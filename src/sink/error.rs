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
    Other(BoxError),
}

impl SinkError {
    /// The sink holds as much as it may.
    pub fn full() -> Self {
        Self(Kind::Full)
    }

    /// The sink was closed.
    pub fn closed() -> Self {
        Self(Kind::Closed)
    }

    /// There is no endpoint of this name.
    pub(crate) fn no_endpoint(name: &str) -> Self {
        Self(Kind::NoEndpoint(name.into()))
    }

    /// Any other reason. A reason that is a `SinkError` itself stays what it is.
    pub fn other(reason: impl Into<BoxError>) -> Self {
        match reason.into().downcast::<Self>() {
            Ok(error) => *error,
            Err(reason) => Self(Kind::Other(reason)),
        }
    }

    /// Whether the sink holds as much as it may.
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
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Full => f.write_str("sink is full"),
            Kind::Closed => f.write_str("sink is closed"),
            Kind::NoEndpoint(name) => write!(f, "no such endpoint: {name:?}"),
            Kind::Other(_) => f.write_str("sink failed"),
        }
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Other(reason) => Some(&**reason),
            Kind::Full | Kind::Closed | Kind::NoEndpoint(_) => None,
        }
    }
}
