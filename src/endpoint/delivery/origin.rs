//! Scheme, host and port that a connection leads to: [`Origin`].

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use tower::BoxError;

/// Scheme, host and port of a URL. A layer may have replaced the endpoint's.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    scheme: Scheme,
    authority: Authority,
    /// The `Host` header.
    host: HeaderValue,
}

impl Origin {
    /// # Errors
    ///
    /// If the URL has no scheme and host.
    pub(super) fn of(url: &Uri) -> Result<Self, BoxError> {
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err("the URL has no scheme and host".into());
        };
        let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != usual => format!("{}:{port}", authority.host()),
            _ => authority.host().to_owned(),
        };
        Ok(Self {
            scheme: scheme.clone(),
            authority: authority.clone(),
            host: HeaderValue::from_maybe_shared(Bytes::from(host))?,
        })
    }

    pub(super) fn is_of(&self, url: &Uri) -> bool {
        // The usual case is the endpoint's own URL, which shares its bytes.
        let same = |it: &Authority| std::ptr::eq(it.as_str(), self.authority.as_str());
        let is_ours = |it: &Authority| same(it) || *it == self.authority;
        url.scheme() == Some(&self.scheme) && url.authority().is_some_and(is_ours)
    }

    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// The URL that a connector is given.
    pub(super) fn url(&self) -> Uri {
        let url = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::from_static("/"));
        // All three are there, and valid.
        url.build().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_has_a_port_only_if_it_is_not_the_usual_one() {
        for (url, host) in [
            ("http://h/p?q", "h"),
            ("http://h:80/", "h"),
            ("http://h:443/", "h:443"),
            ("https://h:443/", "h"),
            ("https://[::1]:8443/", "[::1]:8443"),
            ("http://me:hush@h:8080/", "h:8080"),
        ] {
            let url: Uri = url.parse().unwrap();
            let origin = Origin::of(&url).unwrap();
            assert_eq!(origin.host(), host, "{url}");
            assert!(origin.is_of(&url) && origin.is_of(&origin.url()));
        }
        assert!(Origin::of(&Uri::from_static("/p")).is_err());
    }
}
