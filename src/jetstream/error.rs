//! Why JetStream could not be used: [`JetStreamError`].

use std::error::Error;
use std::fmt;

use tower::BoxError;

/// Why JetStream cannot be used.
pub struct JetStreamError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    Setting,
    Unreachable,
    Refused,
    Unsupported,
    Mismatch,
    Other,
}

impl JetStreamError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            source: None,
        }))
    }

    /// Creates the error of an invalid setting.
    pub(super) fn setting(field: &str, value: &dyn fmt::Display, remedy: &str) -> Self {
        let value = value.to_string();
        let message = format!("{field}: {value:?} is not valid: {remedy}");
        Self::new(ErrorKind::Setting, message)
    }

    pub(super) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Whether a setting is invalid.
    pub fn is_setting(&self) -> bool {
        self.0.kind == ErrorKind::Setting
    }

    /// Whether no server could be reached, or JetStream did not answer in time.
    /// Trying again later may help.
    pub fn is_unreachable(&self) -> bool {
        self.0.kind == ErrorKind::Unreachable
    }

    /// Whether the server does not accept the credentials.
    pub fn is_refused(&self) -> bool {
        self.0.kind == ErrorKind::Refused
    }

    /// Whether the server has no JetStream.
    pub fn is_unsupported(&self) -> bool {
        self.0.kind == ErrorKind::Unsupported
    }

    /// Whether a stream or consumer exists that differs from the settings.
    pub fn is_mismatch(&self) -> bool {
        self.0.kind == ErrorKind::Mismatch
    }
}

impl fmt::Display for JetStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for JetStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            message,
            source,
        } = &*self.0;
        f.debug_struct("JetStreamError")
            .field("kind", kind)
            .field("message", message)
            .field("source", source)
            .finish()
    }
}

impl Error for JetStreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}
