//! The methods of [`Endpoint`] that configure signatures.

use super::endpoint::Endpoint;

/// # Signatures
impl Endpoint {
    /// Signs every request after [Standard Webhooks 1.0.0], once with each of
    /// these secrets, so that one can be replaced by another. A secret is
    /// `whsec_` and the base64 of 24 to 64 bytes. Defaults to no signatures.
    ///
    /// The `webhook-id` is that of the event, or of its batch. It is the same in
    /// every attempt, so that receivers can recognise repetitions.
    ///
    /// [Standard Webhooks 1.0.0]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    pub fn sign<T: Into<String>>(mut self, secrets: impl IntoIterator<Item = T>) -> Self {
        self.signing_secrets
            .extend(secrets.into_iter().map(Into::into));
        self
    }

    /// Signs the body of every request with HMAC-SHA256 in the header of this name:
    /// `sha256=` and the signature in hexadecimal. Flux verifies this in `X-Signature`
    /// (`generic-hmac`), Tekton and all that expect GitHub in `X-Hub-Signature-256`. May
    /// be called again for other headers, but not for those that a delivery has anyway, such
    /// as `Content-Type`. The secret is any text that is not empty, and is shown nowhere.
    /// Defaults to no such signature.
    ///
    /// Unlike [`sign`](Self::sign), this covers no time: somebody who has recorded a
    /// request can send it again.
    pub fn sign_hmac(mut self, header: impl Into<String>, secret: impl Into<String>) -> Self {
        self.hmac_signatures.push((header.into(), secret.into()));
        self
    }
}
