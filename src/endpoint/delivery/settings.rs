//! The settings of an endpoint's connections: [`ConnectionSettings`].

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::address::AddressPolicy;
use crate::error::{BuildError, Mistakes};

#[derive(Clone)]
pub(crate) struct ConnectionSettings {
    /// Whether the system's roots are trusted.
    pub(crate) system_roots: bool,
    /// PEM files.
    pub(crate) root_certificates: Vec<Vec<u8>>,
    /// PEM files: the chain and the key.
    pub(crate) client_certificate: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) addresses: AddressPolicy,
    /// Whether the proxies that the environment names are used.
    pub(crate) proxy_from_env: bool,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            system_roots: true,
            root_certificates: Vec::new(),
            client_certificate: None,
            connect_timeout: None,
            addresses: AddressPolicy::allow_all(),
            proxy_from_env: true,
        }
    }
}

impl ConnectionSettings {
    /// Reports settings that a client of the user's own would ignore. An address policy
    /// that is configured but not applied would be worse than none.
    pub(crate) fn check_unused(&self, of: &str) -> Result<(), BuildError> {
        let remedy = "the endpoint has a client of its own: configure that one instead";
        let timeout = self.connect_timeout.map(|_| "connect timeout");
        let addresses = self.addresses != AddressPolicy::allow_all();
        let addresses = addresses.then_some("address policy");
        let proxy = (!self.proxy_from_env).then_some("proxy_from_env");
        let tls = self.tls_settings().into_iter();
        let set = tls.chain(timeout).chain(addresses).chain(proxy);
        all_set(of, set, remedy)
    }

    /// Reports settings that make no sense for `http`.
    pub(super) fn check_without_tls(&self, of: &str) -> Result<(), BuildError> {
        let remedy = "http neither encrypts nor authenticates: use a URL with https";
        all_set(of, self.tls_settings(), remedy)
    }

    /// Returns the settings as the status shows them: no certificate and no key.
    pub(crate) fn shown(&self) -> Value {
        json!({
            "system_roots": self.system_roots,
            "root_certificates": self.root_certificates.len(),
            "client_certificate": self.client_certificate.is_some(),
            "connect_timeout_seconds": self.connect_timeout.map(|it| it.as_secs_f64()),
            "addresses": self.addresses.shown(),
            "proxy_from_env": self.proxy_from_env,
        })
    }

    /// Returns the names of the settings that only TLS uses and that are set.
    fn tls_settings(&self) -> Vec<&'static str> {
        let roots = !self.root_certificates.is_empty();
        let set = [
            (roots, "root certificates"),
            (self.client_certificate.is_some(), "client certificate"),
            (!self.system_roots, "system roots"),
        ];
        let set = set.into_iter().filter(|(is_set, _)| *is_set);
        set.map(|(_, field)| field).collect()
    }
}

fn all_set(
    of: &str,
    fields: impl IntoIterator<Item = &'static str>,
    remedy: &str,
) -> Result<(), BuildError> {
    let mut mistakes = Mistakes::default();
    for field in fields {
        mistakes.add(BuildError::new(&format!("{of}{field}"), "set", remedy));
    }
    mistakes.or(())
}

/// Shows no certificate and no key.
impl fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSettings")
            .field("system_roots", &self.system_roots)
            .field("root_certificates", &self.root_certificates.len())
            .field("client_certificate", &self.client_certificate.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("addresses", &self.addresses)
            .field("proxy_from_env", &self.proxy_from_env)
            .finish()
    }
}
