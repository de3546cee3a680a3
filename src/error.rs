//! The errors of a configuration: [`BuildError`].
//!
//! All mistakes are collected, so that an author sees them at once. No message shows
//! a secret.

use std::error::Error;
use std::fmt;

use crate::redact::without_user_info;

/// A configuration that cannot be used, with all of its mistakes.
///
/// Each [`Mistake`] names the field, the value and the remedy, and in a
/// configuration file the place. [`Display`](fmt::Display) writes one mistake a
/// line. Header values, user info of URLs, signing secrets, certificates and
/// keys are never shown.
///
/// ```
/// use tower_registry_notifications::{Endpoint, Notifier};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let endpoint = Endpoint::new("ci", "ftp://ci.example.com").concurrency(0);
/// let error = Notifier::builder().endpoint(endpoint).build().unwrap_err();
/// assert_eq!(error.mistakes().len(), 2);
/// # }
/// ```
pub struct BuildError(Vec<Mistake>);

/// One mistake of a [`BuildError`].
#[derive(Clone)]
pub struct Mistake {
    kind: MistakeKind,
    /// Written before the field; ends with a colon and a space, or is empty.
    place: String,
    /// Line and column, from 1.
    at: Option<(u64, u64)>,
    field: String,
    message: String,
}

/// The kinds of mistakes that the methods of [`BuildError`] tell apart.
#[cfg_attr(
    not(feature = "config"),
    allow(dead_code, reason = "only configuration files have all of them")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MistakeKind {
    /// A value that is invalid or missing.
    Value,
    /// A text that is not YAML.
    Syntax,
    /// A file that cannot be read.
    Unreadable,
    /// No Tokio runtime to deliver in.
    NoRuntime,
    /// A variable of the environment whose name leads to no setting.
    UnknownVariable,
}

impl BuildError {
    /// Returns the error of a field whose value is not valid. The value is shown without
    /// possible passwords, because it may be a URL that belongs to another field.
    pub(crate) fn new(field: &str, value: impl fmt::Display, remedy: &str) -> Self {
        let value = without_user_info(&value.to_string());
        Self::at(field, format!("{value:?} is not valid: {remedy}"))
    }

    /// Returns the error of a field with another mistake.
    pub(crate) fn at(field: &str, message: impl Into<String>) -> Self {
        Self(vec![Mistake {
            kind: MistakeKind::Value,
            place: String::new(),
            at: None,
            field: field.into(),
            message: message.into(),
        }])
    }

    pub(crate) fn with_kind(mut self, kind: MistakeKind) -> Self {
        self.0.iter_mut().for_each(|mistake| mistake.kind = kind);
        self
    }

    /// Returns the same mistakes at a place in a text: its line and column, both
    /// from 1.
    #[cfg(feature = "config")]
    pub(crate) fn placed(mut self, place: &dyn fmt::Display, at: Option<(u64, u64)>) -> Self {
        for mistake in &mut self.0 {
            mistake.place = place.to_string();
            mistake.at = at;
        }
        self
    }

    /// Returns the same mistakes in the order of their places.
    #[cfg(feature = "config")]
    pub(crate) fn in_order(mut self) -> Self {
        self.0.sort_by_key(|mistake| mistake.at);
        self
    }

    /// Returns all mistakes: at least one.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }

    /// Whether there is no Tokio runtime to deliver in.
    pub fn is_no_runtime(&self) -> bool {
        self.has(MistakeKind::NoRuntime)
    }

    /// Whether a file cannot be read.
    pub fn is_unreadable(&self) -> bool {
        self.has(MistakeKind::Unreadable)
    }

    /// Whether a configuration file, or a variable of the environment, is
    /// not valid YAML.
    pub fn is_syntax(&self) -> bool {
        self.has(MistakeKind::Syntax)
    }

    fn has(&self, kind: MistakeKind) -> bool {
        self.of(kind).is_some()
    }

    /// Returns the first mistake of a kind.
    pub(crate) fn of(&self, kind: MistakeKind) -> Option<&Mistake> {
        self.0.iter().find(|mistake| mistake.kind == kind)
    }
}

impl Mistake {
    /// Returns the field: a setting of an endpoint (`endpoint "ci": timeout`), or a
    /// key of a configuration file (`notifications.endpoints[0].timeout`). Empty if
    /// the mistake is about a file as a whole.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns the line of the configuration file, from 1. `None` if the mistake is
    /// not in a file, is about the file as a whole, or is in a variable of the
    /// environment.
    pub fn line(&self) -> Option<u64> {
        self.at.map(|(line, _)| line)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BuildError").field(&self.0).finish()
    }
}

impl fmt::Debug for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Error for BuildError {}

/// Collects mistakes, so that all are reported at once.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(crate) fn add(&mut self, error: BuildError) {
        self.0.extend(error.0);
    }

    /// Returns the value. If there is an error, notes its mistakes and returns `None`.
    pub(crate) fn take<T>(&mut self, result: Result<T, BuildError>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `value`.
    ///
    /// # Errors
    ///
    /// If a mistake has been noted.
    pub(crate) fn or<T>(self, value: T) -> Result<T, BuildError> {
        match self.is_empty() {
            true => Ok(value),
            false => self.failed(),
        }
    }

    /// Returns all mistakes as an error. At least one must have been noted.
    pub(crate) fn failed<T>(self) -> Result<T, BuildError> {
        Err(BuildError(self.0))
    }
}

/// Returns the text of an error and of all its causes, which often say more than the
/// error itself.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
