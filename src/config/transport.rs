//! Whom an endpoint trusts, who it says it is, and where it may connect.

use super::endpoint::set;
use super::error::ConfigError;
use super::item::{Fields, Item};
use super::read_file;
use super::section::Phase;
use crate::endpoint::{AddressPolicy, EndpointBuilder, Signer};

type Result<T> = std::result::Result<T, ConfigError>;

/// Before the path of a file that holds a secret.
const FILE: &str = "file:";

pub(super) fn settings(
    mut it: EndpointBuilder,
    fields: &mut Fields,
    phase: Phase,
) -> Result<EndpointBuilder> {
    it = set(
        it,
        fields.get("connecttimeout", Item::span)?,
        EndpointBuilder::connect_timeout,
    );
    if let Some(item) = fields.take("signingsecrets") {
        it = it.sign(secrets(item, phase)?);
    }
    it = set(
        it,
        fields.get("systemroots", Item::flag)?,
        EndpointBuilder::system_roots,
    );
    for item in fields
        .get("rootcertificates", Item::list)?
        .unwrap_or_default()
    {
        let pem = content(&item, phase)?;
        it = set(it, pem, EndpointBuilder::root_certificates);
    }
    if let Some(item) = fields.take("clientcertificate") {
        let pair = client_certificate(&item, phase)?;
        it = set(it, pair, |it, (chain, key)| {
            it.client_certificate(chain, key)
        });
    }
    Ok(set(
        it,
        fields.get("addresses", addresses)?,
        EndpointBuilder::addresses,
    ))
}

/// Secrets, inline or each in a file of its own.
fn secrets(item: Item, phase: Phase) -> Result<Vec<String>> {
    let mut secrets = Vec::new();
    for item in item.secret().list()? {
        let text = item.text()?;
        let secret = match text.strip_prefix(FILE) {
            Some(_) if phase == Phase::Check => continue,
            Some(path) => read(&item, path)?.trim_end().to_owned(),
            None => text.to_owned(),
        };
        if Signer::new(std::slice::from_ref(&secret)).is_err() {
            let remedy = "write whsec_ and the base64 of 24 to 64 bytes, or file: and a path";
            return Err(item.wrong("a signing secret", remedy));
        }
        secrets.push(secret);
    }
    Ok(secrets)
}

/// Certificate and key, unless they are only checked.
fn client_certificate(item: &Item, phase: Phase) -> Result<Option<(String, String)>> {
    let mut fields = item.fields()?;
    let certificate = fields.get("certificate", |it| content(it, phase))?;
    let key = fields.get("key", |it| content(it, phase))?;
    fields.finish()?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(certificate.zip(key)),
        // The other may come from the environment.
        _ if phase == Phase::Check => Ok(None),
        _ => Err(item.error("needs both, certificate and key: name the two files")),
    }
}

/// What is in the file that the item names, unless it is only checked.
fn content(item: &Item, phase: Phase) -> Result<Option<String>> {
    let path = item.text()?;
    let read = (phase == Phase::Build).then(|| read(item, path));
    read.transpose()
}

fn read(item: &Item, path: &str) -> Result<String> {
    read_file(path.as_ref()).map_err(|cause| item.error(format!("the file {path:?} {cause}")))
}

fn addresses(item: &Item) -> Result<AddressPolicy> {
    let mut fields = item.fields()?;
    let policies = [("allowall", false), ("denyprivate", true)];
    let deny = fields
        .get("policy", |it| it.word(&policies))?
        .unwrap_or_default();
    let allowed = fields.get("allow", Item::list)?.unwrap_or_default();
    fields.finish()?;
    if !deny {
        return match allowed.first() {
            Some(item) => Err(item.error("is allowed anyway: add policy: denyprivate")),
            None => Ok(AddressPolicy::allow_all()),
        };
    }
    allowed
        .iter()
        .try_fold(AddressPolicy::deny_private(), |policy, item| {
            let remedy = "write it like 10.0.0.0/8 or ::1";
            let allowed = policy.allow([item.text()?]);
            allowed.map_err(|_| item.wrong("a network or an address", remedy))
        })
}
