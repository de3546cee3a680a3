//! How an endpoint is told to connect.

use std::time::Duration;

use super::delivery::AddressPolicy;
use super::endpoint::Endpoint;

/// # Connection
impl Endpoint {
    /// Trusts these certificate authorities too: the content of a PEM file with
    /// one or more certificates. May be called again. A receiver's own
    /// self-signed certificate can be given as well, unless it says that it is
    /// an authority (`CA:TRUE`). Defaults to those that the system trusts.
    ///
    /// For `https` only.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.connection.root_certificates.push(pem.into());
        self
    }

    /// Sets whether to trust the certificate authorities that the system trusts,
    /// in addition to [`root_certificates`](Self::root_certificates). On Unix
    /// they are those of OpenSSL, or what `SSL_CERT_FILE` and `SSL_CERT_DIR`
    /// name. Defaults to `true`.
    ///
    /// For `https` only.
    pub fn system_roots(mut self, trust: bool) -> Self {
        self.connection.system_roots = trust;
        self
    }

    /// Sets the certificate that is shown to a receiver that asks for one
    /// (mutual TLS): the contents of two PEM files, the certificate followed by
    /// those that it was issued with, and its key (RSA, P-256, P-384 or Ed25519,
    /// as PKCS#8, PKCS#1 or SEC1, not encrypted).
    ///
    /// The key is a secret and shown nowhere. For `https` only.
    pub fn client_certificate(
        mut self,
        chain_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.connection.client_certificate = Some((chain_pem.into(), key_pem.into()));
        self
    }

    /// Sets the time limit of a connection: name, TCP and TLS together. It is
    /// part of the attempt's [`timeout`](Self::timeout), which bounds it too.
    /// Defaults to 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connection.connect_timeout = Some(timeout);
        self
    }

    /// Sets which addresses may be connected to. Defaults to all.
    pub fn addresses(mut self, policy: AddressPolicy) -> Self {
        self.connection.addresses = policy;
        self
    }
}
