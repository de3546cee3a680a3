//! Requests of the layer's own to the registry: [`StatClient`].
//!
//! They have the client's rights and no more, they are bounded in time, number and
//! bytes, and their failure never fails the request: the event then lacks facts.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, LINK, USER_AGENT};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::Deserialize;

use super::facts::Facts;
use super::headers;
use super::origin::{EndToEnd, Single};
use super::route::{name_in_path, segment};
use super::settings::Settings;
use super::stat_service::{StatBody, StatMarker, StatResponse, StatService};
use super::tap::BodyTap;
use crate::event::{MANIFEST_LIMIT, media_types};

/// The largest number of tags that are looked up when a manifest is deleted by its
/// digest.
const TAG_LIMIT: usize = 10_000;
/// The number of tags that are looked up at a time.
const TAGS_AT_ONCE: usize = 8;

/// What a stat asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The descriptor of a manifest, by tag or digest; by its `content` if the
    /// headers cannot show what is missing.
    Manifest {
        repository: String,
        reference: String,
        content: bool,
    },
    /// The size of a blob. If it is not found in `repository`, it is looked for in
    /// `from`: some registries do not find a blob that was just mounted.
    Blob {
        repository: String,
        from: Option<String>,
        digest: String,
    },
}

/// Asks the registry on behalf of a client: with the authorization and the host
/// of its request, and with the extensions that outer middleware has inserted.
pub(super) struct StatClient {
    service: StatService,
    settings: Arc<Settings>,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    authorization: Option<HeaderValue>,
    extensions: Extensions,
}

