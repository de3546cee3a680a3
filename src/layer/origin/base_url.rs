//! What the URLs in events begin with: [`BaseUrl`].

use http::Uri;

use super::forwarded::{Client, Stated};
use super::omitted::{Fact, Omitted};
use crate::error::BuildError;
use crate::host::is_valid_in_url;
use crate::redact::{split_user_info, without_user_info};

/// The start of the URLs in events: everything before their `/v2/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseUrl(Base);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Base {
    #[default]
    FromRequest,
    /// The path between the requested host and `/v2/`, without a slash at the end.
    FromRequestBelow(String),
    /// Without a slash at the end; empty for relative URLs.
    Fixed(String),
}

impl BaseUrl {
    /// Uses the scheme and host that the client requested, as the reference does.
    /// This is the default.
    ///
    /// URLs are relative (`/v2/<name>/…`) if a request names no host, or if scheme
    /// and host do not make a valid `http` or `https` URL.
    pub fn from_request() -> Self {
        Self(Base::FromRequest)
    }

    /// Uses the scheme and host that the client requested, and this path before
    /// `/v2/`, for example `/registry`. Use it for a layer inside a router that removes
    /// the path, like axum's `nest_service`.
    ///
    /// # Errors
    ///
    /// If the path does not begin with a slash, is not a valid URL path, or has a query
    /// or a fragment.
    pub fn from_request_below(path: &str) -> Result<Self, BuildError> {
        let is_valid = |uri: &Uri| uri.path() == path && path.starts_with('/');
        match path.parse::<Uri>() {
            Ok(uri) if is_valid(&uri) => Ok(Self(Base::FromRequestBelow(
                path.trim_end_matches('/').into(),
            ))),
            _ => Err(BuildError::new(
                "path of the base URL",
                path,
                "write the path that the router removes, like /registry",
            )),
        }
    }

    /// Uses this URL, for example `https://registry.example.com`.
    ///
    /// # Errors
    ///
    /// If the URL is not `http` or `https`, has no valid host, or has user info, a
    /// query or a fragment.
    pub fn fixed(url: &str) -> Result<Self, BuildError> {
        let is_valid = |uri: &Uri| {
            scheme(uri.scheme_str().unwrap_or_default()).is_some()
                && uri.query().is_none()
                && uri.authority().is_some_and(|it| {
                    let (user_info, host) = split_user_info(it.as_str());
                    user_info.is_none() && is_valid_in_url(host)
                })
                && !url.contains('#')
        };
        match url.parse::<Uri>() {
            Ok(uri) if is_valid(&uri) => Ok(Self(Base::Fixed(url.trim_end_matches('/').into()))),
            _ => Err(BuildError::new(
                "base URL",
                without_user_info(url),
                "write scheme, host and at most a path, like https://registry.example.com",
            )),
        }
    }

    /// Makes URLs relative, without scheme and host: `/v2/<name>/…`.
    pub fn relative() -> Self {
        Self(Base::Fixed(String::new()))
    }

    /// Returns what the URLs of a request's events begin with, in three parts: what is
    /// before the host, the host, and the rest. `path` is the part of the request's path
    /// before `/v2/`.
    pub(super) fn of<'a>(
        &'a self,
        requested: Requested<'a>,
        client: &'a Client<'_>,
        path: &'a str,
        omitted: &mut Omitted,
    ) -> [&'a str; 3] {
        let path = match &self.0 {
            Base::FromRequest => path,
            Base::FromRequestBelow(path) => path,
            Base::Fixed(base) => return [base, "", ""],
        };
        // Where a proxy's statement cannot be read, the URL is relative. The request's
        // own host must not replace it: it names the proxy's upstream, not the host
        // that the client knows.
        let scheme = match &client.scheme {
            Stated::Nothing => requested.scheme,
            Stated::Value(proto) => scheme(proto),
            Stated::Unclear => None,
        };
        let host = match &client.host {
            Stated::Nothing => requested.host,
            Stated::Value(host) => Some(&**host),
            Stated::Unclear => None,
        };
        match scheme.zip(host.filter(|host| is_valid_in_url(host))) {
            Some(("https", host)) => ["https://", host, path],
            Some((_, host)) => ["http://", host, path],
            None => {
                omitted.add(Fact::BaseUrl);
                ["", "", path]
            }
        }
    }
}

