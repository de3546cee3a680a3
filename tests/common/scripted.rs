//! A receiver that follows a script, in place of the HTTP client, so that time
//! can stand still.

// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{BoxError, Service, service_fn};
use tower_registry_notifications::event::{Action, Envelope, Event, SharedEvent};

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// 200 after this time.
    Late(Duration),
    /// A status, a header and a body.
    Answer(u16, (&'static str, &'static str), String),
    Reset,
    Hang,
}

/// A request that the receiver got.
#[derive(Clone, Debug)]
pub(crate) struct PostedRequest {
    /// The time since the receiver was made.
    pub(crate) at: Duration,
    pub(crate) headers: HeaderMap,
    /// `repository/tag` of each event.
    pub(crate) events: Vec<String>,
}

/// Everything that the receiver got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    got: Vec<PostedRequest>,
    accepted: Vec<String>,
    under_way: HashSet<String>,
    requests: usize,
    most: usize,
}

impl Log {
    pub(crate) fn got(&self) -> Vec<PostedRequest> {
        self.0.lock().unwrap().got.clone()
    }

    /// Returns the times at which requests arrived, in whole seconds.
    pub(crate) fn seconds(&self) -> Vec<u64> {
        self.got().iter().map(|got| got.at.as_secs()).collect()
    }

    /// Returns the accepted events in their order.
    pub(crate) fn accepted(&self) -> Vec<String> {
        self.0.lock().unwrap().accepted.clone()
    }

    /// Returns the highest number of concurrent requests.
    pub(crate) fn most_at_once(&self) -> usize {
        self.0.lock().unwrap().most
    }
}

/// Returns a client whose n-th request (from 0) is answered by `script`.
pub(crate) fn scripted(
    script: impl Fn(usize, &[String]) -> Reply + Send + Sync + 'static,
) -> (
    impl Service<Request<Bytes>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + 'static,
    Log,
) {
    let (log, start) = (Log::default(), Instant::now());
    let script = Arc::new(script);
    let client = service_fn({
        let log = log.clone();
        move |request: Request<Bytes>| {
            let guard = UnderWay::begin(&log, start, &request);
            let reply = script(guard.number, &guard.events);
            async move { guard.answer(reply).await }
        }
    });
    (client, log)
}

/// Counts a request while it is under way, also if the client hangs up.
struct UnderWay {
    log: Log,
    number: usize,
    events: Vec<String>,
    repositories: HashSet<String>,
}

impl UnderWay {
    fn begin(log: &Log, start: Instant, request: &Request<Bytes>) -> Self {
        let envelope: Envelope = serde_json::from_slice(request.body()).unwrap();
        let name = |event: &Event| format!("{}/{}", event.target.repository, event.target.tag);
        let events: Vec<_> = envelope.events.iter().map(name).collect();
        let repositories = envelope.events.into_iter().map(|it| it.target.repository);
        let repositories: HashSet<_> = repositories.collect();
        let mut state = log.0.lock().unwrap();
        let number = state.got.len();
        for repository in &repositories {
            let free = state.under_way.insert(repository.clone());
            assert!(free, "two requests with events of {repository} at a time");
        }
        state.requests += 1;
        state.most = state.most.max(state.requests);
        state.got.push(PostedRequest {
            at: start.elapsed(),
            headers: request.headers().clone(),
            events: events.clone(),
        });
        Self {
            log: log.clone(),
            number,
            events,
            repositories,
        }
    }

    async fn answer(self, reply: Reply) -> Result<Response<Full<Bytes>>, BoxError> {
        let mut response = Response::new(Full::default());
        let status = match reply {
            Reply::Status(status) => status,
            Reply::Late(wait) => {
                tokio::time::sleep(wait).await;
                200
            }
            Reply::Answer(status, (name, value), body) => {
                response.headers_mut().insert(name, value.parse()?);
                *response.body_mut() = Full::new(body.into());
                status
            }
            Reply::Reset => return Err("connection reset".into()),
            Reply::Hang => std::future::pending().await,
        };
        *response.status_mut() = status.try_into()?;
        if response.status().is_success() {
            let mut state = self.log.0.lock().unwrap();
            state.accepted.extend(self.events.iter().cloned());
        }
        Ok(response)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.log.0.lock().unwrap();
        state.requests -= 1;
        for repository in &self.repositories {
            state.under_way.remove(repository);
        }
    }
}

/// Returns an event with this repository and tag.
pub(crate) fn event(repository: &str, tag: impl ToString) -> SharedEvent {
    let mut event = Event::new(Action::Push);
    event.target.repository = repository.into();
    event.target.tag = tag.to_string();
    event.into()
}
