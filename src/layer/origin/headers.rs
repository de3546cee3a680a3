//! The end-to-end headers of a request: [`EndToEnd`].

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The number of bytes of `Connection` that are searched. If it is longer, every
/// header counts as named, so that a long list cannot make each lookup expensive.
const CONNECTION_LIMIT: usize = 8 << 10;

/// The headers of a request except those that its `Connection` names.
///
/// A proxy between the client and the registry removes what `Connection` names
/// (RFC 9110, section 7.6.1), so the registry may never see it: a client that
/// sends `Connection: Authorization` is anonymous to the registry, whatever its
/// `Authorization` says. The layer changes no headers, but ignores these.
#[derive(Clone, Copy)]
pub(in crate::layer) struct EndToEnd<'a> {
    headers: &'a HeaderMap,
    connection: Connection,
}

/// The headers that `Connection` lists.
#[derive(Clone, Copy)]
enum Connection {
    Nothing,
    /// Those that a search of it finds.
    Listed,
    /// All, because it is too long to be searched.
    Everything,
}

/// The value of a header that must not occur more than once.
#[derive(Clone, Copy)]
pub(in crate::layer) enum Single<'a> {
    Absent,
    Value(&'a HeaderValue),
    /// Repeated, or named by `Connection`: the registry may see another value
    /// than the layer, or none.
    Unclear,
}

impl<'a> EndToEnd<'a> {
    pub(in crate::layer) fn of(headers: &'a HeaderMap) -> Self {
        // HTTP/2 has no `Connection`, so most requests have nothing to search.
        let values = headers.get_all(&CONNECTION).iter();
        let connection = match values.map(HeaderValue::len).sum() {
            0 => Connection::Nothing,
            1..=CONNECTION_LIMIT => Connection::Listed,
            _ => Connection::Everything,
        };
        Self {
            headers,
            connection,
        }
    }

    /// Whether `Connection` names the header.
    fn is_hop_by_hop(self, name: &HeaderName) -> bool {
        match self.connection {
            Connection::Nothing => false,
            Connection::Everything => true,
            Connection::Listed => {
                let values = self.headers.get_all(CONNECTION).iter();
                let mut names = values.flat_map(|it| it.as_bytes().split(|byte| *byte == b','));
                let wanted = name.as_str().as_bytes();
                names.any(|it| it.trim_ascii().eq_ignore_ascii_case(wanted))
            }
        }
    }

    /// Returns all values of a header, in order.
    pub(super) fn all(
        self,
        name: &HeaderName,
    ) -> impl DoubleEndedIterator<Item = &'a HeaderValue> + use<'a> {
        let values = self.headers.get_all(name).iter();
        // `Connection` is searched only for headers that are there.
        let seen = values.size_hint() != (0, Some(0)) && !self.is_hop_by_hop(name);
        seen.then_some(values).into_iter().flatten()
    }

    /// Returns the first value, which is the one that Go uses. For headers whose
    /// repetition does no harm.
    pub(super) fn first(self, name: &HeaderName) -> Option<&'a HeaderValue> {
        let value = self.headers.get(name)?;
        Some(value).filter(|_| !self.is_hop_by_hop(name))
    }

    /// Returns the value of a header that must not occur more than once.
    pub(in crate::layer) fn single(self, name: &HeaderName) -> Single<'a> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Single::Absent,
            (Some(value), None) if !self.is_hop_by_hop(name) => Single::Value(value),
            _ => Single::Unclear,
        }
    }
}

impl<'a> Single<'a> {
    /// Returns the value if it occurs once and is visible ASCII and spaces.
    pub(in crate::layer) fn text(self) -> Option<&'a str> {
        match self {
            Self::Value(value) => value.to_str().ok(),
            Self::Absent | Self::Unclear => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, HOST};

    use super::*;

    fn headers(given: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |it: &str| HeaderValue::from_str(it).unwrap();
        let given = given.iter();
        given.map(|(name, it)| (name.clone(), value(it))).collect()
    }

    #[test]
    fn headers_that_connection_names_are_not_seen() {
        let long = "x".repeat(CONNECTION_LIMIT + 1);
        for (connection, seen) in [
            (&["keep-alive"][..], true),
            (&[], true),
            (&["Authorization"], false),
            (&["close, aUTHORIZATION\t,"], false),
            (&["close", "authorization"], false),
            (&["author ization", "authorization-x;"], true),
            (&[&*long], false),
        ] {
            let mut headers = headers(&[(AUTHORIZATION, "Basic x")]);
            for value in connection {
                headers.append(CONNECTION, value.parse().unwrap());
            }
            let view = EndToEnd::of(&headers);
            assert_eq!(view.first(&AUTHORIZATION).is_some(), seen, "{connection:?}");
            assert_eq!(view.all(&AUTHORIZATION).count(), usize::from(seen));
            let single = view.single(&AUTHORIZATION);
            assert_eq!(matches!(single, Single::Value(_)), seen);
            assert_eq!(matches!(single, Single::Unclear), !seen);
            assert!(matches!(view.single(&HOST), Single::Absent));
        }
    }

    #[test]
    fn a_repeated_header_is_unclear() {
        let twice = headers(&[(HOST, "a"), (HOST, "a")]);
        let view = EndToEnd::of(&twice);
        assert!(matches!(view.single(&HOST), Single::Unclear));
        assert_eq!(view.first(&HOST).unwrap(), "a");
        assert_eq!(view.single(&HOST).text(), None);
    }
}
