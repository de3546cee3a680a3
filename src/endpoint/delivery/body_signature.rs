//! Signatures of the body alone: [`BodySigner`].
//!
//! The header has any name, and the value is `sha256=` and the HMAC-SHA256 in
//! hexadecimal. GitHub introduced this form, and most receivers that verify
//! signatures verify this one.

use std::collections::HashSet;
use std::fmt;

use hmac::{Hmac, Mac};
use http::{HeaderName, HeaderValue};
use sha2::Sha256;

use super::target::is_framing;
use crate::error::{BuildError, Mistakes};

/// Signs bodies for one header.
#[derive(Clone)]
pub(crate) struct BodySigner {
    header: HeaderName,
    key: Hmac<Sha256>,
}

impl BodySigner {
    /// Returns a signer for each header name with its secret.
    ///
    /// # Errors
    ///
    /// The numbers of those that are not valid, from 1, each after `of`. Names are not
    /// shown, because a secret may have been given in place of one.
    pub(crate) fn all(of: &str, given: &[(String, String)]) -> Result<Vec<Self>, BuildError> {
        let mut mistakes = Mistakes::default();
        let (mut names, mut signers) = (HashSet::new(), Vec::with_capacity(given.len()));
        for (number, (header, secret)) in (1..).zip(given) {
            let signer = Self::new(header, secret).and_then(|signer| {
                let is_new = names.insert(signer.header.clone());
                is_new.then_some(signer).ok_or(DOUBLE)
            });
            let signer = signer
                .map_err(|remedy| BuildError::at(&format!("{of}HMAC signature {number}"), remedy));
            signers.extend(mistakes.take(signer));
        }
        mistakes.or(signers)
    }

    /// Returns a signer for one header.
    ///
    /// # Errors
    ///
    /// If the header or the secret is not valid. The error says what to write instead.
    pub(crate) fn new(header: &str, secret: &str) -> Result<Self, &'static str> {
        let header: HeaderName = header.parse().map_err(|_| HEADER)?;
        if is_framing(&header) || OURS.contains(&header.as_str()) {
            return Err(HEADER);
        }
        if secret.is_empty() {
            return Err("give it a secret");
        }
        let key = Hmac::new_from_slice(secret.as_bytes()).map_err(|_| "give it a secret")?;
        Ok(Self { header, key })
    }

    /// Returns the header that signs `body`.
    pub(crate) fn sign(&self, body: &[u8]) -> (HeaderName, HeaderValue) {
        let mut mac = self.key.clone();
        mac.update(body);
        let signature = format!("sha256={:x}", mac.finalize().into_bytes());
        // Visible ASCII is always valid.
        let value = HeaderValue::try_from(signature);
        let value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
        (self.header.clone(), value)
    }
}

/// Headers that mean something else in a delivery. A signature would not replace them.
const OURS: [&str; 9] = [
    "content-type",
    "host",
    "notification-partition",
    "notification-sequence",
    "traceparent",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

const HEADER: &str = "name a header like X-Signature or X-Hub-Signature-256";
const DOUBLE: &str = "give each signature a header of its own";

impl fmt::Debug for BodySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySigner")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_github_s_docs_is_met() {
        let signer = BodySigner::new("X-Hub-Signature-256", "It's a Secret to Everybody").unwrap();
        let (name, value) = signer.sign(b"Hello, World!");
        assert_eq!(name, "x-hub-signature-256");
        assert_eq!(
            value,
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn wrong_signatures_are_reported_by_number_without_the_secret() {
        let given = [
            ("x-signature", "hush"),
            ("X-Signature", "hush"),
            ("no header", "hush"),
            ("content-length", "hush"),
            ("x-other", ""),
            ("Content-Type", "hush"),
            ("Webhook-Signature", "hush"),
        ];
        let given = given.map(|(header, secret)| (header.to_owned(), secret.to_owned()));
        let error = BodySigner::all("", &given).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 6, "{error}");
        for number in 2..=7 {
            assert!(error.contains(&format!("signature {number}: ")), "{error}");
        }
        let signers = BodySigner::all("", &given[..1]).unwrap();
        assert!(!format!("{signers:?} {error}").contains("hush"));
    }
}
