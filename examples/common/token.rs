//! The token authentication that clients of registries use.
//!
//! The registry sends a client without a token to `/token`, which gives it one
//! for its name and password. Both sides are here and share a key, so a token is
//! a JWT with an HMAC (HS256). Most registries have a token service of their own,
//! with a key pair and a JWT crate. See
//! <https://distribution.github.io/distribution/spec/auth/token/>.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tower_registry_notifications::event::ActorRecord;

/// The only header that tokens have, so that none can choose another algorithm.
const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;
/// How long a token is valid.
const LIFETIME: Duration = Duration::from_secs(300);

/// A user who may log in.
#[derive(Clone, Debug)]
pub struct User {
    pub password: &'static str,
    /// What the user may do in every repository: `pull`, `push`, `delete`.
    pub may: &'static [&'static str],
}

/// Issues tokens, and verifies them.
pub struct Tokens {
    /// Where clients get a token, `http://host:port/token`.
    realm: String,
    /// The name of the service that issues and accepts the tokens.
    service: String,
    users: HashMap<&'static str, User>,
    key: [u8; 32],
}

/// The claims of a token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    nbf: u64,
    exp: u64,
    access: Vec<Access>,
}

/// The actions that are allowed on a resource.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Access {
    r#type: String,
    name: String,
    actions: Vec<String>,
}