impl StatClient {
    /// Returns `None` if no service for stats is set.
    pub(super) fn new(
        settings: &Arc<Settings>,
        parts: &Parts,
        headers: EndToEnd<'_>,
    ) -> Option<Self> {
        let service = settings.stat.clone()?;
        // A header that the registry may not see in the client's request must not
        // reach it here either: it could grant more than the client has.
        let visible = |name| match headers.single(&name) {
            Single::Value(value) => Some(value.clone()),
            Single::Absent | Single::Unclear => None,
        };
        Some(Self {
            service,
            settings: settings.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            host: visible(HOST),
            authorization: visible(AUTHORIZATION),
            extensions: parts.extensions.clone(),
        })
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(8);
        headers.extend(self.host.clone().map(|host| (HOST, host)));
        let authorization = self.authorization.clone();
        headers.extend(authorization.map(|authorization| (AUTHORIZATION, authorization)));
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for media_type in [
            media_types::OCI_MANIFEST,
            media_types::OCI_INDEX,
            media_types::DOCKER_MANIFEST,
            media_types::DOCKER_LIST,
            "*/*;q=0.5",
        ] {
            headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        headers
    }

    /// Sends a request for a path below the prefix. Returns the response if its status
    /// is 200.
    async fn ask(&self, method: Method, path: &str) -> StatResponse {
        let mut uri = self.uri.clone().into_parts();
        uri.path_and_query = Some([&self.settings.prefix, path].concat().parse().ok()?);
        let mut request = Request::new(StatBody);
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(uri).ok()?;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers();
        *request.extensions_mut() = self.extensions.clone();
        request.extensions_mut().insert(StatMarker);
        // The registry may have acted already, and then there must be an event,
        // even if this panics.
        let service = self.service.clone();
        let response = AssertUnwindSafe(async move { service(request).await });
        let response = response.catch_unwind().await.ok()??;
        (response.status() == StatusCode::OK).then_some(response)
    }

    /// Returns the facts that answer `question`, as far as the registry states
    /// them in time.
    pub(super) async fn stat(&self, question: &Question) -> Facts {
        let answer = async {
            match question {
                Question::Manifest {
                    repository,
                    reference,
                    content,
                } => self.manifest(repository, reference, *content).await,
                Question::Blob {
                    repository,
                    from,
                    digest,
                } => {
                    let found = self.blob(repository, digest).await;
                    match from {
                        Some(from) if found.size.is_none() => self.blob(from, digest).await,
                        _ => found,
                    }
                }
            }
        };
        let found = tokio::time::timeout(self.settings.stat_timeout, answer).await;
        found.unwrap_or_else(|_| {
            if self.settings.memory.may_log("stat") {
                tracing::warn!(?question, "a stat took too long");
            }
            Facts::default()
        })
    }

    async fn manifest(&self, repository: &str, reference: &str, content: bool) -> Facts {
        let method = if content { Method::GET } else { Method::HEAD };
        let Some(response) = self
            .ask(method, &manifest_path(repository, reference))
            .await
        else {
            return Facts::default();
        };
        let mut found = Facts::of_content(StatusCode::OK, response.headers());
        if !content {
            found.size = headers::stated_by_head(found.size);
        }
        if !content || !headers::is_plain(response.headers()) {
            return found;
        }
        let tap = read(response.into_body()).await;
        match tap.content() {
            Some(content) => found.read_manifest(content, &self.settings.memory, true),
            None => found,
        }
    }

    async fn blob(&self, repository: &str, digest: &str) -> Facts {
        let name = name_in_path(repository);
        let path = format!("{name}/blobs/{}", segment(digest));
        let response = self.ask(Method::HEAD, &path).await;
        let size = response.and_then(|it| headers::content_size(StatusCode::OK, it.headers()));
        let size = headers::stated_by_head(size);
        if let Some(size) = size {
            self.settings.memory.sizes.learn(digest, size);
        }
        Facts {
            size,
            ..Facts::default()
        }
    }

    /// Returns the tags that point at `digest`, in the registry's order. Costs
    /// one request if there is no such manifest.
    pub(super) async fn tags_of(&self, repository: &str, digest: &str) -> Vec<String> {
        let path = manifest_path(repository, digest);
        if self.ask(Method::HEAD, &path).await.is_none() {
            return Vec::new();
        }
        let tags = self.tags(repository).await;
        futures_util::stream::iter(tags)
            .map(|tag| self.pointing_at(repository, tag, digest))
            .buffered(TAGS_AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    /// Returns the tag if it points at `digest`.
    async fn pointing_at(&self, repository: &str, tag: String, digest: &str) -> Option<String> {
        let path = manifest_path(repository, &tag);
        let response = self.ask(Method::HEAD, &path).await?;
        let points_here = headers::content_digest(response.headers()) == Some(digest);
        points_here.then_some(tag)
    }

    /// Returns the tags of a repository, which are listed page by page.
    async fn tags(&self, repository: &str) -> Vec<String> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        // The URL in `Link` is not followed, because it may lead anywhere. The next page
        // is asked for by the last tag of this one.
        let name = name_in_path(repository).to_string();
        let mut tags: Vec<String> = Vec::new();
        let mut path = [&*name, "/tags/list"].concat();
        while let Some(response) = self.ask(Method::GET, &path).await {
            let more = response.headers().contains_key(LINK);
            let body = read(response.into_body()).await;
            let page = body.content().map(serde_json::from_slice::<Page>);
            let page = page.and_then(Result::ok).and_then(|page| page.tags);
            let page = page.unwrap_or_default();
            let Some(last) = page.last() else { break };
            // A registry that repeats a page must not keep the layer in a loop.
            if tags.last() == Some(last) {
                break;
            }
            let cursor = segment(last).to_string();
            path = format!("{name}/tags/list?n={}&last={cursor}", page.len());
            tags.extend(page);
            if !more {
                break;
            }
            if tags.len() >= TAG_LIMIT {
                if self.settings.memory.may_log("tag limit") {
                    tracing::warn!(repository, "only the first {TAG_LIMIT} tags are looked up");
                }
                crate::metrics::missing_fact("untagged");
                break;
            }
        }
        tags
    }
}

fn manifest_path(repository: &str, reference: &str) -> String {
    let name = name_in_path(repository);
    format!("{name}/manifests/{}", segment(reference))
}

/// Reads a body of at most [`MANIFEST_LIMIT`] bytes, or the beginning of a longer one.
/// The tap is complete if the whole body was read.
async fn read<R: Body<Data = Bytes>>(body: R) -> BodyTap {
    let mut body = std::pin::pin!(body);
    let mut tap = BodyTap::new(MANIFEST_LIMIT);
    while let Some(frame) = body.as_mut().frame().await {
        let Ok(frame) = frame else { return tap };
        if let Some(data) = frame.data_ref() {
            tap.add(data);
        }
        if tap.length() > MANIFEST_LIMIT as u64 {
            return tap;
        }
    }
    tap.set_complete(true);
    tap
}
