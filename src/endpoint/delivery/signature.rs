//! Signatures of deliveries, as [Standard Webhooks] 1.0.0 defines them: [`Signer`].
//!
//! [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::Sha256;

use crate::error::{BuildError, Mistakes};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The prefix that marks a text as a secret.
const PREFIX: &str = "whsec_";
/// Number of bytes that the spec demands of a secret.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// Characters that an id must not have: those that a header cannot carry, and
/// `.`, which separates it from the timestamp in what is signed.
const NOT_IN_ID: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'.');

/// Signs deliveries with HMAC-SHA256, once with each secret: while one secret
/// replaces another, receivers may know either.
#[derive(Clone)]
pub(crate) struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    /// Returns a signer with these secrets, each base64 of 24 to 64 bytes, with
    /// or without `whsec_` before it. `None` if there are no secrets.
    ///
    /// # Errors
    ///
    /// The numbers of those that are not valid, from 1, each after `of`.
    pub(crate) fn new(of: &str, secrets: &[String]) -> Result<Option<Self>, BuildError> {
        let mut mistakes = Mistakes::default();
        let mut keys = Vec::with_capacity(secrets.len());
        for (number, secret) in (1..).zip(secrets) {
            match key(secret) {
                Some(key) => keys.push(key),
                None => {
                    let message = "write whsec_ and the base64 of 24 to 64 bytes";
                    let field = format!("{of}signing secret {number}");
                    mistakes.add(BuildError::at(&field, message));
                }
            }
        }
        mistakes.or((!keys.is_empty()).then_some(Self(keys)))
    }

    /// Whether a secret is valid.
    #[cfg(feature = "config")]
    pub(crate) fn accepts(secret: &str) -> bool {
        key(secret).is_some()
    }

    /// Returns the headers that sign `body` in this attempt. `id` stays the same
    /// when the same body is delivered again. Characters of it that a header
    /// cannot carry, and full stops, are percent-encoded.
    pub(crate) fn sign(
        &self,
        id: &str,
        at: SystemTime,
        body: &[u8],
    ) -> [(HeaderName, HeaderValue); 3] {
        let id = utf8_percent_encode(id, NOT_IN_ID).to_string();
        // A clock before 1970 is wrong. Receivers reject the timestamp 0.
        let at = at.duration_since(SystemTime::UNIX_EPOCH);
        let at = at.unwrap_or_default().as_secs();
        let before_body = format!("{id}.{at}.");
        let mut signatures = String::with_capacity(48 * self.0.len());
        for key in &self.0 {
            let mut mac = key.clone();
            mac.update(before_body.as_bytes());
            mac.update(body);
            let separator = if signatures.is_empty() { "v1," } else { " v1," };
            signatures.push_str(separator);
            STANDARD.encode_string(mac.finalize().into_bytes(), &mut signatures);
        }
        [
            (ID, value(id)),
            (TIMESTAMP, HeaderValue::from(at)),
            (SIGNATURE, value(signatures)),
        ]
    }
}

fn key(secret: &str) -> Option<Hmac<Sha256>> {
    let secret = STANDARD
        .decode(secret.strip_prefix(PREFIX).unwrap_or(secret))
        .ok()
        .filter(|secret| SECRET_LENGTH.contains(&secret.len()))?;
    Hmac::new_from_slice(&secret).ok()
}

/// A value of visible ASCII, which is always valid.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("secrets", &self.0.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use standardwebhooks::Webhook;

    use super::*;

    const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwJPlDE3kkcgU=";
    const BODY: &[u8] = br#"{"events":[]}"#;

    fn signer<const N: usize>(secrets: [&str; N]) -> Signer {
        Signer::new("", &secrets.map(String::from))
            .unwrap()
            .unwrap()
    }

    fn now(signer: &Signer, id: &str) -> HeaderMap {
        HeaderMap::from_iter(signer.sign(id, SystemTime::now(), BODY))
    }

    #[test]
    fn the_signature_matches_the_published_vector() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_649_367_553);
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let id = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
        let headers = HeaderMap::from_iter(signer([OLD]).sign(id, at, body));
        assert_eq!(headers.len(), 3);
        assert_eq!(headers["webhook-id"], id);
        assert_eq!(headers["webhook-timestamp"], "1649367553");
        assert_eq!(
            headers["webhook-signature"],
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn every_secret_of_a_rotation_verifies_and_no_other() {
        let headers = now(&signer([NEW, OLD]), "0198a2f4");
        for secret in [NEW, OLD] {
            let receiver = Webhook::new(secret).unwrap();
            receiver.verify(BODY, &headers).unwrap();
            receiver.verify(b"{}", &headers).unwrap_err();
            let at: u64 = headers[TIMESTAMP].to_str().unwrap().parse().unwrap();
            for (name, value) in [
                (ID, "another".parse().unwrap()),
                (TIMESTAMP, (at - 1).into()),
            ] {
                let mut changed = headers.clone();
                changed.insert(name, value);
                receiver.verify(BODY, &changed).unwrap_err();
            }
        }
        let stranger = Webhook::new(&STANDARD.encode([7; 32])).unwrap();
        stranger.verify(BODY, &headers).unwrap_err();
    }

    #[test]
    fn an_id_of_any_text_can_be_verified() {
        for id in ["a.b", "", "ä b\n\u{0}%", "ok-1:2/3"] {
            let headers = now(&signer([OLD]), id);
            Webhook::new(OLD).unwrap().verify(BODY, &headers).unwrap();
            assert!(!headers["webhook-id"].as_bytes().contains(&b'.'));
        }
        assert_eq!(now(&signer([OLD]), "ok-1:2/3")["webhook-id"], "ok-1:2/3");
    }

    #[test]
    fn secrets_are_24_to_64_bytes_of_base64_and_are_not_shown() {
        let of = |length| STANDARD.encode(vec![0x5a; length]);
        for right in [of(24), of(64), format!("whsec_{}", of(32))] {
            let shown = format!("{:?}", signer([&right]));
            assert!(
                !shown.contains("WlpaWl") && !shown.contains("90"),
                "{shown}"
            );
        }
        for wrong in [
            of(23),
            of(65),
            "whsec_".into(),
            "hush!".into(),
            String::new(),
        ] {
            let error = Signer::new("", &[of(24), wrong.clone(), wrong]).unwrap_err();
            let error = error.to_string();
            assert_eq!(error.lines().count(), 2, "both are reported");
            for number in 2..=3 {
                assert!(error.contains(&format!("secret {number}: ")), "{error}");
            }
        }
        assert!(Signer::new("", &[]).unwrap().is_none());
    }
}
