//! Positions in a configuration, for errors: [`Place`].

use std::fmt;
use std::sync::Arc;

use super::variable::Variable;
use crate::error::BuildError;

/// The source that a configuration is read from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A text without a name.
    Text,
    /// A file.
    File(Arc<str>),
    /// A variable of the environment.
    Variable(Arc<Variable>),
}

/// A position in a source.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) source: Source,
    /// The line, from 1. 0 means the source as a whole.
    pub(super) line: u64,
    /// The column, from 1.
    pub(super) column: u64,
}

impl Place {
    /// Returns the place that means the source as a whole.
    pub(super) fn whole(source: Source) -> Self {
        Self {
            source,
            line: 0,
            column: 0,
        }
    }

    /// Returns the variable of the environment that this place is in.
    pub(super) fn variable(&self) -> Option<&Variable> {
        match &self.source {
            Source::Variable(variable) => Some(variable),
            _ => None,
        }
    }

    /// Returns the variable whose name leads here. `None` for the places inside the
    /// value of a variable.
    pub(super) fn named(&self) -> Option<&Variable> {
        self.variable().filter(|_| self.line == 0)
    }

    /// Returns a mistake at this place. `path` is the key, from `notifications` down;
    /// empty if the text itself is wrong.
    pub(super) fn error(&self, path: &str, message: impl Into<String>) -> BuildError {
        let in_file = self.line > 0 && !matches!(self.source, Source::Variable(_));
        let line = in_file.then_some((self.line, self.column));
        BuildError::at(path, message).placed(self, line)
    }
}

/// Writes the place as it stands before a message, with a colon and a space.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, .. } = self;
        match &self.source {
            Source::Text if *line == 0 => Ok(()),
            Source::Text => write!(f, "line {line}, column {column}: "),
            Source::File(name) if *line == 0 => write!(f, "{name}: "),
            Source::File(name) => write!(f, "{name}:{line}:{column}: "),
            // Most variables are one short value.
            Source::Variable(it) if *line <= 1 => write!(f, "{}: ", it.name),
            Source::Variable(it) => write!(f, "{}, line {line}: ", it.name),
        }
    }
}
