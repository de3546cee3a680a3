//! TLS on both sides of the proxy, from PEM files.

#[path = "../../src/endpoint/delivery/self_signed.rs"]
mod self_signed;

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tower::BoxError;

/// Returns the TLS side of a server with a certificate, followed by those that signed it, and
/// its key. Clients choose between HTTP/2 and HTTP/1.1.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, BoxError> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Returns a connector for `http` and `https` URLs that uses HTTP/2 if the server offers it. It
/// trusts only the certificates in `authorities`, or without that file those of the system.
pub fn connector(
    authorities: Option<&Path>,
    tcp: HttpConnector,
) -> Result<HttpsConnector<HttpConnector>, BoxError> {
    let builder = HttpsConnectorBuilder::new();
    let builder = match authorities {
        None => builder.with_provider_and_native_roots(default_provider())?,
        Some(file) => {
            let (mut roots, own) = (RootCertStore::empty(), certificates(file)?);
            for certificate in &own {
                roots.add(certificate.clone())?;
            }
            let provider = Arc::new(default_provider());
            let config = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(self_signed::verifier(roots, own, provider)?)
                .with_no_client_auth();
            builder.with_tls_config(config)
        }
    };
    Ok(builder
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(tcp))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let read = CertificateDer::pem_file_iter(file);
    let certificates = read.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(in_file(file, &"it contains no certificate"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(in_file(file, &error)),
    }
}

fn in_file(file: &Path, problem: &dyn std::fmt::Display) -> BoxError {
    format!("{}: {problem}", file.display()).into()
}
