//! Whom a client trusts over TLS, and the certificate that it shows.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::self_signed;
use super::settings::ConnectionSettings;
use crate::error::{BuildError, Mistakes};

/// The name of HTTP/2 in TLS.
pub(super) const HTTP2: &[u8] = b"h2";

const ROOTS: &str = "root certificates";
const CHAIN: &str = "client certificate";
const KEY: &str = "client certificate's key";

/// The TLS configuration of a client. The provider is named because an
/// application may have several and no default.
pub(super) fn config(settings: &ConnectionSettings, of: &str) -> Result<ClientConfig, BuildError> {
    let mut mistakes = Mistakes::default();
    let provider = Arc::new(ring::default_provider());
    let identity = settings.client_certificate.as_ref();
    let identity = identity.map(|(chain, key)| identify(of, chain, key, &provider));
    let identity = mistakes.take(identity.transpose()).flatten();
    let system = match settings.system_roots {
        true => system_roots(),
        false => Vec::new(),
    };
    let given = mistakes.take(given(of, &settings.root_certificates));
    let roots = given.and_then(|given| {
        let roots = mistakes.take(roots(of, system, &given))?;
        Some((roots, given))
    });
    let versions = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|cause| BuildError::new(&format!("{of}url"), "https", &cause.to_string()));
    let versions = mistakes.take(versions);
    let (Some((roots, given)), Some(versions)) = (roots, versions) else {
        return mistakes.failed();
    };
    let verifier = self_signed::verifier(roots, given, provider).map_err(|cause| {
        let field = format!("{of}{ROOTS}");
        BuildError::new(&field, "a certificate", &cause.to_string())
    })?;
    // It is as strict as rustls's own, except for certificates that the user named.
    let config = versions
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => config.with_client_cert_resolver(Arc::new(identity)),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = [HTTP2, b"http/1.1"].map(<[u8]>::to_vec).into();
    mistakes.or(config)
}

/// The TLS configuration for a proxy: trust as for the receiver, HTTP/1.1, and no
/// client certificate, which is for the receiver.
pub(super) fn of_proxy(
    settings: &ConnectionSettings,
    of: &str,
) -> Result<ClientConfig, BuildError> {
    let settings = ConnectionSettings {
        client_certificate: None,
        ..settings.clone()
    };
    let mut config = config(&settings, of)?;
    config.alpn_protocols.clear();
    Ok(config)
}

/// Reports a host that no certificate can name, before the first event does.
pub(super) fn check_server_name(of: &str, host: &str) -> Result<(), BuildError> {
    let remedy = "the host must be a DNS name or an address";
    let wrong = |_| BuildError::new(&format!("{of}url"), host, remedy);
    server_name(host).map(drop).map_err(wrong)
}

/// The name that the certificate of a host of a URL must have.
pub(super) fn server_name(host: &str) -> Result<ServerName<'_>, InvalidDnsNameError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare)
}

fn system_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a trusted root of the system cannot be read");
    }
    found.certs
}

/// The certificates that the user named.
fn given(of: &str, files: &[Vec<u8>]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let field = format!("{of}{ROOTS}");
    let mut mistakes = Mistakes::default();
    let mut given = Vec::new();
    for pem in files {
        let found = mistakes.take(certificates(&field, pem));
        given.extend(found.into_iter().flatten());
    }
    mistakes.or(given)
}

/// The system's roots, without those that cannot be used, and the given ones,
/// all of which must be valid.
fn roots(
    of: &str,
    system: Vec<CertificateDer<'static>>,
    given: &[CertificateDer<'static>],
) -> Result<RootCertStore, BuildError> {
    let field = format!("{of}{ROOTS}");
    let mut mistakes = Mistakes::default();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system);
    for certificate in given {
        let added = roots.add(certificate.clone());
        let wrong =
            |cause: rustls::Error| BuildError::new(&field, "a certificate", &cause.to_string());
        mistakes.take(added.map_err(wrong));
    }
    if roots.is_empty() && mistakes.is_empty() {
        let remedy = "install the system's trusted roots (on Debian: ca-certificates), \
                      or give the receiver's with root_certificates";
        mistakes.add(BuildError::new(&field, "none", remedy));
    }
    mistakes.or(roots)
}

/// The certificates of a PEM file: at least one.
fn certificates(field: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    // The cause may quote what it cannot read, and that may be a key.
    let found = found.unwrap_or_default();
    if found.is_empty() {
        let remedy = "give the content of a PEM file, with BEGIN CERTIFICATE in it";
        return Err(BuildError::new(field, size(pem), remedy));
    }
    Ok(found)
}

/// A client's certificate, with those that it was issued with, and its key.
fn identify(
    of: &str,
    chain: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<SingleCertAndKey, BuildError> {
    let (chain_field, key_field) = (format!("{of}{CHAIN}"), format!("{of}{KEY}"));
    let mut mistakes = Mistakes::default();
    let chain = mistakes
        .take(certificates(&chain_field, chain))
        .unwrap_or_default();
    for (number, certificate) in (1..).zip(&chain) {
        let parsed = ParsedCertificate::try_from(certificate).map(drop);
        mistakes.take(parsed.map_err(|cause| {
            let remedy = format!("it is not an X.509 certificate: {cause}");
            BuildError::new(&chain_field, format!("certificate {number}"), &remedy)
        }));
    }
    let loaded = PrivateKeyDer::from_pem_slice(key).ok();
    let loaded = loaded.and_then(|key| provider.key_provider.load_private_key(key).ok());
    let remedy = "give the content of a PEM file with one key that is not encrypted: \
                  PKCS#8, PKCS#1 or SEC1; RSA, P-256, P-384 or Ed25519";
    let loaded = loaded.ok_or_else(|| BuildError::new(&key_field, size(key), remedy));
    let Some(key) = mistakes.take(loaded).filter(|_| mistakes.is_empty()) else {
        return mistakes.failed();
    };
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Ok(()) => Ok(identity.into()),
        Err(cause) => {
            let remedy = format!("give the key of the first certificate of the chain: {cause}");
            Err(BuildError::new(&key_field, "a key", &remedy))
        }
    }
}

