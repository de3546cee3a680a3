//! The methods of [`Endpoint`] that configure its connections.

use std::time::Duration;

use super::delivery::AddressPolicy;
use super::endpoint::Endpoint;

/// # Connection
impl Endpoint {
    /// Trusts these certificate authorities in addition: the content of a PEM file
    /// with one or more certificates. May be called again. A receiver's own
    /// self-signed certificate can be given as well, as `openssl req -x509` makes
    /// it; the receiver's name must be in its `subjectAltName`. Defaults to none
    /// besides those that the system trusts.
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

    /// Sets how long connecting may take: resolving the name, TCP and TLS together. It must
    /// be more than zero.
    /// The attempt's [`timeout`](Self::timeout) includes it and bounds it too.
    /// Defaults to 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connection.connect_timeout = Some(timeout);
        self
    }

    /// Sets which addresses may be connected to. With a proxy these are the addresses
    /// of the proxy; see [`AddressPolicy`]. Defaults to all.
    pub fn addresses(mut self, policy: AddressPolicy) -> Self {
        self.connection.addresses = policy;
        self
    }

    /// Sets whether to deliver through the proxy that the environment names, as Go's
    /// client and so the reference does. Defaults to `true`.
    ///
    /// | variable | meaning |
    /// | --- | --- |
    /// | `HTTP_PROXY` | the proxy for `http` URLs: `http://user:password@proxy:3128`, or with `https` or `socks5` |
    /// | `HTTPS_PROXY` | the proxy for `https` URLs, which are reached through a tunnel |
    /// | `NO_PROXY` | receivers without a proxy: names (`example.com`, `.example.com`), addresses and networks, each with or without a port; `*` for all |
    ///
    /// The names may be in lower case too. They are read when the
    /// [`Notifier`](crate::Notifier) is built. A receiver on this machine (`localhost`,
    /// 127.0.0.0/8, `::1`) is never reached through a proxy.
    pub fn proxy_from_env(mut self, use_proxy: bool) -> Self {
        self.connection.proxy_from_env = use_proxy;
        self
    }
}
