//! Protects the page from other sites in the operator's browser: [`Guard`].

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const ADMIN: HeaderName = HeaderName::from_static("x-notifications-admin");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Protects the page from other sites that are open in the same browser.
///
/// There is no login: anyone who can reach the address may read the page and, with
/// `--admin`, make changes. The operator's browser can reach it, so any site that the
/// browser shows could try the following attacks:
///
/// - DNS rebinding: a site lets its own name resolve to this address, and then counts as
///   the same origin. Its requests still carry that name in `Host`, so only IP addresses,
///   `localhost` and the name in `--page` are served.
/// - Cross-site changes: every change needs a custom header, which a browser sends to
///   another origin only after a preflight request, and those are never allowed here. If
///   `Sec-Fetch-Site` or `Origin` is present, it must name this origin.
/// - Cross-site reads: the browser hides the response, but the other site could occupy all
///   streams of events, or measure how long responses take. It may therefore only link to
///   the page.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Whether changes are allowed.
    pub(crate) writable: bool,
    /// The host name of `--page`, under which the page is served as well.
    pub(crate) name: Option<String>,
    /// The `Content-Security-Policy` of all responses.
    pub(crate) policy: HeaderValue,
}

impl Guard {
    /// Returns the status and message of a request that is refused, or `None` if it is
    /// allowed.
    fn refusal(&self, request: &Request) -> Option<(StatusCode, String)> {
        let Some(host) = host(request) else {
            let message = "the request names no host, or several";
            return Some((StatusCode::BAD_REQUEST, message.into()));
        };
        if !self.is_ours(&host) {
            let name = host.host();
            let message = format!(
                "not served under the name {name}: open it by its IP address, or start with --page {name}:PORT"
            );
            return Some((StatusCode::FORBIDDEN, message));
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            if is_of_another_site(request.headers()) {
                let message = "refused: the request comes from another site";
                return Some((StatusCode::FORBIDDEN, message.into()));
            }
            return None;
        }
        if !self.writable {
            let message = "read-only: start with --admin to allow changes";
            return Some((StatusCode::FORBIDDEN, message.into()));
        }
        if !is_same_origin(request.headers(), &host) {
            let message =
                "refused: changes need the header x-notifications-admin: 1 and the same origin";
            return Some((StatusCode::FORBIDDEN, message.into()));
        }
        None
    }

    fn is_ours(&self, host: &Authority) -> bool {
        let name = host.host();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self
                .name
                .as_deref()
                .is_some_and(|own| own.eq_ignore_ascii_case(name))
    }

    fn protect(&self, headers: &mut HeaderMap) {
        let fixed = |value| HeaderValue::from_static(value);
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
        headers.insert(X_FRAME_OPTIONS, fixed("DENY"));
        headers.insert(REFERRER_POLICY, fixed("no-referrer"));
        headers.insert(RESOURCE_POLICY, fixed("same-origin"));
        headers.insert(CACHE_CONTROL, fixed("no-store"));
    }
}

/// Returns the host of a request, or `None` if it names none or several.
fn host(request: &Request) -> Option<Authority> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let stated = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok()?.parse::<Authority>().ok()?),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    // In HTTP/2 it is part of the URL.
    let host = stated.or_else(|| request.uri().authority().cloned())?;
    (!host.as_str().contains('@')).then_some(host)
}

/// Whether the browser says that a script or element of another site made the request. A
/// link that the user followed does not count.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let is = |name: &HeaderName, value: &str| headers.get_all(name).iter().any(|it| it == value);
    let another = is(&SITE, "cross-site") || is(&SITE, "same-site");
    another && !is(&MODE, "navigate")
}

fn is_same_origin(headers: &HeaderMap, host: &Authority) -> bool {
    let mut sites = headers.get_all(SITE).iter();
    let mut origins = headers.get_all(ORIGIN).iter();
    let is_host = |origin: &HeaderValue| {
        // `https` if a proxy in front of this server terminates TLS.
        let ours = |scheme: &str| origin == &format!("{scheme}://{host}");
        ours("http") || ours("https")
    };
    headers.contains_key(ADMIN) && sites.all(|site| site == "same-origin") && origins.all(is_host)
}

/// Middleware that applies the guard. It is around everything but `/metrics`.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match guard.refusal(&request) {
        Some((status, message)) => (status, message).into_response(),
        None => next.run(request).await,
    };
    guard.protect(response.headers_mut());
    response
}
