//! The actor in the credentials of a request.
//!
//! Only names are taken, never passwords or tokens, and only if every registry
//! would read the same name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use serde::Deserialize;

use super::headers::{EndToEnd, Single};
use super::omitted::{Fact, Omitted};
use crate::basic_auth;

/// The length in bytes of the longest credentials that are read. Tokens often have a
/// few thousand bytes.
const CREDENTIALS_LIMIT: usize = 64 << 10;
/// The length in bytes of the longest name and password that are decoded without an
/// allocation.
const USUAL_PAIR: usize = 256;
/// Length of the longest name that an event takes from a request, in bytes.
const NAME_LIMIT: usize = 1 << 10;

/// Which credentials name the actor of a request that succeeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credentials {
    pub(super) basic: bool,
    pub(super) bearer: bool,
}

impl Credentials {
    /// Returns the name in the `Authorization` of the request.
    ///
    /// There is none if the registry might read the header differently: it may
    /// have served the request as anonymous, or as another user.
    pub(super) fn name(self, headers: EndToEnd<'_>, omitted: &mut Omitted) -> Option<String> {
        if !self.basic && !self.bearer {
            return None;
        }
        let name = match headers.single(&AUTHORIZATION) {
            Single::Absent => return None,
            Single::Unclear => None,
            Single::Value(value) if value.len() > CREDENTIALS_LIMIT => None,
            Single::Value(value) => value.to_str().ok().map(|value| self.read(value)),
        };
        match name {
            Some(Identity::Nobody) => None,
            Some(Identity::Name(name)) => Some(name),
            Some(Identity::Unclear) | None => {
                omitted.add(Fact::Actor);
                None
            }
        }
    }

    fn read(self, authorization: &str) -> Identity {
        if let Some(credentials) = basic_auth::credentials(authorization) {
            return match basic_name(credentials) {
                _ if !self.basic => Identity::Nobody,
                Some(name) if name.is_empty() => Identity::Nobody,
                Some(name) => Identity::Name(name),
                None => Identity::Unclear,
            };
        }
        match authorization.split_once(' ') {
            Some((scheme, token)) if self.bearer && scheme.eq_ignore_ascii_case("bearer") => {
                match subject(token) {
                    // Tokens of anonymous clients have an empty subject, as specified.
                    Some(subject) if subject.is_empty() => Identity::Nobody,
                    Some(subject) => Identity::Name(subject),
                    None => Identity::Unclear,
                }
            }
            _ => Identity::Nobody,
        }
    }
}

/// The user that credentials name.
enum Identity {
    Name(String),
    /// No user, or a kind of credentials that is not read.
    Nobody,
    /// The registry might read another name.
    Unclear,
}

/// Returns the user name of Basic authentication, never the password. Copies
/// the name, so that no password stays behind it in memory.
fn basic_name(credentials: &str) -> Option<String> {
    let mut buffer = [0; USUAL_PAIR];
    let decoded;
    let pair = match basic_auth::decode_into(credentials, &mut buffer) {
        Some(pair) => pair,
        None => {
            decoded = basic_auth::decode(credentials)?;
            &decoded
        }
    };
    let name = pair.split(|byte| *byte == b':').next();
    let name = name.filter(|name| name.len() < pair.len())?;
    str::from_utf8(name)
        .ok()
        .filter(|it| is_name(it))
        .map(Into::into)
}

/// Returns the subject of a JSON Web Token. Its signature is not checked here:
/// that the registry accepted the token is all that proves it.
fn subject(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    // Anything else might be several credentials, of which the registry reads another.
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !token.bytes().all(is_part) {
        return None;
    }
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let Claims { sub } = serde_json::from_slice(&claims).ok()?;
    is_name(&sub).then_some(sub)
}

/// Whether a name is bounded and has no control characters, with which a client
/// could forge lines in the logs of a receiver.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~');
    text.len() <= NAME_LIMIT && (text.bytes().all(is_plain) || !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    const BOTH: Credentials = Credentials {
        basic: true,
        bearer: true,
    };

    /// The name, and whether it is unclear.
    fn name(credentials: Credentials, given: &[&str]) -> (Option<String>, bool) {
        let value = |it: &&str| HeaderValue::from_bytes(it.as_bytes()).unwrap();
        let given = given.iter().map(|it| (AUTHORIZATION, value(it)));
        let headers: HeaderMap = given.collect();
        let mut omitted = Omitted::default();
        let name = credentials.name(EndToEnd::of(&headers), &mut omitted);
        (name, omitted.has(Fact::Actor))
    }

    fn basic(pair: impl AsRef<[u8]>) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    fn bearer(claims: &str) -> String {
        format!("Bearer e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_name_is_read_from_credentials() {
        let long = format!("{}:{}", "n".repeat(NAME_LIMIT), "p".repeat(10_000));
        for (given, wanted) in [
            (basic("me:secret"), Some("me".to_owned())),
            (basic("mé:a:b").replace("Basic", "bAsIc"), Some("mé".into())),
            (basic(&long), Some("n".repeat(NAME_LIMIT))),
            (basic(":secret"), None),
            (bearer(r#"{"sub":"me","iss":"x"}"#), Some("me".into())),
            (bearer(r#"{"sub":""}"#), None),
            ("Bearer".into(), None),
            ("Digest username=\"me\"".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(name(BOTH, &[&given]), (wanted, false), "{given}");
        }
        assert_eq!(name(BOTH, &[]), (None, false));
    }

    #[test]
    fn credentials_that_may_be_read_differently_name_nobody() {
        let me = basic("me:secret");
        let long = basic(format!("{}:x", "n".repeat(NAME_LIMIT + 1)));
        let huge = basic(format!("me:{}", "p".repeat(CREDENTIALS_LIMIT)));
        for given in [
            &[&*me, &*me][..],
            &[&me, "Bearer x"],
            &[&format!("{me}, {me}")],
            &[&me.replace(' ', "  ")],
            &[basic("me:x").trim_end_matches('=')],
            &["Basic é"],
            &["Basic "],
            &[&basic("me")],
            &[&basic("m\ne:x")],
            &[&basic(b"m\xe9:x")],
            &[&long],
            &[&huge],
            &[&bearer(r#"{"sub":"a","sub":"b"}"#)],
            &[&bearer(r#"{"sub":7}"#)],
            &[&bearer("{}")],
            &[&bearer("junk")],
            &["Bearer opaque"],
            &["Bearer a.b.c.d"],
            &[&bearer(r#"{"sub":"me"}"#).replace(' ', "  ")],
            &[&bearer(r#"{"sub":"me"}"#).replace("e30", "x, Basic e30")],
            &[&bearer(r#"{"sub":"me"}"#).replace("sig", "sig, Basic x")],
        ] {
            assert_eq!(name(BOTH, given), (None, true), "{given:?}");
        }
    }

    #[test]
    fn credentials_of_a_kind_that_does_not_count_are_not_read() {
        let token = bearer(r#"{"sub":"me"}"#);
        for (credentials, given) in [
            (
                Credentials {
                    basic: false,
                    ..BOTH
                },
                basic("me:secret"),
            ),
            (
                Credentials {
                    bearer: false,
                    ..BOTH
                },
                token,
            ),
        ] {
            assert_eq!(name(credentials, &[&given]), (None, false));
        }
        let off = Credentials {
            basic: false,
            bearer: false,
        };
        assert_eq!(name(off, &["Basic x", "Basic y"]), (None, false));
    }
}
