//! A request that may become an event: [`Exchange`].
//!
//! [`Interest`] decides from the request line whether the response matters, without
//! allocating for requests that pass untouched. [`Watch`] takes from the request,
//! before the inner service consumes it, all that an event may need.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use super::facts::Facts;
use super::headers;
use super::origin::{EndToEnd, RequestOrigin, Single};
use super::route::{self, Operation, Reference, Route};
use super::settings::Settings;
use super::stat::StatClient;
use super::stat_service::StatMarker;
use super::tap::SharedTap;
use super::uploads::{Chunk, PatchWatch};
use crate::event::MANIFEST_LIMIT;
use crate::metrics::missing_fact;

/// Bytes of the largest form body that is searched for upload parameters.
const FORM_LIMIT: usize = 1 << 20;

/// Why the response to a request may matter.
pub(super) enum Interest {
    /// The request may make an event. Without a route it is a DELETE, whose response may
    /// state that the registry deleted a repository.
    Event(Option<Route>),
    /// The request brings a part of a blob.
    Patch,
    /// The request looks like one of the API under another prefix.
    Stray,
}

impl Interest {
    /// Returns `None`, without an allocation, for a request that passes untouched because
    /// no response to it can make an event.
    pub(super) fn of<B>(settings: &Settings, request: &Request<B>) -> Option<Self> {
        let (method, uri) = (request.method(), request.uri());
        let interest = if *method == Method::PATCH {
            Self::Patch
        } else {
            let route = route::find(&settings.prefix, method, uri);
            let counts = settings.head_pulls || *method != Method::HEAD;
            match route {
                Some(route) if counts => Self::Event(Some(route)),
                None if *method == Method::DELETE => Self::Event(None),
                _ if is_stray(settings, uri.path()) => Self::Stray,
                _ => return None,
            }
        };
        // A stat makes no event, whichever layer sent it.
        let is_own = request.extensions().get::<StatMarker>().is_some();
        Some(interest).filter(|_| !is_own)
    }
}

/// Whether a request without a route looks like one of the API. If it succeeds, the
/// layer's prefix is probably wrong.
fn is_stray(settings: &Settings, path: &str) -> bool {
    !path.starts_with(&settings.prefix)
        && (path.contains("/manifests/") || path.contains("/blobs/"))
        && settings.memory.would_log("prefix")
}

/// What the layer watches a request for.
pub(super) enum Watch {
    /// The request may become an event.
    Exchange(Box<Exchange>),
    /// The request brings a part of a blob.
    Patch(Arc<Settings>, PatchWatch),
    /// The request looks like one of the API under another prefix, which makes no
    /// event. A warning is logged if it succeeds.
    Stray(Arc<Settings>, Uri),
}

impl Watch {
    pub(super) fn new(interest: Interest, settings: &Arc<Settings>, parts: &Parts) -> Self {
        match interest {
            Interest::Event(route) => Self::Exchange(Exchange::new(route, settings, parts)),
            Interest::Patch => {
                let uploads = &settings.memory.uploads;
                let patch = PatchWatch::new(uploads, &settings.prefix, &parts.uri, &parts.headers);
                Self::Patch(settings.clone(), patch)
            }
            Interest::Stray => Self::Stray(settings.clone(), parts.uri.clone()),
        }
    }

    /// Returns the tap that observes the request body, if the body matters.
    pub(super) fn tap(&self) -> Option<&SharedTap> {
        match self {
            Self::Exchange(exchange) => exchange.tap.as_ref(),
            Self::Patch(_, patch) => patch.tap(),
            Self::Stray(..) => None,
        }
    }
}

/// A request that may become an event, as it was before it was passed to the
/// inner service.
pub(super) struct Exchange {
    pub(super) settings: Arc<Settings>,
    /// `None` for a DELETE of something that only the registry knows.
    pub(super) route: Option<Route>,
    pub(super) uri: Uri,
    pub(super) head: bool,
    pub(super) origin: RequestOrigin,
    /// The upload that this request ends, if its bytes were counted.
    pub(super) chunk: Option<Chunk>,
    /// The type of a form in the request body. `None` if the body is certainly not a form.
    pub(super) form: Option<FormType>,
    /// The facts that the request states about a manifest in its body.
    pub(super) content: Facts,
    /// Whether the request body is sent as it is, not compressed.
    pub(super) plain: bool,
    /// Observes the request body, if it shows facts.
    pub(super) tap: Option<SharedTap>,
    /// `None` without a service for stats, or if no stat can be needed.
    pub(super) stat: Option<StatClient>,
}

