//! Whom an endpoint trusts over TLS, and as whom it appears.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::client::{Transport, Wrong};

/// What a client speaks TLS with. The provider is named, for an application may
/// have several and no default.
pub(super) fn config(transport: &Transport) -> Result<ClientConfig, Wrong> {
    let provider = Arc::new(ring::default_provider());
    let identity = transport.client_certificate.as_ref();
    let identity = identity.map(|(chain, key)| identify(chain, key, &provider));
    let identity = identity.transpose()?;
    let system = if transport.system_roots {
        system_roots()
    } else {
        Vec::new()
    };
    let roots = roots(system, &transport.root_certificates)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Wrong::new("url", "https", cause.to_string()))?
        .with_root_certificates(roots);
    Ok(match identity {
        Some(identity) => config.with_client_cert_resolver(Arc::new(identity)),
        None => config.with_no_client_auth(),
    })
}

fn system_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a trusted root of the system cannot be read");
    }
    found.certs
}

/// The system's roots, of which those that cannot be used are left out, and
/// the given ones, of which each must be good.
fn roots(system: Vec<CertificateDer<'static>>, given: &[Vec<u8>]) -> Result<RootCertStore, Wrong> {
    const FIELD: &str = "root certificates";
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system);
    for pem in given {
        for certificate in certificates(FIELD, pem)? {
            let added = roots.add(certificate);
            added.map_err(|cause| Wrong::new(FIELD, "a certificate", cause.to_string()))?;
        }
    }
    if roots.is_empty() {
        let remedy = "install the system's trusted roots (on Debian: ca-certificates), \
                      or give the receiver's with root_certificates";
        return Err(Wrong::new(FIELD, "none", remedy));
    }
    Ok(roots)
}

/// The certificates of a PEM file: at least one.
fn certificates(field: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    // The cause may quote what it cannot read, and that may be a key.
    let found = found.unwrap_or_default();
    if found.is_empty() {
        let remedy = "give the content of a PEM file, with BEGIN CERTIFICATE in it";
        return Err(Wrong::new(field, &size(pem), remedy));
    }
    Ok(found)
}

/// A client's certificate, with those that it was issued with, and its key.
fn identify(
    chain: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<SingleCertAndKey, Wrong> {
    const CHAIN: &str = "client certificate";
    const KEY: &str = "client certificate's key";
    let chain = certificates(CHAIN, chain)?;
    for (number, certificate) in (1..).zip(&chain) {
        ParsedCertificate::try_from(certificate).map_err(|cause| {
            let remedy = format!("it is not an X.509 certificate: {cause}");
            Wrong::new(CHAIN, &format!("certificate {number}"), remedy)
        })?;
    }
    let remedy = "give the content of a PEM file with one key that is not encrypted: \
                  PKCS#8, PKCS#1 or SEC1; RSA, P-256, P-384 or Ed25519";
    let wrong = || Wrong::new(KEY, &size(key), remedy);
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| wrong())?;
    let loaded = provider.key_provider.load_private_key(key);
    let identity = CertifiedKey::new(chain, loaded.map_err(|_| wrong())?);
    match identity.keys_match() {
        Ok(()) => Ok(identity.into()),
        Err(cause) => {
            let remedy = format!("give the key of the first certificate of the chain: {cause}");
            Err(Wrong::new(KEY, "a key", remedy))
        }
    }
}

/// Shown instead of a file's content.
fn size(pem: &[u8]) -> String {
    format!("{} bytes", pem.len())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn without_the_system_s_roots_the_given_ones_do() {
        let error = roots(Vec::new(), &[]).unwrap_err();
        assert_eq!(error.field, "root certificates");
        assert!(error.remedy.contains("ca-certificates"), "{error:?}");
        let authority = || {
            let params = CertificateParams::new(["ca".to_owned()]).unwrap();
            params.self_signed(&KeyPair::generate().unwrap()).unwrap()
        };
        let (one, two) = (authority(), authority());
        let file = [one.pem(), two.pem()].concat().into_bytes();
        assert_eq!(roots(Vec::new(), &[file]).unwrap().len(), 2);
        // A system's roots may be of any age; those that are given may not.
        let bad = CertificateDer::from(b"no certificate".to_vec());
        let system = vec![one.der().clone(), bad];
        assert_eq!(roots(system.clone(), &[]).unwrap().len(), 1);
        let more = two.pem().into_bytes();
        assert_eq!(roots(system, &[more]).unwrap().len(), 2);
    }
}
