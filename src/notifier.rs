//! Owns the endpoints and their tasks: [`Notifier`].

use std::fmt;
use std::sync::Arc;

use crate::event::SourceRecord;
use crate::sink::{Broadcaster, Sink};

/// Where events go: the endpoints and other sinks, and what all events share.
#[derive(Clone)]
pub struct Notifier(Arc<Inner>);

struct Inner {
    source: Arc<SourceRecord>,
    include_references: bool,
    sink: Arc<dyn Sink>,
}

impl Notifier {
    /// Begins to configure a notifier.
    pub fn builder() -> NotifierBuilder {
        NotifierBuilder::default()
    }

    /// The sink that writes to every endpoint and every other sink.
    pub fn sink(&self) -> Arc<dyn Sink> {
        self.0.sink.clone()
    }

    /// The source of all events.
    pub fn source(&self) -> Arc<SourceRecord> {
        self.0.source.clone()
    }

    /// Do events of manifests carry what the manifest refers to?
    pub fn includes_references(&self) -> bool {
        self.0.include_references
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("source", &self.0.source)
            .field("include_references", &self.0.include_references)
            .finish_non_exhaustive()
    }
}

/// Configures a [`Notifier`].
#[derive(Default)]
pub struct NotifierBuilder {
    source: SourceRecord,
    include_references: bool,
    sinks: Vec<Arc<dyn Sink>>,
}

impl NotifierBuilder {
    /// The node that events come from. Default: no address, a new instance id.
    #[must_use]
    pub fn source(mut self, source: SourceRecord) -> Self {
        self.source = source;
        self
    }

    /// Should events of manifests carry what the manifest refers to? Default: no.
    #[must_use]
    pub fn include_references(mut self, include: bool) -> Self {
        self.include_references = include;
        self
    }

    /// Adds a sink of any kind.
    #[must_use]
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// The notifier.
    ///
    /// # Errors
    ///
    /// When a setting makes no sense.
    pub fn build(self) -> Result<Notifier, BuildError> {
        Ok(Notifier(Arc::new(Inner {
            source: Arc::new(self.source),
            include_references: self.include_references,
            sink: Arc::new(Broadcaster::new(self.sinks)),
        })))
    }
}

impl fmt::Debug for NotifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifierBuilder")
            .field("source", &self.source)
            .field("include_references", &self.include_references)
            .finish_non_exhaustive()
    }
}

/// A configuration that makes no sense: which field, which value, what to do.
#[derive(Debug)]
pub struct BuildError(String);

impl BuildError {
    pub(crate) fn new(field: &str, value: impl fmt::Display, remedy: &str) -> Self {
        Self(format!(
            "{field}: {value:?} is not valid: {remedy}",
            value = value.to_string()
        ))
    }
}

/// A URL fit for messages: its user info is replaced by `…`.
pub(crate) fn without_user_info(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = start
        + url[start..]
            .find(['/', '?', '#'])
            .unwrap_or(url.len() - start);
    match url[start..end].rfind('@') {
        Some(at) => [&url[..start], "…", &url[start + at..]].concat(),
        None => url.into(),
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}
