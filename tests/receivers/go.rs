//! What the receivers that are written in Go have in common.

use hmac::{Hmac, Mac as _};
use serde::de::DeserializeOwned;
use sha2::Sha256;

use crate::stage::Request;

pub(crate) fn json<T: DeserializeOwned>(request: &Request) -> Result<T, String> {
    serde_json::from_slice(&request.body).map_err(|error| error.to_string())
}

/// go-github's `ValidateSignature`.
pub(crate) fn validate_signature(
    signature: &str,
    request: &Request,
    secret: &str,
) -> Result<(), String> {
    if signature.is_empty() {
        return Err("missing signature".into());
    }
    let Some(("sha256", hex)) = signature.split_once('=') else {
        return Err(format!("error parsing signature {signature:?}"));
    };
    let digits = hex.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Option<Vec<u8>> = bytes.collect();
    let bytes = bytes.ok_or("error decoding signature")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&request.body);
    let verified = mac.verify_slice(&bytes);
    verified.map_err(|_| "payload signature check failed".into())
}

/// go-containerregistry's `ParseReference`, as far as it matters here: a host has a dot or
/// a port; any other name is one of Docker Hub.
pub(crate) fn reference(text: &str) -> Result<(String, String, String), String> {
    let (host, rest) = text.split_once('/').unwrap_or(("", text));
    if !host.contains(['.', ':']) && host != "localhost" {
        return Err(format!("{text} is an image of Docker Hub"));
    }
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) => (repository, tag),
        None => (rest, "latest"),
    };
    Ok((host.into(), repository.into(), tag.into()))
}