impl Tokens {
    /// Makes a service with a new key.
    pub fn new(
        address: &str,
        users: HashMap<&'static str, User>,
    ) -> Result<Arc<Self>, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Arc::new(Self {
            realm: format!("http://{address}/token"),
            service: address.into(),
            users,
            key,
        }))
    }

    /// Returns the user of a request's Basic authentication.
    fn user(&self, headers: &HeaderMap) -> Option<(&'static str, &User)> {
        let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let decoded = STANDARD.decode(given.strip_prefix("Basic ")?).ok()?;
        let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let (name, user) = self.users.get_key_value(name)?;
        // Digests are compared, so that the time does not show how much is right.
        let right = Sha256::digest(user.password) == Sha256::digest(password);
        right.then_some((*name, user))
    }

    /// Returns a token for the actions that the client asks for and the user may do. It
    /// is valid from now on.
    pub fn give(
        &self,
        name: &str,
        user: &User,
        query: &str,
        now: SystemTime,
    ) -> Result<String, StatusCode> {
        let now = now.duration_since(UNIX_EPOCH);
        let now = now.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        let asked = form_urlencoded::parse(query.as_bytes());
        let scopes = asked.filter(|(name, _)| name == "scope");
        let access = scopes.flat_map(|(_, scopes)| granted(&scopes, user));
        let claims = Claims {
            iss: self.service.clone(),
            aud: self.service.clone(),
            sub: name.into(),
            nbf: now.as_secs(),
            exp: (now + LIFETIME).as_secs(),
            access: access.collect(),
        };
        let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
        let claims = serde_json::to_vec(&claims).map_err(failed)?;
        let [header, claims] =
            [HEADER.as_bytes(), &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{claims}");
        let code = self
            .code(&signed)
            .ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let code = URL_SAFE_NO_PAD.encode(code.finalize().into_bytes());
        Ok(format!("{signed}.{code}"))
    }

    /// Returns the authentication code of a token's first two parts.
    fn code(&self, signed: &str) -> Option<Hmac<Sha256>> {
        let code = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        Some(code.chain_update(signed))
    }

    /// Returns the claims of a request's token, if it is from this service and valid.
    fn claims(&self, headers: &HeaderMap) -> Option<Claims> {
        let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let token = given.strip_prefix("Bearer ")?;
        let (signed, code) = token.rsplit_once('.')?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        // The comparison takes the same time however much is right.
        self.code(signed)?.verify_slice(&code).ok()?;
        let (header, claims) = signed.split_once('.')?;
        if URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let good = claims.iss == self.service
            && claims.aud == self.service
            && (claims.nbf..claims.exp).contains(&now);
        good.then_some(claims)
    }

    /// Returns the response that tells a client where to get the token that it needs.
    fn challenge(&self, needed: &[Access], error: &str) -> Response {
        let Self { realm, service, .. } = self;
        let mut challenge = format!(r#"Bearer realm="{realm}",service="{service}""#);
        if !needed.is_empty() {
            let scopes: Vec<_> = needed.iter().map(Access::scope).collect();
            challenge += &format!(r#",scope="{}",error="{error}""#, scopes.join(" "));
        }
        let body =
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"a token is needed","detail":null}]}"#;
        let mut response = (StatusCode::UNAUTHORIZED, body).into_response();
        if let Ok(challenge) = challenge.parse() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl Access {
    fn new(name: &str, actions: &[&str]) -> Self {
        Self {
            r#type: "repository".into(),
            name: name.into(),
            actions: actions.iter().map(|action| (*action).into()).collect(),
        }
    }

    fn scope(&self) -> String {
        format!("{}:{}:{}", self.r#type, self.name, self.actions.join(","))
    }

    fn covers(&self, needed: &Self) -> bool {
        self.r#type == needed.r#type
            && self.name == needed.name
            && needed.actions.iter().all(|it| self.actions.contains(it))
    }
}

/// `repository:<name>:<action>,<action>`, several with spaces between.
fn granted(scopes: &str, user: &User) -> Vec<Access> {
    let scopes = scopes.split(' ').filter_map(|scope| {
        let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
        let mut actions: Vec<_> = actions.split(',').collect();
        actions.retain(|action| user.may.contains(action));
        Some(Access::new(name, &actions))
    });
    scopes.collect()
}

/// Returns the access that a request needs: to one repository, and for a mount to a
/// second one. `None` if that is unknown.
fn needed(method: &Method, uri: &Uri) -> Option<Vec<Access>> {
    // Decoded like the registry does.
    let path = percent_decode_str(uri.path()).decode_utf8().ok()?;
    if path.trim_end_matches('/') == "/v2" {
        return Some(Vec::new());
    }
    let inside = path.strip_prefix("/v2/")?;
    let kinds = ["/manifests/", "/blobs/", "/tags/", "/referrers/"];
    let name = inside.get(..kinds.iter().filter_map(|kind| inside.rfind(kind)).max()?)?;
    let actions = match *method {
        Method::GET | Method::HEAD => &["pull"][..],
        Method::DELETE => &["delete"],
        _ => &["pull", "push"],
    };
    let mut needed = vec![Access::new(name, actions)];
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let from = query.filter(|(parameter, _)| parameter == "from");
    needed.extend(from.map(|(_, name)| Access::new(&name, &["pull"])));
    Some(needed)
}

/// The middleware. It refuses a request without a token that allows it, and passes the
/// actor to the services inside.
pub async fn require(
    State(tokens): State<Arc<Tokens>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(needed) = needed(request.method(), request.uri()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(claims) = tokens.claims(request.headers()) else {
        return tokens.challenge(&needed, "invalid_token");
    };
    let allowed = |needed: &Access| claims.access.iter().any(|it| it.covers(needed));
    if !needed.iter().all(allowed) {
        return tokens.challenge(&needed, "insufficient_scope");
    }
    // The layer puts it into events.
    let actor = ActorRecord::new(claims.sub);
    request.extensions_mut().insert(actor);
    next.run(request).await
}

/// The token service.
pub fn service(tokens: Arc<Tokens>) -> Router {
    Router::new().route("/token", get(token)).with_state(tokens)
}

async fn token(State(tokens): State<Arc<Tokens>>, request: Request) -> Response {
    let Some((name, user)) = tokens.user(request.headers()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let query = request.uri().query().unwrap_or_default();
    match tokens.give(name, user, query, SystemTime::now()) {
        Ok(token) => Json(serde_json::json!({
            "token": token,
            "access_token": token,
            "expires_in": LIFETIME.as_secs(),
        }))
        .into_response(),
        Err(status) => status.into_response(),
    }
}
