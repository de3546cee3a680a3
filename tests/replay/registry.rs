//! A model of the recorded registry: serves a client's requests as recorded, and
//! answers all others from what the earlier exchanges have left behind.
//!
//! The deliveries are unknown to it. That it answers as the registry did is
//! itself a test (`replay.rs`): it is asked every GET and HEAD of a recording.

// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tower::service_fn;
use tower::util::BoxCloneService;

use crate::corpus::{Exchange, Place, Recorded};

/// Returns the canonical digest of `content`.
pub(crate) fn sha256(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

/// A blob as a repository has it under one digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// The registry's own digest; a client may know the blob by another.
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// `None` if the recording does not show it.
    content: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) content: Bytes,
}

#[derive(Debug, Default)]
pub(crate) struct Repository {
    /// By each digest under which the repository has the blob.
    pub(crate) blobs: BTreeMap<String, Blob>,
    pub(crate) manifests: BTreeMap<String, Manifest>,
    pub(crate) tags: BTreeMap<String, String>,
    /// Whether it ever had a tag: only then has it a list of tags.
    tagged: bool,
}

impl Repository {
    /// Returns digest and manifest of a tag or digest.
    pub(crate) fn manifest(&self, reference: &str) -> Option<(&str, &Manifest)> {
        let digest = self.tags.get(reference).map_or(reference, |digest| digest);
        let (digest, manifest) = self.manifests.get_key_value(digest)?;
        Some((digest, manifest))
    }
}

/// What a registry has after some exchanges.
#[derive(Debug, Default)]
pub(crate) struct State {
    repositories: BTreeMap<String, Repository>,
    uploads: HashMap<String, BytesMut>,
}

impl State {
    pub(crate) fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    fn entry(&mut self, name: String) -> &mut Repository {
        self.repositories.entry(name).or_default()
    }

    /// Does to the model what the exchange did to the registry.
    pub(crate) fn learn(&mut self, exchange: &Exchange) {
        let Some(place) = exchange.place() else {
            return;
        };
        let failed_tag = failed_tag(exchange).is_some();
        if !exchange.succeeded() && !failed_tag {
            return;
        }
        let body = exchange.request.body.clone();
        match (&*exchange.request.method, place) {
            ("PATCH", Place::Upload { id, .. }) => {
                self.uploads.entry(id).or_default().extend(&body);
            }
            ("PUT", Place::Upload { repository, id }) => {
                let mut content = self.uploads.remove(&id).unwrap_or_default();
                content.extend(&body);
                self.pushed(exchange, repository, content.freeze());
            }
            ("POST", Place::Upload { repository, .. }) if exchange.response.status == 201 => {
                match exchange.parameter("mount") {
                    Some(digest) => self.mounted(exchange, repository, digest),
                    None => self.pushed(exchange, repository, body),
                }
            }
            (
                "PUT",
                Place::Manifest {
                    repository,
                    reference,
                },
            ) => {
                let digest = exchange.response.headers.get("docker-content-digest");
                let digest = digest.map_or_else(|| sha256(&body), Into::into);
                let media_type = exchange.request.headers.get("content-type");
                let media_type = media_type.unwrap_or_default().into();
                let set = exchange.response.headers.get_all("oci-tag");
                let mut tags: Vec<String> = set.map(Into::into).collect();
                let sets_tag = !reference.contains(':') && !failed_tag;
                tags.extend(sets_tag.then_some(reference));
                let repository = self.entry(repository);
                repository.tagged |= !tags.is_empty();
                let tags = tags.into_iter().map(|tag| (tag, digest.clone()));
                repository.tags.extend(tags);
                let content = body;
                let manifest = Manifest {
                    media_type,
                    content,
                };
                repository.manifests.insert(digest, manifest);
            }
            ("DELETE", Place::Blob { repository, digest }) => {
                // Only this link: under another digest the blob is still there.
                self.entry(repository).blobs.remove(&digest);
            }
            (
                "DELETE",
                Place::Manifest {
                    repository,
                    reference,
                },
            ) => {
                let repository = self.entry(repository);
                if repository.tags.remove(&reference).is_none() {
                    repository.manifests.remove(&reference);
                    repository.tags.retain(|_, digest| *digest != reference);
                }
            }
            ("GET" | "HEAD", place) => self.seen(exchange, place),
            _ => {}
        }
    }

    fn pushed(&mut self, exchange: &Exchange, repository: String, content: Bytes) {
        let digest = exchange.response.headers.get("docker-content-digest");
        let digest = digest.map_or_else(|| sha256(&content), Into::into);
        let named = exchange.parameter("digest");
        let blob = Blob {
            digest: digest.clone(),
            size: content.len() as u64,
            content: Some(content),
        };
        // Known by the client's digest and by the registry's own.
        let digests = named.into_iter().chain([digest]);
        let blobs = digests.map(|digest| (digest, blob.clone()));
        self.entry(repository).blobs.extend(blobs);
    }

    fn mounted(&mut self, exchange: &Exchange, repository: String, digest: String) {
        let source = |name: &String, source: &Repository| {
            let from = exchange.parameter("from");
            let blob = source.blobs.get(&digest);
            blob.filter(|_| from.is_none_or(|from| from == *name))
                .cloned()
        };
        let mut sources = self.repositories.iter();
        let blob = sources.find_map(|(name, repository)| source(name, repository));
        // A mount by another digest than the registry's own succeeds, but its link
        // points nowhere: every HEAD and GET of it is answered 404.
        if let Some(blob) = blob.filter(|blob| blob.digest == digest) {
            self.entry(repository).blobs.insert(digest, blob);
        }
    }

