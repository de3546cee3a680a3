//! What must not come back: a receiver or a client may repeat what it was sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

/// What is shorter could be any word.
const SHORTEST: usize = 4;
/// Words of an `Authorization` that are no secrets.
const SCHEMES: [&str; 2] = ["basic", "bearer"];

/// The secrets of an endpoint's requests, in the forms that they may come back
/// in: values of headers, their words, and what is in a Basic authorization.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// The secrets of requests with these headers to this URL, whose user info
    /// may be encoded.
    pub(super) fn new(headers: &HeaderMap, url: &str) -> Self {
        let mut secrets = Vec::new();
        for value in headers.values().filter(|value| value.is_sensitive()) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            for word in value.split_ascii_whitespace() {
                secrets.push(word.to_owned());
                let decoded = STANDARD.decode(word).ok();
                if let Some(pair) = decoded.and_then(|it| String::from_utf8(it).ok()) {
                    secrets.extend(halves(&pair));
                }
            }
            secrets.push(value);
        }
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        if let Some((user_info, _)) = rest.rsplit_once('@') {
            secrets.extend(halves(user_info));
        }
        let known = |secret: &str| SCHEMES.iter().any(|it| it.eq_ignore_ascii_case(secret));
        secrets.retain(|secret| secret.len() >= SHORTEST && !known(secret));
        // The whole before its parts.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    /// The text with `…` in place of each secret.
    pub(super) fn hide(&self, mut text: String) -> String {
        for secret in &self.0 {
            if text.contains(secret) {
                text = text.replace(secret, "…");
            }
        }
        text
    }

    /// The same for a text that may end in the middle of a secret.
    pub(super) fn hide_cut(&self, mut text: String) -> String {
        // Perhaps a character was cut too.
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        let begun = |secret: &String| {
            let ends = SHORTEST..=secret.len();
            { ends }
                .rev()
                .find(|end| secret.get(..*end).is_some_and(|it| whole.ends_with(it)))
        };
        if let Some(length) = self.0.iter().filter_map(begun).max() {
            text.truncate(whole.len() - length);
            text.push('…');
        }
        self.hide(text)
    }
}

/// `name:password`, and each of them.
fn halves(pair: &str) -> impl Iterator<Item = String> {
    let (name, password) = pair.split_once(':').unwrap_or((pair, ""));
    [pair, name, password].map(str::to_owned).into_iter()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{AUTHORIZATION, COOKIE};

    use super::*;

    fn secrets() -> Secrets {
        let url = "http://someone:hu%73h@h/p";
        let (_, authorization) = crate::endpoint::target(url).unwrap();
        let mut headers = HeaderMap::from_iter([(AUTHORIZATION, authorization.unwrap())]);
        let mut token = HeaderValue::from_bytes("Bearer tökén-of-mine".as_bytes()).unwrap();
        token.set_sensitive(true);
        headers.append(AUTHORIZATION, token);
        headers.append(COOKIE, HeaderValue::from_static("known"));
        Secrets::new(&headers, url)
    }

    #[test]
    fn secrets_are_hidden_in_all_their_forms() {
        let secrets = secrets();
        let hidden = |text: &str| secrets.hide(text.into());
        assert_eq!(
            hidden("no hash, my known friend"),
            "no hash, my known friend"
        );
        for (text, shown) in [
            ("<Basic c29tZW9uZTpodXNo>", "<…>"),
            ("is c29tZW9uZTpodXNo valid?", "is … valid?"),
            ("password hush of someone", "password … of …"),
            ("someone:hush@h", "…@h"),
            ("http://someone:hu%73h@h/p", "http://…@h/p"),
            ("Bearer tökén-of-mine, tökén-of-mine", "…, …"),
        ] {
            assert_eq!(hidden(text), shown, "{text}");
        }
    }

    #[test]
    fn a_secret_that_was_cut_is_hidden_too() {
        let secrets = secrets();
        let hidden = |bytes: &[u8]| secrets.hide_cut(String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(hidden("got tökén-of-m".as_bytes()), "got …");
        assert_eq!(hidden("got tökén-of-mine".as_bytes()), "got …");
        assert_eq!(
            hidden(&"got tökén".as_bytes()[.."got tök".len() + 1]),
            "got …"
        );
        assert_eq!(hidden(b"got Bearer t"), "got …");
        assert_eq!(hidden(b"got Bea"), "got Bea");
        assert_eq!(hidden(b"someone:hus"), "…");
    }
}
