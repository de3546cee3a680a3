//! What a registry's router reads in a path, by the router that it is made
//! with.

use axum::extract::{Path, Request};
use axum::routing::any;
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

/// What a path is about.
pub(crate) enum Named {
    Manifest {
        repository: String,
        reference: String,
    },
    Blob {
        repository: String,
        digest: String,
    },
    Upload {
        repository: String,
    },
}

/// The routes of a registry, whose handlers answer with the parameters of the
/// path.
pub(crate) struct ParameterRoutes {
    router: Router,
    read: fn(Vec<String>) -> Option<Named>,
}

impl ParameterRoutes {
    fn new(routes: &[&str], read: fn(Vec<String>) -> Option<Named>) -> Self {
        let router = routes.iter().fold(Router::new(), |router, route| {
            // The kind comes first.
            let kind = ["blobs/uploads/", "/uploads/", "/manifests/", "/blobs/"];
            let kind = kind.iter().find(|kind| route.contains(**kind));
            let kind = kind.map_or("", |kind| kind.trim_matches('/'));
            let answer = async move |Path(values): Path<Vec<(String, String)>>| {
                let values = values.into_iter().map(|(_, value)| value);
                let values = std::iter::once(kind.to_owned()).chain(values);
                Json(values.collect::<Vec<_>>())
            };
            router.route(route, any(answer))
        });
        Self { router, read }
    }

    /// One route, in which the last kind counts.
    pub(crate) fn ferro() -> Self {
        Self::new(&["/v2/{*rest}"], |values| {
            let rest = &*values[1];
            let kinds = ["/blobs/uploads/", "/blobs/", "/manifests/"];
            let found = kinds
                .iter()
                .filter_map(|kind| Some((rest.rfind(kind)?, kind)));
            // Of two at the same place the longer one, which is the first.
            let (at, kind) = found.rev().max_by_key(|(at, _)| *at)?;
            named(kind, &rest[..at], &rest[at + kind.len()..])
        })
    }

    pub(crate) fn container_registry() -> Self {
        let routes = [
            "/v2/{repository}/{image}/blobs/{digest}",
            "/v2/{repository}/{image}/blobs/uploads/",
            "/v2/{repository}/{image}/uploads/{upload}",
            "/v2/{repository}/{image}/manifests/{reference}",
        ];
        Self::new(&routes, |values| {
            let repository = format!("{}/{}", values[1], values[2]);
            named(&values[0], &repository, values.get(3).map_or("", |it| it))
        })
    }

    pub(crate) fn registry_testkit() -> Self {
        let routes = [
            "/v2/{name}/blobs/{digest}",
            "/v2/{name}/blobs/uploads/",
            "/v2/{name}/blobs/uploads/{uuid}",
            "/v2/{name}/manifests/{reference}",
        ];
        Self::new(&routes, |values| {
            // As the registry does.
            let name = values[1].strip_prefix('/').unwrap_or(&values[1]);
            named(&values[0], name, values.get(2).map_or("", |it| it))
        })
    }

    /// What a request's target names, if it matches a route.
    pub(crate) async fn named(&self, target: &str) -> Option<Named> {
        let request = Request::builder().uri(target);
        let request = request.body(axum::body::Body::empty()).ok()?;
        let answer = self.router.clone().oneshot(request).await.unwrap();
        if !answer.status().is_success() {
            return None;
        }
        let values = answer.into_body().collect().await.unwrap().to_bytes();
        (self.read)(serde_json::from_slice(&values).unwrap())
    }
}

fn named(kind: &str, repository: &str, rest: &str) -> Option<Named> {
    let repository = repository.to_owned();
    Some(match kind.trim_matches('/') {
        "manifests" => Named::Manifest {
            repository,
            reference: rest.into(),
        },
        "blobs" => Named::Blob {
            repository,
            digest: rest.into(),
        },
        "blobs/uploads" | "uploads" => Named::Upload { repository },
        _ => return None,
    })
}
