//! The parameters of a request, read as Go's `net/url` reads them.

use std::borrow::Cow;
use std::collections::HashSet;

use percent_encoding::percent_decode;

/// The parameters of an upload, from the query or from a form body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::layer) struct UploadParameters {
    pub(in crate::layer) digest: Parameter,
    pub(in crate::layer) mount: Parameter,
    pub(in crate::layer) from: Parameter,
}

/// What a request says of one parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::layer) enum Parameter {
    /// Absent, or empty.
    #[default]
    Absent,
    Is(String),
    /// Given more than once with different values. Go takes the first, other
    /// frameworks take the last, so that a client could make the event tell another
    /// story than the registry.
    Unclear,
}

impl Parameter {
    pub(in crate::layer) fn is_given(&self) -> bool {
        *self != Self::Absent
    }

    /// Returns the value, if it is clear.
    pub(in crate::layer) fn value(&self) -> Option<&str> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Unclear => None,
        }
    }

    /// Returns the value that query and form body give together. `None` if they
    /// contradict each other: registries disagree about which one counts.
    pub(in crate::layer) fn agreed<'a>(query: &'a Self, form: &'a Self) -> Option<&'a str> {
        match (query, form) {
            (Self::Absent, other) | (other, Self::Absent) => other.value(),
            (query, form) => query.value().filter(|_| query == form),
        }
    }
}

impl UploadParameters {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(in crate::layer) fn parse(text: &[u8]) -> Self {
        let mut values = Values::default();
        for (name, value) in pairs(text) {
            values.add(&name, value);
        }
        values.into_parameters()
    }
}

/// The values of each parameter, empty ones included.
#[derive(Default)]
pub(super) struct Values<'a> {
    digest: Value<'a>,
    mount: Value<'a>,
    from: Value<'a>,
}

impl<'a> Values<'a> {
    pub(super) fn add(&mut self, name: &str, value: Cow<'a, str>) {
        let place = match name {
            "digest" => &mut self.digest,
            "mount" => &mut self.mount,
            "from" => &mut self.from,
            _ => return,
        };
        match &place.first {
            None => place.first = Some(value),
            Some(first) => place.contradicted |= *first != value,
        }
    }

    pub(super) fn into_parameters(self) -> UploadParameters {
        UploadParameters {
            digest: self.digest.into_parameter(),
            mount: self.mount.into_parameter(),
            from: self.from.into_parameter(),
        }
    }
}

#[derive(Default)]
struct Value<'a> {
    first: Option<Cow<'a, str>>,
    contradicted: bool,
}

impl Value<'_> {
    fn into_parameter(self) -> Parameter {
        if self.contradicted {
            return Parameter::Unclear;
        }
        match self.first {
            Some(value) if !value.is_empty() => Parameter::Is(value.into_owned()),
            _ => Parameter::Absent,
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
