//! TLS between parts of a test.

// Not every test speaks TLS.
#![allow(dead_code)]

use std::path::PathBuf;

use tokio_rustls::TlsAcceptor;

use crate::tls;

/// A certificate for 127.0.0.1 that nobody but the test knows.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    _folder: tempfile::TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Self {
            certificate,
            key,
            _folder: folder,
        }
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        tls::acceptor(&self.certificate, &self.key).unwrap()
    }
}
