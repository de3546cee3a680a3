//! What the events must be, from requests, responses and known images.

use std::collections::BTreeMap;

use examples::image::{Content, Image};
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use tower_registry_notifications::event::Event;

use crate::node::Exchange;

/// An event as a line, without what is new each time: ids, timestamp, source.
pub(crate) fn line(event: &Event) -> String {
    let target = &event.target;
    let content = &target.descriptor;
    let references: Vec<_> = target.references.iter().map(|it| &*it.digest).collect();
    let request = &event.request;
    assert_eq!(target.length, content.size);
    format!(
        "{} {}:{} {} {} {} from={} url={} references={references:?} by={} {} {} {} {}",
        event.action,
        target.repository,
        target.tag,
        content.digest,
        content.media_type,
        content.size,
        target.from_repository,
        target.url,
        event.actor.name,
        request.method,
        request.host,
        request.addr,
        request.user_agent,
    )
}

/// The events that a sequence of requests must make.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) lines: Vec<String>,
    /// How many of the requests make events.
    pub(crate) requests: usize,
    manifests: BTreeMap<String, Known>,
    blobs: BTreeMap<String, Known>,
    tags: BTreeMap<(String, String), String>,
}

#[derive(Clone, Default)]
struct Known {
    media_type: &'static str,
    size: usize,
    references: Vec<String>,
}

impl Expected {
    pub(crate) fn new(images: &[&Image], indexes: &[&Content], include_references: bool) -> Self {
        let mut this = Self::default();
        let tops = images.iter().map(|image| &image.manifest);
        for content in tops.chain(indexes.iter().copied()) {
            let parsed: serde_json::Value = serde_json::from_slice(&content.bytes).unwrap();
            let mut references = Vec::new();
            if include_references {
                references.extend(parsed["config"]["digest"].as_str().map(str::to_owned));
                for list in ["layers", "manifests"] {
                    for entry in parsed[list].as_array().into_iter().flatten() {
                        references.push(entry["digest"].as_str().unwrap().to_owned());
                    }
                }
            }
            let known = Known {
                media_type: content.media_type,
                size: content.bytes.len(),
                references,
            };
            this.manifests.insert(content.digest.clone(), known);
        }
        for content in images
            .iter()
            .flat_map(|image| [&image.config, &image.layer])
        {
            let known = Known {
                media_type: "application/octet-stream",
                size: content.bytes.len(),
                references: Vec::new(),
            };
            this.blobs.insert(content.digest.clone(), known);
        }
        this
    }

    /// A tag that was there before.
    pub(crate) fn tag(&mut self, repository: &str, tag: &str, digest: &str) {
        let tag = (repository.to_owned(), tag.to_owned());
        self.tags.insert(tag, digest.to_owned());
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) {
        let before = self.lines.len();
        let path = percent_decode_str(exchange.uri.path())
            .decode_utf8()
            .unwrap();
        let path = path.strip_prefix("/v2/").unwrap();
        if let Some((repository, reference)) = path.rsplit_once("/manifests/") {
            self.add_manifest(exchange, repository, reference);
        } else if let Some((repository, _)) = path.rsplit_once("/uploads/") {
            // Not every registry has them below its blobs.
            let repository = repository.strip_suffix("/blobs").unwrap_or(repository);
            if exchange.status == StatusCode::CREATED {
                let query = exchange.uri.query().unwrap().as_bytes();
                let mut parameters = form_urlencoded::parse(query);
                let digest = parameters.find(|(name, _)| name == "digest").unwrap().1;
                self.push(exchange, "push", Target::blob(repository, &digest));
            }
        } else if let Some((repository, digest)) = path.rsplit_once("/blobs/")
            && matches!(exchange.method, Method::GET | Method::HEAD)
            && exchange.status == StatusCode::OK
        {
            self.push(exchange, "pull", Target::blob(repository, digest));
        }
        if self.lines.len() > before {
            self.requests += 1;
        }
    }

    fn add_manifest(&mut self, exchange: &Exchange, repository: &str, reference: &str) {
        let by_digest = reference.contains(':');
        let tag = if by_digest { "" } else { reference };
        let key = (repository.to_owned(), tag.to_owned());
        match (exchange.method.as_str(), exchange.status.as_u16()) {
            ("GET" | "HEAD", 200) => {
                let digest = match by_digest {
                    true => reference.to_owned(),
                    false => self.tags[&key].clone(),
                };
                let target = Target::manifest(repository, tag, &digest);
                self.push(exchange, "pull", target);
            }
            ("PUT", 201) => {
                let digest = exchange.headers["docker-content-digest"].to_str().unwrap();
                if by_digest {
                    assert_eq!(digest, reference);
                } else {
                    self.tags.insert(key, digest.to_owned());
                }
                let target = Target::manifest(repository, tag, digest);
                self.push(exchange, "push", target);
            }
            ("DELETE", 202) if by_digest => {
                let mut gone = std::mem::take(&mut self.tags);
                gone.retain(|at, digest| {
                    let goes = at.0 == repository && digest == reference;
                    if !goes {
                        self.tags.insert(at.clone(), digest.clone());
                    }
                    goes
                });
                for (_, tag) in gone.keys() {
                    self.push(exchange, "delete", Target::deleted(repository, tag, ""));
                }
                let target = Target::deleted(repository, "", reference);
                self.push(exchange, "delete", target);
            }
            ("DELETE", 202) => {
                self.tags.remove(&key).unwrap();
                self.push(exchange, "delete", Target::deleted(repository, tag, ""));
            }
            _ => {}
        }
    }

    fn push(&mut self, exchange: &Exchange, action: &str, target: Target<'_>) {
        let Target {
            kind,
            repository,
            tag,
            digest,
        } = target;
        let host = &exchange.host;
        let url = format!("http://{host}/v2/{repository}/{kind}/{digest}");
        let (known, url) = match kind {
            "manifests" => (self.manifests[digest].clone(), url),
            "blobs" => (self.blobs[digest].clone(), url),
            _ => Default::default(),
        };
        self.lines.push(format!(
            "{action} {repository}:{tag} {digest} {} {} from= url={url} references={:?} by={} {} {host} {} {}",
            known.media_type,
            known.size,
            known.references,
            exchange.actor,
            exchange.method,
            exchange.addr,
            exchange.user_agent,
        ));
    }
}

/// What is known of an event's target without its content.
struct Target<'a> {
    kind: &'static str,
    repository: &'a str,
    tag: &'a str,
    digest: &'a str,
}

impl<'a> Target<'a> {
    fn manifest(repository: &'a str, tag: &'a str, digest: &'a str) -> Self {
        Self {
            kind: "manifests",
            repository,
            tag,
            digest,
        }
    }

    fn blob(repository: &'a str, digest: &'a str) -> Self {
        Self {
            kind: "blobs",
            ..Self::manifest(repository, "", digest)
        }
    }

    /// Nothing is told of what was deleted.
    fn deleted(repository: &'a str, tag: &'a str, digest: &'a str) -> Self {
        Self {
            kind: "",
            ..Self::manifest(repository, tag, digest)
        }
    }
}
