//! Trusts a receiver's certificate itself, instead of its issuer: [`verifier`].

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Returns a verifier that trusts `roots`, and also any server whose own certificate is
/// one of `own`.
///
/// By default, `openssl req -x509` makes certificate authorities. WebPKI accepts the
/// certificates that such an authority signs, but not the authority's certificate as that
/// of a server. It also rejects a configured certificate whose issuer is not configured.
/// Accepting both is safe: an operator who configures a certificate as a root trusts its
/// key to sign for any name. Go accepts both.
///
/// # Errors
///
/// If `roots` is empty.
pub(super) fn verifier(
    roots: RootCertStore,
    own: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
    let webpki = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build()?;
    Ok(Arc::new(Verifier { webpki, own }))
}

struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// Certificates of servers that are trusted without their issuer.
    own: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("own", &self.own.len())
            .finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if verified.is_ok() || !self.own.contains(end_entity) {
            return verified;
        }
        // Verify again without intermediates, so that an invalid one does not matter.
        // WebPKI checks the validity period before the errors that are ignored here, and
        // the name after them, so the name is checked below. rustls checks in any case
        // that the server has the private key.
        let alone =
            self.webpki
                .verify_server_cert(end_entity, &[], server_name, ocsp_response, now);
        match alone {
            Err(error) if is_untrusted_issuer(&error) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            alone => alone,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether a certificate was rejected only because of its issuer: it is an authority
/// itself, its issuer is unknown, or a configured authority has the issuer's name and a
/// different key.
fn is_untrusted_issuer(error: &Error) -> bool {
    let Error::InvalidCertificate(error) = error else {
        return false;
    };
    match error {
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => true,
        CertificateError::Other(other) => matches!(
            other.0.downcast_ref(),
            Some(webpki::Error::CaUsedAsEndEntity)
        ),
        _ => false,
    }
}
