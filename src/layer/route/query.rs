//! The parameters of a request, read as Go's `net/url` reads them.

use std::borrow::Cow;
use std::collections::HashSet;

use percent_encoding::percent_decode;

/// The parameters of an upload, from the query or from a form body. An empty
/// value counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::layer) struct UploadParameters {
    pub(in crate::layer) digest: Option<String>,
    pub(in crate::layer) mount: Option<String>,
    pub(in crate::layer) from: Option<String>,
}

impl UploadParameters {
    /// Reads `application/x-www-form-urlencoded` text. As in Go, the first
    /// value of a name counts.
    pub(in crate::layer) fn parse(text: &[u8]) -> Self {
        let mut first = FirstValues::default();
        for (name, value) in pairs(text) {
            first.add(&name, value);
        }
        first.into_parameters()
    }
}

/// The first value of each parameter, empty ones included.
#[derive(Default)]
pub(super) struct FirstValues<'a> {
    digest: Option<Cow<'a, str>>,
    mount: Option<Cow<'a, str>>,
    from: Option<Cow<'a, str>>,
}

impl<'a> FirstValues<'a> {
    pub(super) fn add(&mut self, name: &str, value: Cow<'a, str>) {
        let place = match name {
            "digest" => &mut self.digest,
            "mount" => &mut self.mount,
            "from" => &mut self.from,
            _ => return,
        };
        place.get_or_insert(value);
    }

    pub(super) fn into_parameters(self) -> UploadParameters {
        let given = |value: Option<Cow<'_, str>>| {
            let value = value.filter(|value| !value.is_empty());
            value.map(Cow::into_owned)
        };
        UploadParameters {
            digest: given(self.digest),
            mount: given(self.mount),
            from: given(self.from),
        }
    }
}

/// Returns the `tag` parameters in order, each once. Their number is bounded
/// by the length of a URI.
pub(super) fn tags(query: &[u8]) -> Vec<String> {
    let mut seen = HashSet::new();
    pairs(query)
        .filter(|(name, value)| name == "tag" && !value.is_empty())
        .filter(|(_, value)| seen.insert(value.clone()))
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// Whether any registry would find a `digest` in the query, including one that
/// separates pairs at `;`, decodes leniently or takes the last value. A missed one
/// would be a push without an event. Does not allocate.
pub(super) fn has_digest(query: &[u8]) -> bool {
    query.split(|byte| matches!(byte, b'&' | b';')).any(|pair| {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            return false;
        };
        at + 1 < pair.len() && percent_decode(&pair[..at]).eq(b"digest".iter().copied())
    })
}

/// Returns the pairs of `application/x-www-form-urlencoded` text. As in Go, a
/// pair that is malformed or contains `;` is skipped, so that the next one with
/// its name counts.
fn pairs(text: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let is_encoded = |escape: &[u8]| {
        let digits = escape.get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    text.split(|byte| *byte == b'&')
        .filter(move |pair| {
            let mut escapes = pair.split(|byte| *byte == b'%').skip(1);
            !pair.contains(&b';') && escapes.all(is_encoded)
        })
        .flat_map(form_urlencoded::parse)
}