/// Scheme and host that a request itself names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requested<'a> {
    scheme: Option<&'static str>,
    host: Option<&'a str>,
}

impl<'a> Requested<'a> {
    /// `https` is whether this server speaks TLS itself. Over HTTP/2 a client may
    /// send any scheme, even an empty one.
    pub(super) fn new(uri: &Uri, https: bool, host: Option<&'a str>) -> Self {
        let scheme = match uri.scheme_str() {
            _ if https => Some("https"),
            Some(other) => scheme(other),
            None => Some("http"),
        };
        Self { scheme, host }
    }
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"]
        .into_iter()
        .find(|it| it.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: &str = "/v2/a/blobs/sha256:1";

    fn url(uri: &str, https: bool, client: &Client<'_>) -> (String, bool) {
        let uri: Uri = uri.parse().unwrap();
        let requested = Requested::new(&uri, https, Some("h:5000"));
        let mut omitted = Omitted::default();
        let from_request = BaseUrl::from_request();
        let base = from_request
            .of(requested, client, "/m", &mut omitted)
            .concat();
        let relative = omitted.has(Fact::BaseUrl);
        (format!("{base}{BLOB}"), relative)
    }

    #[test]
    fn a_url_has_the_scheme_of_the_request_if_it_is_http_or_https() {
        let relative = format!("/m{BLOB}");
        let with = |base: &str| format!("{base}/m{BLOB}");
        for (uri, https, wanted) in [
            ("/", false, with("http://h:5000")),
            ("/", true, with("https://h:5000")),
            ("https://a/", false, with("https://h:5000")),
            ("HTTPS://a/", false, with("https://h:5000")),
            ("ftp://a/", false, relative.clone()),
            ("ftp://a/", true, with("https://h:5000")),
        ] {
            let is_relative = wanted == relative;
            let given = url(uri, https, &Client::default());
            assert_eq!(given, (wanted, is_relative), "{uri}");
        }
        let mut empty = http::uri::Parts::default();
        empty.scheme = Some(http::uri::Scheme::try_from("").unwrap());
        empty.authority = Some("a".parse().unwrap());
        empty.path_and_query = Some("/".parse().unwrap());
        let uri = Uri::from_parts(empty).unwrap();
        assert_eq!(Requested::new(&uri, false, None).scheme, None);
    }

    #[test]
    fn a_url_has_the_scheme_and_host_that_proxies_state_or_is_relative() {
        let this = |text: &'static str| Stated::Value(text.into());
        let own = "http://h:5000/m";
        for (scheme, host, wanted) in [
            (this("https"), this("r.example:1"), "https://r.example:1/m"),
            (this("HTTP"), Stated::Nothing, own),
            (Stated::Nothing, this("[::1]:5"), "http://[::1]:5/m"),
            (this("ftp"), Stated::Nothing, "/m"),
            (this(""), Stated::Nothing, "/m"),
            (this("https://x"), Stated::Nothing, "/m"),
            (Stated::Unclear, this("r"), "/m"),
            (Stated::Nothing, Stated::Unclear, "/m"),
            (Stated::Nothing, this(""), "/m"),
            (Stated::Nothing, this("a b"), "/m"),
            (Stated::Nothing, this("a/b"), "/m"),
            (Stated::Nothing, this("me:secret@r"), "/m"),
            (Stated::Nothing, this("\"r"), "/m"),
        ] {
            let client = Client {
                address: None,
                scheme,
                host,
            };
            let given = url("/", false, &client);
            let wanted = (format!("{wanted}{BLOB}"), wanted == "/m");
            assert_eq!(given, wanted, "{client:?}");
        }
    }
}
