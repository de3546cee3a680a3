//! What a client asks for, and which answers make it happen: the table of moments.

use std::sync::Arc;

use http::header::LOCATION;
use http::{HeaderMap, Method, Response, StatusCode};

use super::Settings;
use super::body::{Seen, SharedSeen, look};
use super::facts::{self, Facts, ResponseFacts};
use super::happening::{Happening, What};
use super::record::Origin;
use super::route::{Operation, Reference, Route, UploadParameters};
use crate::event::{ActorRecord, MANIFEST_LIMIT};
use crate::metrics::missing_fact;

/// Size in bytes of the largest form body that is looked into for upload
/// parameters.
const FORM_LIMIT: usize = 16 << 10;

/// A request that may become an event, as it was before the inner service
/// got it.
pub(super) struct Asked {
    pub(super) settings: Arc<Settings>,
    /// `None` for a DELETE of something that only the registry knows.
    pub(super) route: Option<Route>,
    head: bool,
    origin: Origin,
    /// What the request says of the content in its body.
    content: Facts,
    /// The body is a form, and no content.
    form: bool,
    /// The body as it goes by, where it matters.
    pub(super) seen: Option<SharedSeen>,
}

impl Asked {
    /// `None` if nothing that the inner service may answer makes an event.
    pub(super) fn new(settings: &Arc<Settings>, parts: &http::request::Parts) -> Option<Self> {
        let route = super::route::find(&settings.prefix, &parts.method, &parts.uri);
        let head = parts.method == Method::HEAD;
        if match &route {
            Some(_) => head && !settings.head_pulls,
            // An upload that is cancelled is no repository that is deleted.
            None => parts.method != Method::DELETE || parts.uri.path().contains("/blobs/uploads/"),
        } {
            return None;
        }
        let media_type = facts::content_type(&parts.headers);
        let form = media_type.as_deref() == Some("application/x-www-form-urlencoded");
        let mut asked = Self {
            settings: settings.clone(),
            route,
            head,
            origin: Origin::of(parts, settings),
            content: Facts {
                media_type: media_type.filter(|_| !form),
                size: facts::content_length(&parts.headers),
                ..Facts::default()
            },
            form,
            seen: None,
        };
        let readable = facts::not_encoded(&parts.headers);
        let keep = asked.keeps().filter(|_| readable);
        asked.seen = keep.map(|limit| Arc::new(Seen::up_to(limit).into()));
        Some(asked)
    }

    /// How much of the request body is kept; `None` if it need not be watched.
    fn keeps(&self) -> Option<usize> {
        match &self.route.as_ref()?.operation {
            // Needed for references, and for a digest that the response does not name.
            Operation::PushManifest { .. } => Some(MANIFEST_LIMIT),
            Operation::StartUpload(it)
                if self.form && it.digest.is_none() && it.mount.is_none() =>
            {
                Some(FORM_LIMIT)
            }
            Operation::FinishUpload(it) if self.form && it.digest.is_none() => Some(FORM_LIMIT),
            Operation::StartUpload(it) if it.digest.is_some() && self.content.size.is_none() => {
                Some(0)
            }
            _ => None,
        }
    }

    /// Must the layer be able to ask the inner service more?
    pub(super) fn may_stat(&self) -> bool {
        match self.route.as_ref().map(|route| &route.operation) {
            None | Some(Operation::DeleteBlob(_)) => false,
            Some(Operation::DeleteManifest(_)) => self.settings.untag_lookup,
            Some(Operation::PullBlob(_)) => !self.head,
            Some(_) => true,
        }
    }

    /// The digest whose tags go with it, if they are to be looked up.
    pub(super) fn untags(&self) -> Option<(&str, &str)> {
        let route = self.route.as_ref().filter(|_| self.settings.untag_lookup)?;
        match &route.operation {
            Operation::DeleteManifest(Reference::Digest(digest)) => {
                Some((&route.repository, digest))
            }
            _ => None,
        }
    }

    /// What the response makes of the request. `untagged` was looked up before.
    pub(super) fn answered<R>(
        self,
        response: &Response<R>,
        untagged: Vec<String>,
    ) -> Option<Happening> {
        let headers = response.headers();
        let status = response.status();
        let told = response.extensions().get::<ResponseFacts>();
        let actor = told
            .and_then(|told| told.actor.as_ref())
            .or_else(|| response.extensions().get::<ActorRecord>());
        let actor = actor.cloned().unwrap_or(self.origin.actor);
        let (repository, what, content) = match self.route {
            _ if !status.is_success() && !status.is_redirection() => return None,
            Some(route) => {
                let observed = Observed {
                    status,
                    headers,
                    form: self.form,
                    content: self.content,
                    seen: self.seen.as_ref(),
                };
                let repository = match route.operation {
                    Operation::FinishForeignUpload(_) => {
                        located(headers, &self.settings.prefix, route.repository)?
                    }
                    _ => route.repository,
                };
                let (what, facts) = observed.what(route.operation)?;
                (repository, what, facts)
            }
            None => {
                let repository = told?.repository_deleted.clone()?;
                let what = What::RepositoryDeleted;
                (
                    repository,
                    status.is_success().then_some(what)?,
                    Facts::default(),
                )
            }
        };
        let notifier = &self.settings.notifier;
        let references = notifier.includes_references();
        let mut facts = Facts::told(told).or(content);
        if let (What::ManifestPushed { .. }, Some(seen)) = (&what, &self.seen) {
            facts = look(seen, |seen| facts.read_manifest(seen, references));
        }
        Some(Happening {
            bridge: notifier
                .bridge(self.origin.request)
                .actor(actor)
                .base_url(self.origin.base_url),
            body_is_content: !self.head && status == StatusCode::OK && facts::not_encoded(headers),
            head: self.head,
            seen: self.seen,
            settings: self.settings,
            repository,
            what: with_tags(what, told, untagged),
            facts,
        })
    }
}

