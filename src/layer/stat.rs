//! What the layer asks the inner service itself: stats, and lookups of tags.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, AUTHORIZATION, HOST, LINK, USER_AGENT};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tower::{Service, ServiceExt as _};

use super::body::{RequestBody, Seen};
use super::facts::{self, Facts};
use super::happening::Question;
use super::route;
use crate::event::{MANIFEST_LIMIT, media_types};

/// Marks a request that a layer makes itself, so that no layer below it takes
/// it for a client's.
#[derive(Clone, Copy)]
pub(super) struct Internal;

/// Most tags that are looked at when a manifest is deleted by its digest.
const TAG_LIMIT: usize = 10_000;
/// How many tags are looked at at a time.
const TAGS_AT_ONCE: usize = 8;

/// Asks on behalf of a client: with its authorization, towards its host, and
/// with what outer middleware has put into its request.
pub(super) struct Asker<S> {
    /// Shared by questions that are asked at a time; need not be `Sync` itself.
    service: Mutex<S>,
    prefix: String,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    extensions: Extensions,
}

impl<S> Asker<S> {
    pub(super) fn new(service: S, prefix: &str, parts: &http::request::Parts) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        for name in [HOST, AUTHORIZATION] {
            if let Some(value) = parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let mut extensions = parts.extensions.clone();
        extensions.insert(Internal);
        Self {
            service: Mutex::new(service),
            prefix: prefix.into(),
            uri: parts.uri.clone(),
            version: parts.version,
            headers,
            extensions,
        }
    }

    fn request<B>(&self, method: Method, path: &str) -> Option<Request<RequestBody<B>>> {
        let mut uri = self.uri.clone().into_parts();
        uri.path_and_query = Some([&self.prefix, path].concat().parse().ok()?);
        let mut request = Request::new(RequestBody::none());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(uri).ok()?;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        for media_type in [
            media_types::OCI_MANIFEST,
            media_types::OCI_INDEX,
            media_types::DOCKER_MANIFEST,
            media_types::DOCKER_LIST,
            "*/*;q=0.5",
        ] {
            request
                .headers_mut()
                .append(ACCEPT, HeaderValue::from_static(media_type));
        }
        Some(request)
    }

    async fn ask<B, R>(&self, method: Method, path: &str) -> Option<Response<R>>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
    {
        let request = self.request(method, path)?;
        let service = self.service.lock();
        let service = service.unwrap_or_else(PoisonError::into_inner).clone();
        let response = service.oneshot(request).await.ok()?;
        (response.status() == StatusCode::OK).then_some(response)
    }

    /// The facts that answer `question`; none if the registry does not give them.
    pub(super) async fn stat<B, R>(&self, question: &Question) -> Facts
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
        R: Body<Data = Bytes>,
    {
        let method = match question.content {
            true => Method::GET,
            false => Method::HEAD,
        };
        let Some(response) = self.ask(method, &question.path).await else {
            return Facts::default();
        };
        let found = Facts::of_content(StatusCode::OK, response.headers());
        if !question.content || !facts::not_encoded(response.headers()) {
            return found;
        }
        let seen = read(response.into_body()).await;
        found.read_manifest(&seen, true)
    }

    /// The tags that point at `digest`, in the registry's order.
    pub(super) async fn tags_of<B, R>(&self, repository: &str, digest: &str) -> Vec<String>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
        R: Body<Data = Bytes>,
    {
        let tags = self.tags(repository).await;
        futures_util::stream::iter(tags)
            .map(async |tag| {
                let name = route::name_in_path(repository);
                let path = format!("{name}/manifests/{}", route::segment(&tag));
                let response = self.ask(Method::HEAD, &path).await?;
                let points = facts::content_digest(response.headers()).as_deref() == Some(digest);
                points.then_some(tag)
            })
            .buffered(TAGS_AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    async fn tags<B, R>(&self, repository: &str) -> Vec<String>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
        R: Body<Data = Bytes>,
    {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut tags: Vec<String> = Vec::new();
        let name = route::name_in_path(repository);
        let mut path = format!("{name}/tags/list");
        while let Some(response) = self.ask(Method::GET, &path).await {
            let more = response.headers().contains_key(LINK);
            let page = read(response.into_body()).await.content();
            let page = page.and_then(|page| serde_json::from_slice::<Page>(&page).ok());
            let page = page.and_then(|page| page.tags).unwrap_or_default();
            let Some(last) = page.last().filter(|last| !last.is_empty()) else {
                break;
            };
            // A registry that repeats itself must not keep us here.
            if tags.last() == Some(last) {
                break;
            }
            let (count, last) = (page.len(), route::segment(last).to_string());
            path = format!("{name}/tags/list?n={count}&last={last}");
            tags.extend(page.into_iter().filter(|tag| !tag.is_empty()));
            if !more {
                break;
            }
            if tags.len() >= TAG_LIMIT {
                tracing::warn!(repository, "more than {TAG_LIMIT} tags: not all looked at");
                crate::metrics::missing_fact("untagged");
                break;
            }
        }
        tags
    }
}

/// Reads a body of at most [`MANIFEST_LIMIT`] bytes.
async fn read<R: Body<Data = Bytes>>(body: R) -> Seen {
    let mut body = std::pin::pin!(body);
    let mut seen = Seen::up_to(MANIFEST_LIMIT);
    while let Some(frame) = body.as_mut().frame().await {
        let Ok(frame) = frame else { return seen };
        if let Some(data) = frame.data_ref() {
            seen.add(data);
        }
        if seen.length > MANIFEST_LIMIT as u64 {
            return seen;
        }
    }
    seen.complete = true;
    seen
}
