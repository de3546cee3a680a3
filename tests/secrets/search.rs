//! Finds a secret in whatever it was turned into.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

pub(crate) struct Secret {
    name: &'static str,
    forms: Vec<String>,
}

impl Secret {
    pub(crate) fn new(name: &'static str, secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        assert!(secret.len() >= 4, "{name} would be found by chance");
        let text = String::from_utf8_lossy(secret).into_owned();
        let mut forms = vec![
            secret.to_vec(),
            text.clone().into_bytes(),
            text.to_lowercase().into_bytes(),
            unquoted(&format!("{text:?}")),
            unquoted(&serde_json::to_string(&text).unwrap()),
            unquoted(&format!("{:?}", secret.escape_ascii().to_string())),
            secret.escape_ascii().to_string().into_bytes(),
            percent_encode(secret, NON_ALPHANUMERIC)
                .to_string()
                .into_bytes(),
            secret
                .iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect(),
            // As the bytes of a Vec or array are shown.
            unbracketed(&format!("{secret:?}")),
        ];
        if let Ok(value) = http::HeaderValue::from_bytes(secret) {
            forms.push(unquoted(&format!("{value:?}")));
        }
        forms.extend((0..3).flat_map(|shift| base64(secret, shift)));
        // What is no text is not in a text.
        let forms = forms
            .into_iter()
            .filter_map(|form| String::from_utf8(form).ok());
        let forms = forms.collect();
        Self { name, forms }
    }

    fn is_in(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form))
    }
}

/// What does not change in the base64 of any text that has the secret in it,
/// after so many bytes of others.
fn base64(secret: &[u8], shift: usize) -> Vec<Vec<u8>> {
    let text = [vec![0; shift], secret.to_vec()].concat();
    let whole = text.len() / 3 * 4;
    let start = shift.div_ceil(3) * 4;
    [STANDARD.encode(&text), URL_SAFE.encode(&text)]
        .map(|base64| base64.as_bytes()[start..whole].to_vec())
        .into_iter()
        .filter(|form| form.len() >= 8)
        .collect()
}

fn unquoted(text: &str) -> Vec<u8> {
    text.as_bytes()[1..text.len() - 1].to_vec()
}

use unquoted as unbracketed;

pub(crate) struct Secrets(pub(crate) Vec<Secret>);

impl Secrets {
    /// The first of them that is in the text.
    pub(crate) fn found_in(&self, text: &str) -> Option<&'static str> {
        let mut found = self.0.iter().filter(|secret| secret.is_in(text));
        found.next().map(|secret| secret.name)
    }

    pub(crate) fn assert_none_in(&self, what: &str, text: &str) {
        if let Some(name) = self.found_in(text) {
            panic!("{what} shows the {name}: {text}");
        }
    }
}

#[test]
fn a_secret_is_found_in_all_its_forms() {
    let secret = r#"a "hush" ß\7"#;
    let secrets = Secrets(vec![Secret::new("it", secret)]);
    for shown in [
        secret.to_owned(),
        format!("x{secret}y"),
        format!("{secret:?}"),
        format!("{:?}", secret.as_bytes()),
        format!("{:?}", http::HeaderValue::from_str(secret).unwrap()),
        format!("{:?}", bytes::Bytes::from(secret)),
        serde_json::json!({ "a": secret }).to_string(),
        STANDARD.encode(secret),
        STANDARD.encode(format!("me:{secret}")),
        STANDARD.encode(format!("you:{secret}!")),
        URL_SAFE.encode(format!("them:{secret}!")),
        format!(
            "http://{}@h",
            percent_encode(secret.as_bytes(), NON_ALPHANUMERIC)
        ),
    ] {
        assert_eq!(secrets.found_in(&shown), Some("it"), "{shown}");
    }
    assert_eq!(secrets.found_in("hush"), None);
}
