//! A request that may become an event: [`Exchange`].

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};

use super::facts::Facts;
use super::headers;
use super::observed::Observed;
use super::origin::{EndToEnd, Only, Origin};
use super::outcome::{ListenerCall, Outcome};
use super::response_facts::ResponseFacts;
use super::route::{self, Operation, Reference, Route};
use super::settings::Settings;
use super::stat::{Internal, StatClient};
use super::tap::SharedTap;
use super::uploads::{Chunk, PatchWatch};
use crate::bridge::Bridge;
use crate::event::{ActorRecord, MANIFEST_LIMIT};
use crate::metrics::{self, missing_fact};

/// Bytes of the largest form body that is searched for upload parameters.
const FORM_LIMIT: usize = 1 << 20;

/// What the layer watches a request for.
pub(super) enum Watch {
    /// It may become an event.
    Exchange(Box<Exchange>),
    /// It brings a part of a blob.
    Patch(Arc<Settings>, PatchWatch),
}

impl Watch {
    /// `None` for a request that passes untouched: nothing that the inner
    /// service may answer makes an event. Allocates nothing then.
    pub(super) fn new(settings: &Arc<Settings>, parts: &Parts) -> Option<Self> {
        if parts.extensions.get::<Internal>().is_some() {
            return None;
        }
        if parts.method == Method::PATCH {
            let uploads = &settings.memory.uploads;
            let patch = PatchWatch::new(uploads, &settings.prefix, &parts.uri, &parts.headers);
            return Some(Self::Patch(settings.clone(), patch));
        }
        Exchange::new(settings, parts).map(|exchange| Self::Exchange(Box::new(exchange)))
    }

    /// The tap that the request body must pass, if any.
    pub(super) fn tap(&self) -> Option<&SharedTap> {
        match self {
            Self::Exchange(exchange) => exchange.tap.as_ref(),
            Self::Patch(_, patch) => patch.tap(),
        }
    }
}

/// A request that may become an event, as it was before the inner service
/// received it.
pub(super) struct Exchange {
    pub(super) settings: Arc<Settings>,
    /// `None` for a DELETE of something that only the registry knows.
    pub(super) route: Option<Route>,
    pub(super) uri: Uri,
    head: bool,
    origin: Origin,
    /// The upload that this request ends, if its bytes were counted.
    pub(super) chunk: Option<Chunk>,
    /// `None` if the request body is certainly no form.
    pub(super) form: Option<FormType>,
    /// What the request says of a manifest in its body.
    pub(super) content: Facts,
    /// Whether the request body is sent as it is, not compressed.
    pub(super) plain: bool,
    pub(super) tap: Option<SharedTap>,
    pub(super) stat: Option<StatClient>,
}

