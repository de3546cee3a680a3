//! The error of a configuration that cannot work: [`BuildError`].

use std::fmt;

/// A setting that cannot work. The message names the setting, its value and
/// the remedy, and shows no secret.
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

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}
