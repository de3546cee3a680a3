//! Hides secrets that a receiver repeats from its requests: [`Secrets`].
//!
//! A receiver's answer goes into logs, status and dead letters. Receivers that echo a
//! request, debugging proxies above all, would put the endpoint's credentials there.

use std::collections::BTreeSet;

use http::HeaderMap;

use crate::basic_auth;
use crate::redact::user_info;

/// A part of a value of at most this many bytes is not hidden, because it may be an
/// ordinary word.
const SHORT: usize = 3;
/// Words of an `Authorization` that are not hidden.
const SCHEMES: [&str; 2] = ["basic", "bearer"];

/// Secrets that a receiver may repeat, the longest first, so that a secret that
/// contains another one is replaced as a whole.
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Returns the secrets in the sensitive headers, in every form in which they
    /// may come back: whole, word by word, Basic credentials decoded, and all of
    /// that escaped as in JSON; the user info of the URL as it is written; and these
    /// keys, which are not sent but which the receiver knows.
    pub(crate) fn of<'a>(
        headers: &HeaderMap,
        url: &str,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let values = headers.values().filter(|value| value.is_sensitive());
        let mut secrets = BTreeSet::new();
        for value in values {
            let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
            let words = value.split_whitespace().map(str::to_owned);
            let words = words.chain(basic(&value));
            secrets.extend(words.filter(|word| is_no_word(word)));
            secrets.insert(value);
        }
        secrets.extend(in_url(url).filter(|word| is_no_word(word)));
        let keys = keys.into_iter().filter(|key| is_no_word(key));
        secrets.extend(keys.map(str::to_owned));
        let in_json: Vec<_> = secrets
            .iter()
            .filter_map(|secret| in_json(secret))
            .collect();
        secrets.extend(in_json);
        secrets.remove("");
        let mut secrets: Vec<_> = secrets.into_iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// Returns at most `limit` bytes of the text, with each secret replaced by
    /// `…`. The text may have been cut at the limit before, so the beginning of a
    /// secret at its end is hidden too.
    pub(crate) fn hide(&self, mut text: String, limit: usize) -> String {
        let was_cut = text.len() >= limit;
        cut(&mut text, limit);
        for secret in &self.0 {
            if text.contains(secret) {
                text = text.replace(secret, "…");
            }
        }
        if was_cut {
            // A character that was cut in the middle ends as replacement characters.
            let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
            let cut = self.0.iter().filter_map(|secret| beginning(whole, secret));
            if let Some(at) = cut.min() {
                text.truncate(at);
                text.push('…');
            }
        }
        cut(&mut text, limit);
        text
    }
}

fn cut(text: &mut String, limit: usize) {
    let end = (0..=limit.min(text.len())).rfind(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
}

fn is_no_word(word: &str) -> bool {
    let scheme = SCHEMES.iter().any(|it| it.eq_ignore_ascii_case(word));
    word.len() > SHORT && !scheme
}

/// Returns user and password together, and the password alone, as they are written in
/// a URL.
fn in_url(url: &str) -> impl Iterator<Item = String> {
    let pair = user_info(url);
    let password = pair.and_then(|pair| pair.split_once(':'));
    let password = password.map(|(_, password)| password);
    pair.into_iter().chain(password).map(str::to_owned)
}

/// Returns user and password together, and the password alone, of Basic credentials.
fn basic(value: &str) -> impl Iterator<Item = String> {
    let pair = basic_auth::credentials(value).map(str::trim);
    let pair = pair.and_then(basic_auth::decode);
    let pair = pair.map(|pair| String::from_utf8_lossy(&pair).into_owned());
    let password = pair.as_ref().and_then(|pair| pair.split_once(':'));
    let password = password.map(|(_, password)| password.to_owned());
    pair.into_iter().chain(password)
}

/// Returns the secret as it is escaped in JSON, if that differs.
fn in_json(secret: &str) -> Option<String> {
    let json = serde_json::to_string(secret).ok()?;
    let json = json.strip_prefix('"')?.strip_suffix('"')?;
    (json != secret).then(|| json.to_owned())
}

/// Returns where the beginning of a secret starts that the text ends with.
fn beginning(text: &str, secret: &str) -> Option<usize> {
    let lengths = (SHORT + 1..secret.len()).filter(|end| secret.is_char_boundary(*end));
    let longest = lengths.rev().find(|end| text.ends_with(&secret[..*end]))?;
    Some(text.len() - longest)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderValue;
    use http::header::{AUTHORIZATION, CONTENT_TYPE};

    use super::*;

    fn secrets(value: &str) -> Secrets {
        let mut value = HeaderValue::try_from(value).unwrap();
        value.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Secrets::of(&headers, "http://me:p%C3%A4ss@h/p", ["a-key"])
    }

    #[test]
    fn a_secret_is_hidden_in_every_encoding() {
        let basic = format!("Basic {}", STANDARD.encode("me:päss\"word"));
        for (value, text, hidden) in [
            ("Bearer hush-hush", "a Bearer hush-hush b", "a … b"),
            ("Bearer hush-hush", "token=hush-hush;", "token=…;"),
            ("päss wörter", "got p\u{e4}ss wörter, wörter", "got …, …"),
            ("a\"quoted\"b", r#"{"x":"a\"quoted\"b"}"#, r#"{"x":"…"}"#),
            (&basic, r#"me:päss"word is wrong"#, "… is wrong"),
            (
                &basic,
                r#"{"password":"päss\"word"}"#,
                r#"{"password":"…"}"#,
            ),
            ("abc", "abc", "…"),
            ("", "text/plain", "text/plain"),
            ("Bearer x", "a bearer, or Bearer y", "a bearer, or Bearer y"),
            (
                "x",
                "to http://me:p%C3%A4ss@h/p, p%C3%A4ss",
                "to http://…@h/p, …",
            ),
            ("x", "not signed with a-key", "not signed with …"),
        ] {
            assert_eq!(secrets(value).hide(text.into(), 100), hidden);
        }
    }

    #[test]
    fn a_truncated_secret_is_hidden() {
        let secrets = secrets("Bearer 0123456789ä0123456789");
        let text = format!("{}Bearer 0123456789ä0123456789", "x".repeat(50));
        for limit in 0..text.len() + 10 {
            let body = &text.as_bytes()[..limit.min(text.len())];
            let hidden = secrets.hide(String::from_utf8_lossy(body).into_owned(), limit);
            assert!(!hidden.contains("0123"), "{limit}: {hidden}");
            assert!(hidden.len() <= limit, "{limit}: {hidden}");
        }
        // One that is whole ends as it likes.
        assert_eq!(secrets.hide("xxBear".into(), 100), "xxBear");
    }
}
