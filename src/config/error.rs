use std::fmt;
use std::sync::Arc;

/// A configuration that cannot be used: where, which key, which value, what to do.
///
/// It never shows header values, user info of URLs or signing secrets, nor
/// anything else of the file than the key and the value that it is about.
pub struct ConfigError(Box<Inner>);

struct Inner {
    place: Place,
    /// The key, from `notifications` down; empty if the text itself is wrong.
    path: String,
    message: String,
}

impl ConfigError {
    pub(super) fn new(place: &Place, path: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            place: place.clone(),
            path: path.into(),
            message: message.into(),
        }))
    }

    /// The line of the file that is wrong, from 1. `None` when the file cannot
    /// be read, when something is missing in it as a whole, and for a variable
    /// of the environment.
    pub fn line(&self) -> Option<u64> {
        let place = &self.0.place;
        (place.line > 0 && !matches!(place.source, Source::Variable(_))).then_some(place.line)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            place,
            path,
            message,
        } = &*self.0;
        write!(f, "{place}")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigError({:?})", self.to_string())
    }
}

impl std::error::Error for ConfigError {}

/// What was read.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A text without a name.
    Text,
    /// A file.
    File(Arc<str>),
    /// A variable of the environment.
    Variable(Arc<str>),
}

/// Where something stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) source: Source,
    /// From 1; 0 is nowhere in particular.
    pub(super) line: u64,
    /// From 1.
    pub(super) column: u64,
}

impl Place {
    /// The source as a whole.
    pub(super) fn whole(source: Source) -> Self {
        Self {
            source,
            line: 0,
            column: 0,
        }
    }
}

/// Written before a message, with the colon and space between.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, .. } = self;
        match &self.source {
            Source::Text if *line == 0 => Ok(()),
            Source::Text => write!(f, "line {line}, column {column}: "),
            Source::File(name) if *line == 0 => write!(f, "{name}: "),
            Source::File(name) => write!(f, "{name}:{line}:{column}: "),
            // Most variables are one short value.
            Source::Variable(name) if *line <= 1 => write!(f, "{name}: "),
            Source::Variable(name) => write!(f, "{name}, line {line}: "),
        }
    }
}
