//! Decides from the response whether a request makes events: [`Answer`].
//!
//! Each fact comes from the first source that has it: what the registry states in
//! [`ResponseFacts`], then the response's headers, the request, the bytes of the
//! manifest, and what earlier exchanges have shown.

use http::{Response, StatusCode};

use super::exchange::Exchange;
use super::facts::Facts;
use super::headers;
use super::observed::Observed;
use super::outcome::{ListenerCall, Outcome};
use super::response_facts::ResponseFacts;
use crate::bridge::Bridge;
use crate::event::ActorRecord;
use crate::metrics::{self, missing_fact};

/// The result of [`answer`].
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Answer {
    /// No event.
    Nothing,
    /// At least one event.
    Outcome(Outcome),
    /// A blob was pushed, and nothing shows to which repository.
    Unattributed,
}

/// Decides whether the response makes events of the request, and remembers the
/// sizes that it shows. `looked_up` are the tags that pointed at a manifest
/// before it was deleted.
pub(super) fn answer<R>(
    mut exchange: Box<Exchange>,
    response: &Response<R>,
    looked_up: Vec<String>,
) -> Answer {
    let status = response.status();
    let stated = response.extensions().get::<ResponseFacts>();
    if !status.is_success() && !status.is_redirection() {
        // An error usually means that nothing happened.
        let unknown = stated.and_then(|facts| facts.outcome_unknown);
        if unknown.unwrap_or_else(|| may_be_lost(status)) && exchange.mutates() {
            metrics::unknown_outcome();
        }
        return Answer::Nothing;
    }
    let observed = Observed::new(&exchange, status, response.headers());
    let observed_call = observed.call();
    let repository_deleted = stated
        .and_then(|facts| facts.repository_deleted.clone())
        .filter(|_| exchange.deletes() && status.is_success());
    let (call, facts, repository) = match observed_call {
        Some((call, facts)) => {
            let stated = stated.and_then(|facts| facts.repository.as_deref());
            let other = observed.other_repository(stated);
            let requested = || exchange.route.as_mut()?.repository.take();
            let repository = other.or_else(requested);
            if repository.is_none() {
                missing_fact("repository");
                if exchange.is_foreign_upload() {
                    return Answer::Unattributed;
                }
            }
            (
                Some(with_tags(call, stated_tags(response), looked_up)),
                facts,
                repository,
            )
        }
        None if repository_deleted.is_some() => (None, Facts::default(), None),
        None => return Answer::Nothing,
    };
    if exchange.route.as_ref().is_some_and(|route| route.ambiguous) {
        metrics::ambiguous_name();
    }
    let facts = Facts::stated(stated).or(facts);
    let facts = read_pushed(&exchange, call.as_ref(), facts);
    let body_is_content = !exchange.head && headers::is_whole(status, response.headers());
    let mut outcome = Outcome {
        repository: repository.unwrap_or_default(),
        call,
        repository_deleted,
        facts,
        head: exchange.head,
        body_is_content,
        settings: exchange.settings.clone(),
        bridge: bridge(exchange, response),
    };
    outcome.learn_and_recall();
    Answer::Outcome(outcome)
}

/// Whether an error may stand for a response that was lost: timeout layers and gateways
/// between this layer and the registry give up, whatever the registry does.
fn may_be_lost(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Returns the bridge of the request. An actor that the response names replaces
/// the request's.
fn bridge<R>(exchange: Box<Exchange>, response: &Response<R>) -> Bridge {
    let extensions = response.extensions();
    let actor = extensions
        .get::<ResponseFacts>()
        .and_then(|facts| facts.actor.as_ref())
        .or_else(|| extensions.get::<ActorRecord>());
    let Exchange {
        origin, settings, ..
    } = *exchange;
    let notifier = &settings.notifier;
    Bridge::from_origin(settings.sink(), origin.with_actor(actor))
        .source(notifier.source())
        .include_references(notifier.includes_references())
}

/// Adds the facts that the bytes of a pushed manifest show.
fn read_pushed(exchange: &Exchange, call: Option<&ListenerCall>, facts: Facts) -> Facts {
    let (Some(ListenerCall::ManifestPushed { .. }), Some(tap)) = (call, &exchange.tap) else {
        return facts;
    };
    let tap = tap.lock();
    let settings = &exchange.settings;
    match tap.content() {
        // A client that claims a `Content-Encoding` which the registry ignores
        // must not hide its references. If the digest that the registry states
        // is that of the bytes, the bytes are the manifest.
        Some(content) if exchange.plain || facts.digest_is_of(content) => {
            let include_references = settings.notifier.includes_references();
            facts.read_manifest(content, &settings.memory, include_references)
        }
        _ => facts,
    }
}

/// Returns the tags that the registry says were removed with a manifest.
fn stated_tags<R>(response: &Response<R>) -> Option<&Vec<String>> {
    let facts = response.extensions().get::<ResponseFacts>()?;
    Some(&facts.untagged).filter(|tags| !tags.is_empty())
}

/// Adds to the deletion of a manifest the tags that were removed with it: those
/// that the registry states, else those that were looked up before.
fn with_tags(
    call: ListenerCall,
    stated: Option<&Vec<String>>,
    looked_up: Vec<String>,
) -> ListenerCall {
    match call {
        ListenerCall::ManifestDeleted { digest, .. } => ListenerCall::ManifestDeleted {
            digest,
            untagged: stated.cloned().unwrap_or(looked_up),
        },
        call => call,
    }
}
