use std::time::SystemTime;

use http::{HeaderName, HeaderValue};

pub(crate) struct Signer;

impl Signer {
    pub(crate) fn new(_secrets: &[String]) -> Result<Self, usize> {
        // Not built yet.
        Err(1)
    }

    pub(crate) fn sign(&self, _: &str, _: SystemTime, _: &[u8]) -> [(HeaderName, HeaderValue); 0] {
        []
    }
}