impl Exchange {
    fn new(route: Option<Route>, settings: &Arc<Settings>, parts: &Parts) -> Box<Self> {
        let operation = route.as_ref().map(|route| &route.operation);
        // Taken before the request is passed on: from now on a second request for
        // the same upload finds the count in use and ends it.
        let chunk = match operation {
            Some(Operation::FinishUpload(_) | Operation::FinishForeignUpload(_)) => {
                let uploads = &settings.memory.uploads;
                uploads.take(&settings.prefix, &parts.uri, &parts.headers)
            }
            _ => None,
        };
        // A type that is repeated, or that `Connection` names, may not be the one
        // that the registry sees. The bytes of the manifest then decide.
        let headers = EndToEnd::of(&parts.headers);
        let content_type = headers.single(&CONTENT_TYPE);
        let form = FormType::of(&content_type, &parts.headers);
        let content = match operation {
            Some(Operation::PushManifest { .. }) => Facts::of_type(content_type.text()),
            _ => Facts::default(),
        };
        let limit = operation.and_then(|operation| tap_limit(operation, form.is_some()));
        let stat = if may_stat(operation, settings) {
            StatClient::new(settings, parts, headers)
        } else {
            None
        };
        Box::new(Self {
            origin: RequestOrigin::of(parts, headers, settings.origin()),
            settings: settings.clone(),
            uri: parts.uri.clone(),
            plain: headers::is_plain(&parts.headers),
            tap: limit.map(SharedTap::new),
            route,
            head: parts.method == Method::HEAD,
            chunk,
            form,
            content,
            stat,
        })
    }

    /// Whether the request can change the registry.
    pub(super) fn mutates(&self) -> bool {
        self.route
            .as_ref()
            .is_none_or(|route| route.operation.mutates())
    }

    /// Whether the request is a DELETE, with a route or without.
    pub(super) fn deletes(&self) -> bool {
        // Without a route every other method passes untouched.
        self.route
            .as_ref()
            .is_none_or(|route| route.operation.deletes())
    }

    /// Whether the request ends an upload at a URL that only the registry
    /// understands.
    pub(super) fn is_foreign_upload(&self) -> bool {
        let route = self.route.as_ref();
        route.is_some_and(|route| matches!(route.operation, Operation::FinishForeignUpload(_)))
    }

    /// Returns what to look up before a manifest is deleted by its digest: the
    /// client to ask, the repository and the digest that its tags point at. `None`
    /// if nothing is to be looked up.
    pub(super) fn untag_lookup(&self) -> Option<(&StatClient, &str, &str)> {
        let route = self.route.as_ref().filter(|_| self.settings.untag_lookup)?;
        let Operation::DeleteManifest(Reference::Digest(digest)) = &route.operation else {
            return None;
        };
        let Some(stat) = &self.stat else {
            missing_fact("untagged");
            if self.settings.memory.may_log("untag lookup") {
                tracing::warn!("untag_lookup needs a service to ask; set one with stat_with");
            }
            return None;
        };
        Some((stat, route.repository.as_deref()?, digest))
    }

    /// Looks up the tags that the deletion of a digest removes with it. Must be
    /// called before the request is passed on, while the tags still exist.
    pub(super) async fn look_up_tags(&self) -> Vec<String> {
        let Some((stat, repository, digest)) = self.untag_lookup() else {
            return Vec::new();
        };
        let lookup = stat.tags_of(repository, digest);
        let tags = tokio::time::timeout(self.settings.stat_timeout, lookup).await;
        tags.unwrap_or_else(|_| {
            if self.settings.memory.may_log("lookup of tags") {
                tracing::warn!(repository, "looking up tags took too long");
            }
            missing_fact("untagged");
            Vec::new()
        })
    }
}

/// The `Content-Type` of a request body that may be a form.
pub(super) enum FormType {
    Known(String),
    /// The registry may see another type.
    Unclear,
}

impl FormType {
    fn of(content_type: &Single<'_>, headers: &HeaderMap) -> Option<Self> {
        // Go ignores an invalid parameter of the type.
        let text = |value: &HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes());
            route::form::is_form(&text).then(|| text.into_owned())
        };
        match content_type {
            Single::Absent => None,
            Single::Value(value) => text(value).map(Self::Known),
            Single::Unclear => {
                let mut values = headers.get_all(CONTENT_TYPE).iter();
                let any = values.any(|value| text(value).is_some());
                any.then_some(Self::Unclear)
            }
        }
    }
}

/// Returns how many bytes of the request body to keep, or `None` if the body need
/// not be observed. With 0 only its length is counted.
fn tap_limit(operation: &Operation, form: bool) -> Option<usize> {
    match operation {
        Operation::PushManifest { .. } => Some(MANIFEST_LIMIT),
        Operation::StartUpload(_)
        | Operation::FinishUpload(_)
        | Operation::FinishForeignUpload(_) => Some(if form { FORM_LIMIT } else { 0 }),
        _ => None,
    }
}

/// Whether a stat may be needed.
fn may_stat(operation: Option<&Operation>, settings: &Settings) -> bool {
    match operation {
        None | Some(Operation::DeleteBlob(_)) => false,
        Some(Operation::DeleteManifest(_)) => settings.untag_lookup,
        Some(_) => true,
    }
}