/// A deletion with the tags that went with it: those that the registry names,
/// or those that were looked up before.
fn with_tags(what: What, told: Option<&ResponseFacts>, looked_up: Vec<String>) -> What {
    let What::ManifestDeleted { digest, .. } = what else {
        return what;
    };
    let told = told.map(|told| &told.untagged);
    let told = told.filter(|tags| !tags.is_empty()).cloned();
    let untagged = told.unwrap_or(looked_up);
    What::ManifestDeleted { digest, untagged }
}

/// A successful response to a route.
struct Observed<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    form: bool,
    content: Facts,
    seen: Option<&'a SharedSeen>,
}

impl Observed<'_> {
    /// The table of moments: which answer to which request is which happening.
    fn what(self, operation: Operation) -> Option<(What, Facts)> {
        let Self {
            status, headers, ..
        } = self;
        match operation {
            Operation::PullManifest(reference) => {
                (status == StatusCode::OK).then_some(())?;
                let mut facts = Facts::of_content(status, headers).or(digest(reference.digest()));
                // No manifest is empty; some registries say so in a HEAD's answer.
                facts.size = facts.size.filter(|size| *size > 0);
                let tag = reference.tag();
                Some((What::ManifestPulled { tag }, facts))
            }
            Operation::PushManifest { reference, tags } => {
                status.is_success().then_some(())?;
                Some(self.manifest_pushed(&reference, tags))
            }
            Operation::DeleteManifest(reference) => {
                status.is_success().then_some(())?;
                let what = match reference {
                    Reference::Tag(tag) => What::TagDeleted(tag),
                    Reference::Digest(digest) => What::ManifestDeleted {
                        digest,
                        untagged: Vec::new(),
                    },
                };
                Some((what, Facts::default()))
            }
            Operation::PullBlob(requested) => {
                let facts = match status.as_u16() {
                    200 | 206 => Facts::of_content(status, headers),
                    // What such a response has in its body is not the blob.
                    302 | 303 | 307 => digest(facts::content_digest(headers)),
                    _ => return None,
                };
                Some((What::BlobPulled, facts.or(digest(Some(requested)))))
            }
            Operation::DeleteBlob(digest) => {
                status.is_success().then_some(())?;
                Some((What::BlobDeleted(digest), Facts::default()))
            }
            Operation::StartUpload(query) => {
                (status == StatusCode::CREATED).then_some(())?;
                Some(self.uploaded(query))
            }
            Operation::FinishUpload(query) | Operation::FinishForeignUpload(query) => {
                (status == StatusCode::CREATED).then_some(())?;
                let parameters = query.or(self.form_parameters());
                let facts = digest(facts::content_digest(headers))
                    .or(digest(parameters.digest))
                    // The body may be the last chunk only: its length says nothing.
                    .or(Facts {
                        size: None,
                        ..self.content
                    });
                Some((What::BlobPushed, facts))
            }
        }
    }

    fn manifest_pushed(self, reference: &Reference, tags: Vec<String>) -> (What, Facts) {
        let facts = digest(facts::content_digest(self.headers))
            .or(self.content)
            .or(digest(reference.digest()));
        let tags = match reference.tag() {
            Some(tag) => vec![tag],
            None => accepted(self.headers, tags),
        };
        (What::ManifestPushed { tags }, facts)
    }

    /// A POST that ended the upload which it began.
    fn uploaded(self, query: UploadParameters) -> (What, Facts) {
        let by_query = query.digest.is_some();
        let parameters = query.or(self.form_parameters());
        let named = digest(facts::content_digest(self.headers));
        if let Some(mount) = parameters.mount {
            let from = parameters.from;
            return (What::BlobMounted { from }, named.or(digest(Some(mount))));
        }
        let mut facts = named.or(digest(parameters.digest));
        if by_query {
            // The body is the blob, whatever the client calls it.
            facts = facts.or(self.content);
            if let Some(seen) = self.seen {
                facts.size = facts
                    .size
                    .or(look(seen, |seen| seen.complete.then_some(seen.length)));
            }
        }
        (What::BlobPushed, facts)
    }

    fn form_parameters(&self) -> UploadParameters {
        let content = self.seen.filter(|_| self.form);
        let content = content.and_then(|seen| look(seen, Seen::content));
        content.map_or_else(Default::default, |form| UploadParameters::parse(&form))
    }
}

fn digest(digest: Option<String>) -> Facts {
    Facts {
        digest,
        ..Facts::default()
    }
}

/// Where a blob was pushed to: the answer names the blob, and where it does not,
/// the upload's URL may have shown it.
fn located(headers: &HeaderMap, prefix: &str, shown: String) -> Option<String> {
    let location = headers.get(LOCATION).and_then(|it| it.to_str().ok());
    let named = location.and_then(|location| super::route::blob_repository(prefix, location));
    let repository = named.unwrap_or(shown);
    if repository.is_empty() {
        missing_fact("repository");
        return None;
    }
    Some(repository)
}

/// Those of the requested tags that the registry says it has set.
fn accepted(headers: &HeaderMap, mut requested: Vec<String>) -> Vec<String> {
    let set: Vec<_> = headers
        .get_all("oci-tag")
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    requested.retain(|tag| set.contains(&tag.as_str()));
    requested
}

impl Reference {
    fn tag(&self) -> Option<String> {
        match self {
            Self::Tag(tag) => Some(tag.clone()),
            Self::Digest(_) => None,
        }
    }

    fn digest(&self) -> Option<String> {
        match self {
            Self::Tag(_) => None,
            Self::Digest(digest) => Some(digest.clone()),
        }
    }
}
