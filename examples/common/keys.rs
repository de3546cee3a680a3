//! A registry that checks keys itself. Only the registry knows whose keys they are.

use axum::Router;
use axum::extract::{Path, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};
use tower_registry_notifications::event::ActorRecord;

/// A stand-in for a registry. It has every manifest, but refuses those in `private`.
pub fn registry() -> Router {
    Router::new()
        .route("/v2/{name}/manifests/{reference}", get(manifest))
        .layer(from_fn(check))
}

/// Puts the actor into the response's extensions, where the layer finds it.
async fn check(request: Request, next: Next) -> Response {
    let key = request.headers().get("x-key").map(|key| key.as_bytes());
    let name = match key {
        Some(b"alice's key") => "alice",
        Some(b"bob's key") => "bob",
        _ => return StatusCode::UNAUTHORIZED.into_response(),
    };
    let mut response = next.run(request).await;
    response.extensions_mut().insert(ActorRecord::new(name));
    response
}

async fn manifest(Path((name, _)): Path<(String, String)>) -> Response {
    if name == "private" {
        return StatusCode::FORBIDDEN.into_response();
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let manifest = r#"{"schemaVersion":2,"manifests":[]}"#;
    ([(header::CONTENT_TYPE, media_type)], manifest).into_response()
}