impl Exchange {
    fn new(settings: &Arc<Settings>, parts: &Parts) -> Option<Self> {
        let route = route::find(&settings.prefix, &parts.method, &parts.uri);
        let head = parts.method == Method::HEAD;
        if match &route {
            Some(_) => head && !settings.head_pulls,
            None => parts.method != Method::DELETE,
        } {
            return None;
        }
        let operation = route.as_ref().map(|route| &route.operation);
        let chunk = match operation {
            Some(Operation::FinishUpload(_) | Operation::FinishForeignUpload(_)) => {
                let uploads = &settings.memory.uploads;
                uploads.take(&settings.prefix, &parts.uri, &parts.headers)
            }
            _ => None,
        };
        // Where the registry may see another type than the layer, only the body
        // tells what it is.
        let content_type = EndToEnd::of(&parts.headers).only(&CONTENT_TYPE).text();
        let form = FormType::of(&parts.headers);
        let content = match operation {
            Some(Operation::PushManifest { .. }) => Facts::of_type(content_type),
            _ => Facts::default(),
        };
        let limit = operation.and_then(|operation| tap_limit(operation, form.is_some()));
        let stat = if may_stat(operation, settings) {
            StatClient::new(settings, parts)
        } else {
            None
        };
        Some(Self {
            origin: Origin::of(parts, settings.origin()),
            settings: settings.clone(),
            uri: parts.uri.clone(),
            plain: headers::is_plain(&parts.headers),
            tap: limit.map(SharedTap::new),
            route,
            head,
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

    /// Whether a refusal of this request may have a body.
    pub(super) fn is_head(&self) -> bool {
        self.head
    }

    /// The repository and digest whose tags are removed with it, if they are
    /// to be looked up.
    pub(super) fn untags(&self) -> Option<(&StatClient, &str, &str)> {
        let route = self.route.as_ref().filter(|_| self.settings.untag_lookup)?;
        let Operation::DeleteManifest(Reference::Digest(digest)) = &route.operation else {
            return None;
        };
        let Some(stat) = &self.stat else {
            missing_fact("untagged");
            if self.settings.memory.may_log("untag lookup") {
                tracing::warn!("untag_lookup needs a service to ask: set stat_with");
            }
            return None;
        };
        Some((stat, route.repository.as_deref()?, digest))
    }

    /// Looks up the tags that the deletion of a digest removes with it, while
    /// they are there.
    pub(super) async fn look_up_tags(&self) -> Vec<String> {
        let Some((stat, repository, digest)) = self.untags() else {
            return Vec::new();
        };
        let lookup = stat.tags_of(repository, digest);
        let tags = tokio::time::timeout(self.settings.stat_timeout, lookup).await;
        tags.unwrap_or_else(|_| {
            if self.settings.memory.may_log("lookup of tags") {
                tracing::warn!(repository, "a lookup of tags took too long");
            }
            missing_fact("untagged");
            Vec::new()
        })
    }

    /// Returns what the response makes of the request, and remembers what it
    /// shows. `untagged` was looked up before.
    pub(super) fn answered<R>(mut self, response: &Response<R>, untagged: Vec<String>) -> Answered {
        let status = response.status();
        let stated = response.extensions().get::<ResponseFacts>();
        if !status.is_success() && !status.is_redirection() {
            if stated.is_some_and(|facts| facts.outcome_unknown) && self.mutates() {
                metrics::unknown_outcome();
            }
            return Answered::Nothing;
        }
        let observed = Observed {
            status,
            headers: response.headers(),
            exchange: &self,
        };
        let found = self.route.as_ref().and_then(|route| observed.call(route));
        let deleted = stated.and_then(|facts| facts.repository_deleted.clone());
        let deleted = deleted.filter(|_| self.uri_is_of_delete() && status.is_success());
        let (call, content, repository) = match (found, &deleted) {
            (Some((call, content)), _) => {
                let stated = stated.and_then(|facts| facts.repository.as_deref());
                let repository = observed.repository(stated);
                (Some(call), content, repository)
            }
            (None, Some(_)) => (None, Facts::default(), None),
            (None, None) => return Answered::Nothing,
        };
        let foreign = matches!(
            self.route.as_ref().map(|route| &route.operation),
            Some(Operation::FinishForeignUpload(_))
        );
        if repository.is_none() && call.is_some() {
            missing_fact("repository");
            if foreign {
                return Answered::Unattributed;
            }
        }
        let ambiguous = self.route.as_ref().is_some_and(|route| route.ambiguous);
        if ambiguous {
            metrics::ambiguous_name();
        }
        let actor = stated
            .and_then(|facts| facts.actor.as_ref())
            .or_else(|| response.extensions().get::<ActorRecord>())
            .cloned();
        self.origin.count_omitted(actor.is_some());
        let actor = actor.unwrap_or_else(|| std::mem::take(&mut self.origin.actor));
        let repository = repository.unwrap_or_default();
        let facts = Facts::stated(stated).or(content);
        let whole = !self.head && headers::is_whole(status, response.headers());
        Answered::Outcome(Box::new(self.outcome(
            call.map(|call| with_tags(call, stated, untagged)),
            deleted,
            repository,
            facts,
            actor,
            whole,
        )))
    }

    fn uri_is_of_delete(&self) -> bool {
        self.route.as_ref().is_none_or(|route| {
            matches!(
                route.operation,
                Operation::DeleteBlob(_) | Operation::DeleteManifest(_)
            )
        })
    }

    fn outcome(
        self,
        call: Option<ListenerCall>,
        deleted: Option<String>,
        repository: String,
        facts: Facts,
        actor: ActorRecord,
        body_is_content: bool,
    ) -> Outcome {
        let notifier = &self.settings.notifier;
        let include_references = notifier.includes_references();
        let facts = self.read_pushed(call.as_ref(), facts, include_references);
        let bridge = Bridge::new(self.settings.sink(), &self.origin.request)
            .source(notifier.source())
            .actor(actor)
            .base_url(self.origin.base_url)
            .include_references(include_references);
        let mut outcome = Outcome {
            bridge,
            repository,
            call,
            repository_deleted: deleted,
            facts,
            head: self.head,
            body_is_content,
            settings: self.settings,
        };
        outcome.learn_and_recall();
        outcome
    }

    /// Adds what the bytes of a manifest say that was just pushed.
    fn read_pushed(
        &self,
        call: Option<&ListenerCall>,
        facts: Facts,
        include_references: bool,
    ) -> Facts {
        let (Some(ListenerCall::ManifestPushed { .. }), Some(tap)) = (call, &self.tap) else {
            return facts;
        };
        let tap = tap.lock();
        match tap.content() {
            // What a request says of its encoding counts only as long as the
            // bytes are not what the digest names.
            Some(content) if self.plain || facts.names(content) => {
                facts.read_manifest(content, &self.settings.memory, include_references)
            }
            _ => facts,
        }
    }
}

/// The `Content-Type` of a request body that may be a form.
pub(super) enum FormType {
    Known(String),
    /// Another registry may see another type.
    Unclear,
}

impl FormType {
    fn of(headers: &HeaderMap) -> Option<Self> {
        // Go takes an invalid parameter of the type for none.
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        match EndToEnd::of(headers).only(&CONTENT_TYPE) {
            Only::Absent => None,
            Only::Value(value) => {
                let form = Some(text(value)).filter(|it| route::form::is_form(it));
                form.map(Self::Known)
            }
            Only::Unclear => {
                let mut values = headers.get_all(CONTENT_TYPE).iter();
                let any = values.any(|value| route::form::is_form(&text(value)));
                any.then_some(Self::Unclear)
            }
        }
    }
}

/// What the response makes of a request.
pub(super) enum Answered {
    /// No event.
    Nothing,
    /// At least one event.
    Outcome(Box<Outcome>),
    /// A blob was pushed, and nothing shows to which repository.
    Unattributed,
}

/// Bytes of the request body that are kept; `None` if it need not be observed.
fn tap_limit(operation: &Operation, form: bool) -> Option<usize> {
    match operation {
        Operation::PushManifest { .. } => Some(MANIFEST_LIMIT),
        Operation::StartUpload(_) if form => Some(FORM_LIMIT),
        Operation::FinishUpload(query) | Operation::FinishForeignUpload(query)
            if form && query.digest.is_none() =>
        {
            Some(FORM_LIMIT)
        }
        Operation::StartUpload(_)
        | Operation::FinishUpload(_)
        | Operation::FinishForeignUpload(_) => Some(0),
        _ => None,
    }
}

/// Whether a question to the registry may arise.
fn may_stat(operation: Option<&Operation>, settings: &Settings) -> bool {
    match operation {
        None | Some(Operation::DeleteBlob(_)) => false,
        Some(Operation::DeleteManifest(_)) => settings.untag_lookup,
        Some(_) => true,
    }
}

/// A deletion with the tags that were removed with it: those that the registry
/// names, or those that were looked up before.
fn with_tags(
    call: ListenerCall,
    stated: Option<&ResponseFacts>,
    looked_up: Vec<String>,
) -> ListenerCall {
    let ListenerCall::ManifestDeleted { digest, .. } = call else {
        return call;
    };
    let stated = stated.map(|facts| &facts.untagged);
    let stated = stated.filter(|tags| !tags.is_empty()).cloned();
    let untagged = stated.unwrap_or(looked_up);
    ListenerCall::ManifestDeleted { digest, untagged }
}
