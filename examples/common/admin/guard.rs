//! Who may see the page, and who may change something: [`Guard`].

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

/// Protects the page against other sites that the same browser has open.
///
/// Nobody logs in here: whoever reaches the address may look, and with `--admin`
/// act. A browser on that network reaches it too, whatever site it shows.
///
/// - DNS rebinding: a site can let its own name resolve to this address and then
///   counts as the same origin. Its requests still carry its name. So only IP
///   addresses, `localhost` and the name in `--page` are served.
/// - Cross-site requests: a change needs a header that a browser sends to another
///   origin only after asking, which is never allowed here. Where the browser says
///   from which site or origin a request comes, it must be this one.
/// - Another site cannot read what it asks for, but could hold all streams of events
///   open, or time the responses: it may only link to the page.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Whether changes are allowed.
    pub(crate) writable: bool,
    /// A name that the page is served under.
    pub(crate) name: Option<String>,
    pub(crate) policy: HeaderValue,
}

impl Guard {
    /// Why a request is refused, if it is.
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
                let message = "refused: another site asks for it";
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
                "refused: a change needs the header x-notifications-admin: 1, from no other site";
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

/// The host that a request is for, if it names exactly one.
fn host(request: &Request) -> Option<Authority> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let stated = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok()?.parse::<Authority>().ok()?),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    // HTTP/2 has it in the URL.
    let host = stated.or_else(|| request.uri().authority().cloned())?;
    (!host.as_str().contains('@')).then_some(host)
}

/// Whether a script or an element of another site wants it, as browsers say. A link
/// that somebody follows does not count.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let is = |name: &HeaderName, value: &str| headers.get_all(name).iter().any(|it| it == value);
    let another = is(&SITE, "cross-site") || is(&SITE, "same-site");
    another && !is(&MODE, "navigate")
}

fn is_same_origin(headers: &HeaderMap, host: &Authority) -> bool {
    let mut sites = headers.get_all(SITE).iter();
    let mut origins = headers.get_all(ORIGIN).iter();
    let is_host = |origin: &HeaderValue| {
        // `https` where a proxy before this server speaks TLS.
        let ours = |scheme: &str| origin == &format!("{scheme}://{host}");
        ours("http") || ours("https")
    };
    headers.contains_key(ADMIN) && sites.all(|site| site == "same-origin") && origins.all(is_host)
}

/// The middleware around everything but `/metrics`.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match guard.refusal(&request) {
        Some((status, message)) => (status, message).into_response(),
        None => next.run(request).await,
    };
    guard.protect(response.headers_mut());
    response
}
