//! The settings of a layer: [`Settings`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use super::origin::{BaseUrl, FromParts, OriginSettings, TrustedProxies};
use super::stat_service::StatService;
use crate::error::with_causes;
use crate::event::ActorRecord;
use crate::notifier::Notifier;
use crate::sink::{Acceptance, Sink, SinkError};

/// What the author of a registry has configured, and the memory that all services of
/// a layer share.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) notifier: Notifier,
    pub(super) prefix: String,
    pub(super) trusted_proxies: TrustedProxies,
    pub(super) base_url: BaseUrl,
    pub(super) https: bool,
    pub(super) actor: Option<Arc<FromParts<ActorRecord>>>,
    pub(super) basic_auth_actor: bool,
    pub(super) bearer_actor: bool,
    pub(super) peer_addr: Option<Arc<FromParts<SocketAddr>>>,
    pub(super) request_id: Option<Arc<FromParts<String>>>,
    pub(super) head_pulls: bool,
    pub(super) aborted_pulls: bool,
    pub(super) untag_lookup: bool,
    pub(super) fail_closed: bool,
    pub(super) accept_timeout: Duration,
    pub(super) stat_timeout: Duration,
    pub(super) detached_timeout: Duration,
    pub(super) stat: Option<StatService>,
    pub(super) memory: Arc<Memory>,
}

impl Settings {
    pub(super) fn new(notifier: Notifier) -> Self {
        Self {
            notifier,
            prefix: "/v2/".into(),
            trusted_proxies: TrustedProxies::none(),
            base_url: BaseUrl::from_request(),
            https: false,
            actor: None,
            basic_auth_actor: true,
            bearer_actor: false,
            peer_addr: None,
            request_id: None,
            head_pulls: true,
            aborted_pulls: true,
            untag_lookup: false,
            fail_closed: false,
            accept_timeout: Duration::from_secs(5),
            stat_timeout: Duration::from_secs(5),
            detached_timeout: Duration::from_secs(600),
            stat: None,
            memory: Arc::default(),
        }
    }

    /// Returns the settings on which the origin of a request depends.
    pub(super) fn origin(&self) -> OriginSettings<'_> {
        OriginSettings {
            prefix: &self.prefix,
            trusted_proxies: &self.trusted_proxies,
            peers: &self.memory.peers,
            base_url: &self.base_url,
            https: self.https,
            actor: self.actor.as_deref(),
            basic_auth_actor: self.basic_auth_actor,
            bearer_actor: self.bearer_actor,
            peer_addr: self.peer_addr.as_deref(),
            request_id: self.request_id.as_deref(),
        }
    }

    /// Returns the sink that events are written to.
    ///
    /// With fail-closed its writes are repeated until the sinks accept the event
    /// or the time limit of detached work passes. The registry has acted by
    /// then: a client that repeats a DELETE would only find that there is nothing
    /// to delete.
    pub(super) fn sink(&self) -> Arc<dyn Sink> {
        match self.fail_closed {
            true => {
                let memory = self.memory.clone();
                // The client gets its response when the time is up, so this error is
                // what says why.
                let failed = move |error: &SinkError| log_failure(&memory, error, true);
                let limit = self.detached_timeout;
                self.notifier.retrying_sink(limit, Arc::new(failed))
            }
            false => self.notifier.sink(),
        }
    }

    /// Waits for the sinks, and decides what their answer means for the client.
    /// The result is an error only if the client must not get the response.
    pub(super) fn accept(self: &Arc<Self>, write: Acceptance) -> Acceptance {
        match write.answer() {
            Ok(answer) => Acceptance::ready(self.judge(answer)),
            Err(write) => {
                let settings = self.clone();
                Acceptance::pending(async move {
                    let answer = settings.answer_in_time(write).await;
                    settings.judge(answer)
                })
            }
        }
    }

    async fn answer_in_time(&self, mut write: Acceptance) -> Result<(), SinkError> {
        if let Ok(answer) = tokio::time::timeout(self.accept_timeout, &mut write).await {
            return answer;
        }
        // Fail-open: an event that waits for room is outside the bounds of its queue,
        // so the write ends here. Fail-closed: the write continues. The number of such
        // writes stays bounded, because new requests are refused while a sink is not
        // ready.
        if self.fail_closed {
            let limit = self.detached_timeout;
            self.notifier.in_flight().spawn(limit, async move {
                if let Err(error) = write.await {
                    tracing::debug!(%error, "a sink did not accept an event");
                }
            });
        }
        Err(SinkError::other("sink did not answer in time"))
    }

    /// Logs why an event was not accepted. The result is an error only if the client
    /// must not get the response.
    fn judge(&self, answer: Result<(), SinkError>) -> Result<(), SinkError> {
        let Err(error) = answer else { return Ok(()) };
        log_failure(&self.memory, &error, self.fail_closed);
        match self.fail_closed {
            true => Err(error),
            false => Ok(()),
        }
    }
}

/// Logs why an event was not accepted: as a warning at most once in five minutes,
/// otherwise at debug level.
fn log_failure(memory: &Memory, error: &SinkError, fail_closed: bool) {
    let error = with_causes(error);
    if memory.may_log("sink") {
        tracing::warn!(error, fail_closed, "a sink did not accept an event");
    } else {
        tracing::debug!(error, fail_closed, "a sink did not accept an event");
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("notifier", &self.notifier)
            .field("prefix", &self.prefix)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("base_url", &self.base_url)
            .field("https", &self.https)
            .field("actor", &self.actor.is_some())
            .field("basic_auth_actor", &self.basic_auth_actor)
            .field("bearer_actor", &self.bearer_actor)
            .field("peer_addr", &self.peer_addr.is_some())
            .field("request_id", &self.request_id.is_some())
            .field("head_pulls", &self.head_pulls)
            .field("aborted_pulls", &self.aborted_pulls)
            .field("untag_lookup", &self.untag_lookup)
            .field("fail_closed", &self.fail_closed)
            .field("accept_timeout", &self.accept_timeout)
            .field("stat_timeout", &self.stat_timeout)
            .field("detached_timeout", &self.detached_timeout)
            .field("stat", &self.stat.is_some())
            .finish_non_exhaustive()
    }
}
