//! Stands in for the HTTP client where the feature `client` is off.

use std::time::Duration;

use http::{HeaderValue, Uri};

use super::transport::Transport;
use crate::error::BuildError;

#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionSettings {}

impl ConnectionSettings {
    pub(crate) fn shown(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Nothing can be set.
    pub(crate) fn check_unused(&self, _: &str) -> Result<(), BuildError> {
        Ok(())
    }
}

/// There is no client.
///
/// # Errors
///
/// Always.
pub(crate) fn client(
    _: &ConnectionSettings,
    of: &str,
    _: &Uri,
    _: Duration,
) -> Result<Transport, BuildError> {
    let remedy = "give one with Endpoint::client, or enable the feature `client`";
    Err(BuildError::new(&format!("{of}client"), "none", remedy))
}

/// There is no proxy.
pub(crate) fn proxy_authorization(_: &ConnectionSettings, _: &Uri) -> Option<HeaderValue> {
    None
}
