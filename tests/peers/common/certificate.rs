//! TLS between parts of a test.

// Not every test speaks TLS.
#![allow(dead_code)]

use std::path::PathBuf;

use examples::tls;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;

/// A certificate for 127.0.0.1 that only the test trusts.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    _folder: tempfile::TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        Self::with(IsCa::NoCa)
    }

    /// Makes one that claims to be an authority, like those of `openssl req -x509`.
    pub(crate) fn of_openssl() -> Self {
        Self::with(IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn with(is_ca: IsCa) -> Self {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let signing_key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&signing_key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        std::fs::write(&file, certificate.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        Self {
            certificate: file,
            key,
            _folder: folder,
        }
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        tls::acceptor(&self.certificate, &self.key).unwrap()
    }
}