    /// Learns from a response what the recording did not show being pushed.
    fn seen(&mut self, exchange: &Exchange, place: Place) {
        let headers = &exchange.response.headers;
        let (Some(digest), 200) = (
            headers.get("docker-content-digest"),
            exchange.response.status,
        ) else {
            return;
        };
        let get = exchange.request.method == "GET";
        let content = get.then(|| exchange.response.body.clone());
        match place {
            Place::Blob {
                repository,
                digest: named,
            } => {
                let size = headers.get("content-length").and_then(|it| it.parse().ok());
                let Some(size) = size else { return };
                let digest = digest.to_owned();
                let blob = Blob {
                    digest,
                    size,
                    content,
                };
                self.entry(repository).blobs.entry(named).or_insert(blob);
            }
            Place::Manifest {
                repository,
                reference,
            } => {
                let repository = self.entry(repository);
                if !reference.contains(':') {
                    repository.tagged = true;
                    repository.tags.insert(reference, digest.into());
                }
                let media_type = headers.get("content-type").unwrap_or_default().into();
                if let Some(content) = content {
                    let manifest = Manifest {
                        media_type,
                        content,
                    };
                    let manifests = &mut repository.manifests;
                    manifests.entry(digest.into()).or_insert(manifest);
                }
            }
            Place::Upload { .. } | Place::Tags { .. } => {}
        }
    }

    /// Answers a stat as the registry would now.
    pub(crate) fn answer(&self, method: &Method, path: &str) -> Response<Recorded> {
        self.find(method, path).unwrap_or_else(|| {
            let not_found = Response::builder().status(StatusCode::NOT_FOUND);
            not_found.body(Recorded::new(Bytes::new(), None)).unwrap()
        })
    }

    fn find(&self, method: &Method, path: &str) -> Option<Response<Recorded>> {
        let mut response = Response::builder();
        let (length, content) = match Place::of(path)? {
            Place::Blob { repository, digest } => {
                let blob = self.repository(&repository)?.blobs.get(&digest)?;
                response = response
                    .header("content-type", "application/octet-stream")
                    .header("docker-content-digest", &blob.digest);
                (blob.size, blob.content.clone())
            }
            Place::Manifest {
                repository,
                reference,
            } => {
                let repository = self.repository(&repository)?;
                let (digest, manifest) = repository.manifest(&reference)?;
                response = response
                    .header("content-type", &manifest.media_type)
                    .header("docker-content-digest", digest);
                let content = manifest.content.clone();
                (content.len() as u64, Some(content))
            }
            Place::Tags { repository: name } => {
                let repository = self.repository(&name).filter(|it| it.tagged)?;
                let tags: Vec<_> = repository.tags.keys().collect();
                let list = serde_json::json!({ "name": name, "tags": tags });
                let list = Bytes::from(list.to_string());
                response = response.header("content-type", "application/json");
                (list.len() as u64, Some(list))
            }
            Place::Upload { .. } => return None,
        };
        let content = match *method {
            Method::HEAD => Bytes::new(),
            Method::GET => content.unwrap_or_default(),
            _ => panic!("{method} {path} may change the registry"),
        };
        let response = response.header("content-length", length);
        response.body(Recorded::new(content, None)).ok()
    }
}

/// Returns the tag of a push that stored its manifest and then failed to set it:
/// the error names the place where the tag would have been stored.
pub(crate) fn failed_tag(exchange: &Exchange) -> Option<String> {
    let Some(Place::Manifest {
        repository,
        reference,
    }) = exchange.place()
    else {
        return None;
    };
    let error = String::from_utf8_lossy(&exchange.response.body);
    let path = format!("/{repository}/_manifests/tags/{reference}/");
    let failed = exchange.request.method == "PUT" && exchange.response.status == 500;
    (failed && error.contains(&path)).then_some(reference)
}

/// The registry at the moment of one exchange; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<Moment>>);

#[derive(Default)]
struct Moment {
    state: State,
    /// The exchange that comes next, or was served last.
    current: Option<Exchange>,
    served: bool,
}

type Answering<B> = BoxCloneService<Request<B>, Response<Recorded>, Infallible>;

impl Registry {
    /// Sets the exchange that comes next.
    pub(crate) fn expect(&self, exchange: &Exchange) {
        let mut moment = self.0.lock().unwrap();
        moment.current = Some(exchange.clone());
        moment.served = false;
    }

    /// Looks at what the registry has now.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.lock().unwrap().state)
    }

    /// Returns a service for clients. What comes with another `User-Agent` than
    /// the client's is a stat.
    pub(crate) fn service<B>(&self) -> Answering<B>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Debug,
    {
        let moment = self.0.clone();
        let serve = move |request: Request<B>| {
            let moment = moment.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let mut moment = moment.lock().unwrap();
                let exchange = moment.current.clone().unwrap();
                let agent = exchange.request.headers.get("user-agent").unwrap();
                assert_eq!(parts.headers["user-agent"], agent, "a request of the layer");
                assert_eq!(body, exchange.request.body, "the request's body");
                // A test may repeat an exchange; it happened once.
                if !std::mem::replace(&mut moment.served, true) {
                    moment.state.learn(&exchange);
                }
                Ok(exchange.response())
            }
        };
        BoxCloneService::new(service_fn(serve))
    }

    /// Returns a service for stats, whatever their body is.
    pub(crate) fn stat_service<B: Send + 'static>(&self) -> Answering<B> {
        let moment = self.0.clone();
        let answer = move |request: Request<B>| {
            let state = &moment.lock().unwrap().state;
            let answer = state.answer(request.method(), request.uri().path());
            std::future::ready(Ok(answer))
        };
        BoxCloneService::new(service_fn(answer))
    }
}
