//! The keys of an endpoint's connection: certificates, secrets and signatures, and
//! the addresses that it may connect to.
//!
//! Secrets and certificates are never shown in errors. Files are only read in
//! [`Phase::Build`].

use super::fields::Fields;
use super::file;
use super::item::Item;
use super::phase::Phase;
use crate::endpoint::{AddressPolicy, BodySigner, Endpoint, Signer};
use crate::error::{BuildError, MistakeKind, Mistakes};

type Result<T> = std::result::Result<T, BuildError>;

/// Stands before the path of a file that holds a secret.
const FILE: &str = "file:";

pub(super) fn settings(mut it: Endpoint, fields: &mut Fields, phase: Phase) -> Endpoint {
    it = fields.set(it, "connecttimeout", Item::span, Endpoint::connect_timeout);
    let signing_secrets = |item: &Item| secrets(item, phase);
    it = fields.set(it, "signingsecrets", signing_secrets, Endpoint::sign);
    let signatures = |item: &Item| hmac_signatures(item, phase);
    it = fields.set(it, "hmac", signatures, |it, signatures| {
        let add = |it: Endpoint, (header, secret)| it.sign_hmac(header, secret);
        signatures.into_iter().fold(it, add)
    });
    it = fields.set(it, "systemroots", Item::flag, Endpoint::system_roots);
    let files = |item: &Item| item.each(|it| content(it, phase));
    it = fields.set(it, "rootcertificates", files, |it, files| {
        files
            .into_iter()
            .flatten()
            .fold(it, Endpoint::root_certificates)
    });
    let pair = |item: &Item| client_certificate(item, phase);
    it = fields.set(it, "clientcertificate", pair, |it, pair| match pair {
        Some((chain, key)) => it.client_certificate(chain, key),
        None => it,
    });
    it = fields.set(it, "addresses", addresses, Endpoint::addresses);
    fields.set(it, "proxyfromenv", Item::flag, Endpoint::proxy_from_env)
}

/// Reads a list of secrets, each inline or in a file of its own.
fn secrets(item: &Item, phase: Phase) -> Result<Vec<String>> {
    let secrets = item.clone().secret().each(|item| secret(item, phase))?;
    Ok(secrets.into_iter().flatten().collect())
}

/// Reads a signing secret. `None` if it is in a file and is only checked.
fn secret(item: &Item, phase: Phase) -> Result<Option<String>> {
    let secret = secret_text(item, phase)?;
    if secret.as_ref().is_some_and(|it| !Signer::accepts(it)) {
        let remedy = "write whsec_ and the base64 of 24 to 64 bytes, or file: and a path";
        return Err(item.wrong("a signing secret", remedy));
    }
    Ok(secret)
}

/// Reads a secret, inline or from its file. `None` if it is in a file and is only
/// checked.
fn secret_text(item: &Item, phase: Phase) -> Result<Option<String>> {
    let text = item.text()?;
    match text.strip_prefix(FILE) {
        Some(_) if phase == Phase::Check => Ok(None),
        Some(path) => Ok(Some(read(item, path)?.trim_end().to_owned())),
        None => Ok(Some(text.to_owned())),
    }
}

/// Reads one signature of the body or a list of them, each a header with its secret.
fn hmac_signatures(item: &Item, phase: Phase) -> Result<Vec<(String, String)>> {
    let mut mistakes = Mistakes::default();
    let items = item.clone().secret().list_or_one()?;
    let read = |item: &Item| mistakes.take(hmac_signature(item, phase));
    let signatures = items.iter().filter_map(read).flatten().collect();
    mistakes.or(signatures)
}

fn hmac_signature(item: &Item, phase: Phase) -> Result<Option<(String, String)>> {
    let mut fields = Fields::of(item);
    let header = fields.get("header", Item::owned);
    let secret = fields.get("secret", |it| secret_text(it, phase));
    let (header, secret) = match fields.finish((header, secret))? {
        (Some(header), Some(secret)) => (header, secret),
        // The other may come from the environment.
        _ if phase == Phase::Check => return Ok(None),
        _ => return Err(item.error("needs both, header and secret")),
    };
    let Some(secret) = secret else {
        return Ok(None);
    };
    match BodySigner::new(&header, &secret) {
        Ok(_) => Ok(Some((header, secret))),
        Err(remedy) => Err(item.error(format!("cannot sign: {remedy}"))),
    }
}

/// Reads the certificate and the key. `None` if they are only checked.
fn client_certificate(item: &Item, phase: Phase) -> Result<Option<(String, String)>> {
    let mut fields = Fields::of(item);
    let certificate = fields.get("certificate", |it| content(it, phase));
    let key = fields.get("key", |it| content(it, phase));
    match fields.finish((certificate, key))? {
        (Some(certificate), Some(key)) => Ok(certificate.zip(key)),
        // The other may come from the environment.
        _ if phase == Phase::Check => Ok(None),
        _ => Err(item.error("needs both, certificate and key: name the two files")),
    }
}

/// Reads the file that the item names. `None` if it is only checked.
fn content(item: &Item, phase: Phase) -> Result<Option<String>> {
    let path = item.text()?;
    match phase {
        Phase::Check => Ok(None),
        Phase::Build => read(item, path).map(Some),
    }
}

fn read(item: &Item, path: &str) -> Result<String> {
    file::read(path.as_ref()).map_err(|cause| {
        let error = item.wrong_file(&cause);
        error.with_kind(MistakeKind::Unreadable)
    })
}

fn addresses(item: &Item) -> Result<AddressPolicy> {
    let mut fields = Fields::of(item);
    let policies = [("allowall", false), ("denyprivate", true)];
    let deny = fields.get("policy", |it| it.word(&policies));
    let deny = deny.unwrap_or_default();
    let allowed = fields.get("allow", Item::list).unwrap_or_default();
    fields.finish(())?;
    if !deny {
        return match allowed.first() {
            Some(item) => Err(item.error("is allowed anyway: add policy: denyprivate")),
            None => Ok(AddressPolicy::allow_all()),
        };
    }
    let mut mistakes = Mistakes::default();
    let mut policy = AddressPolicy::deny_private();
    for item in &allowed {
        policy = mistakes.take(allow(policy.clone(), item)).unwrap_or(policy);
    }
    mistakes.or(policy)
}

fn allow(policy: AddressPolicy, item: &Item) -> Result<AddressPolicy> {
    let remedy = "write it like 10.0.0.0/8 or ::1";
    let allowed = policy.allow([item.text()?]);
    allowed.map_err(|_| item.wrong("a network or an address", remedy))
}
