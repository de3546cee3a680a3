//! Reads and writes the header of Basic authentication (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// Returns the credentials of an `Authorization` header, still encoded: everything
/// after the one space that ends the scheme. `None` if the scheme is not Basic.
pub(crate) fn credentials(authorization: &str) -> Option<&str> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then_some(credentials)
}

/// Decodes credentials into name, colon and password.
pub(crate) fn decode(credentials: &str) -> Option<Vec<u8>> {
    STANDARD.decode(credentials).ok()
}

/// Decodes credentials into a buffer. `None` if they are invalid or might not fit.
pub(crate) fn decode_into<'a>(credentials: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = STANDARD.decode_slice(credentials, buffer).ok()?;
    buffer.get(..length)
}

/// Returns the `Authorization` header of a name and password, marked as sensitive so
/// that its `Debug` output hides it.
pub(crate) fn authorization(name: &[u8], password: &[u8]) -> Option<HeaderValue> {
    let pair = STANDARD.encode([name, b":", password].concat());
    let mut value = HeaderValue::try_from(["Basic ", &*pair].concat()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_events_round_trip() {
        let value = authorization("mé".as_bytes(), b"a:b").unwrap();
        assert!(value.is_sensitive());
        let pair = credentials(value.to_str().unwrap()).and_then(decode);
        assert_eq!(pair.unwrap(), "mé:a:b".as_bytes());
        assert_eq!(credentials("Bearer bWU6eA=="), None);
        assert_eq!(credentials("Basic"), None);
        assert_eq!(credentials("bAsIc bWU6eA=="), Some("bWU6eA=="));
        assert_eq!(decode(" bWU6eA=="), None);
        let mut buffer = [0; 6];
        assert_eq!(decode_into("bWU6eA==", &mut buffer), Some(&b"me:x"[..]));
        assert_eq!(decode_into(" bWU6eA==", &mut buffer), None);
        assert_eq!(decode_into("bWU6eHl6eHl6", &mut buffer), None);
    }
}