/// Shown instead of a file's content.
fn size(pem: &[u8]) -> String {
    format!("{} bytes", pem.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn configured_roots_suffice_without_the_system_s() {
        let error = roots("", Vec::new(), &[]).unwrap_err();
        assert_eq!(error.mistakes()[0].field(), "root certificates");
        assert!(error.to_string().contains("ca-certificates"), "{error:?}");
        let authority = || {
            let params = CertificateParams::new(["ca".to_owned()]).unwrap();
            params.self_signed(&KeyPair::generate().unwrap()).unwrap()
        };
        let (one, two) = (authority(), authority());
        let file = [one.pem(), two.pem()].concat().into_bytes();
        let given = given("", &[file]).unwrap();
        assert_eq!(roots("", Vec::new(), &given).unwrap().len(), 2);
        // A system's roots may be of any age; those that are given may not.
        let bad = CertificateDer::from(b"no certificate".to_vec());
        let system = vec![one.der().clone(), bad];
        assert_eq!(roots("", system.clone(), &[]).unwrap().len(), 1);
        let more = two.der().clone();
        assert_eq!(roots("", system, &[more]).unwrap().len(), 2);
    }

    /// A certificate as `openssl req -x509 -addext subjectAltName=DNS:receiver`
    /// makes it.
    fn own(last_year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["receiver".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_self_signed_authority_is_a_receiver_if_it_is_given() {
        let provider = Arc::new(ring::default_provider());
        let (given, expired, other) = (own(2100), own(2021), own(2100));
        let mut roots = RootCertStore::empty();
        let given_ones = vec![given.clone(), expired.clone()];
        given_ones
            .iter()
            .for_each(|it| roots.add(it.clone()).unwrap());
        let verifier = self_signed::verifier(roots, given_ones, provider).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let verify = |certificate: &CertificateDer<'_>, name: &'static str| {
            let name = ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(certificate, &[], &name, &[], now)
        };
        assert!(verify(&given, "receiver").is_ok());
        let error = |certificate, name| format!("{:?}", verify(certificate, name).unwrap_err());
        assert!(error(&given, "other").contains("NotValidForName"));
        assert!(error(&expired, "receiver").contains("Expired"));
        assert!(error(&other, "receiver").contains("CaUsedAsEndEntity"));
    }
    /// A certificate of a receiver, and that of the authority which has issued it.
    fn issued(authority: &str, last_year: i32) -> [CertificateDer<'static>; 2] {
        let period = |params: &mut CertificateParams, last_year| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(last_year, 12, 31);
        };
        let mut params = CertificateParams::new(["receiver".to_owned()]).unwrap();
        period(&mut params, last_year);
        let key = KeyPair::generate().unwrap();
        let mut of_authority = CertificateParams::new([]).unwrap();
        let name = &mut of_authority.distinguished_name;
        name.push(rcgen::DnType::CommonName, authority);
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        period(&mut of_authority, 2021);
        let its_key = KeyPair::generate().unwrap();
        let its_own = of_authority.self_signed(&its_key).unwrap();
        let issuer = rcgen::Issuer::new(of_authority, its_key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        [certificate.der().clone(), its_own.der().clone()]
    }

    #[test]
    fn a_certificate_is_trusted_if_it_is_given_without_its_issuer() {
        let provider = Arc::new(ring::default_provider());
        let given = issued("authority", 2100);
        let [expired, _] = issued("authority", 2021);
        let other = issued("authority", 2100);
        // It has the name of an issuer, and did not issue it.
        let [_, namesake] = issued("authority", 2100);
        let given_ones = vec![given[0].clone(), expired.clone(), namesake];
        let mut roots = RootCertStore::empty();
        given_ones
            .iter()
            .for_each(|it| roots.add(it.clone()).unwrap());
        let verifier = self_signed::verifier(roots, given_ones, provider).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let verify = |certificate: &CertificateDer<'_>, name: &'static str, others: &[_]| {
            let name = ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(certificate, others, &name, &[], now)
        };
        assert!(verify(&given[0], "receiver", &[]).is_ok());
        // The server shows that of its issuer too, which has expired.
        assert!(verify(&given[0], "receiver", &given[1..]).is_ok());
        let error = |certificate, name| {
            let error = verify(certificate, name, &[]).unwrap_err();
            format!("{error:?}")
        };
        assert!(error(&given[0], "other").contains("NotValidForName"));
        assert!(error(&expired, "receiver").contains("Expired"));
        assert!(error(&other[0], "receiver").contains("BadSignature"));
        assert!(verify(&other[0], "receiver", &other[1..]).is_err());
    }
}
