//! A notifier over a journal that works in turns, with a receiver that always gives
//! the same answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tower::{BoxError, service_fn};

use crate::endpoint::{Backoff, EndpointStatus};
use crate::event::{Action, Envelope, Event, SharedEvent, SourceRecord};
use crate::journal::tests::SimulatedDisk;
use crate::journal::{Journal, JournalOptions};
use crate::sink::Sink as _;
use crate::{Endpoint, Notifier, NotifierBuilder};

/// The pause between two turns of the journal.
const TURN: Duration = Duration::from_millis(100);

/// What a receiver was asked: the tags of the events, each with its source instance
/// and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Posted {
    pub(super) tag: String,
    pub(super) instance: String,
    pub(super) number: Option<u64>,
}

/// A receiver that always gives the same answer.
#[derive(Clone, Default)]
pub(super) struct Receiver {
    status: Arc<AtomicU16>,
    pub(super) accepted: Arc<Mutex<Vec<Posted>>>,
}

impl Receiver {
    pub(super) fn answering(status: u16) -> Self {
        let receiver = Self::default();
        receiver.answer(status);
        receiver
    }

    pub(super) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint_named("a")
    }

    pub(super) fn endpoint_named(&self, name: &str) -> Endpoint {
        let receiver = self.clone();
        let client = service_fn(move |request: Request<Bytes>| {
            let status = receiver.status.load(Ordering::SeqCst);
            if status == 200 {
                receiver.accepted.lock().unwrap().extend(posted(&request));
            }
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = status.try_into().unwrap();
            async move { Ok::<_, BoxError>(response) }
        });
        Endpoint::new(name, "http://receiver")
            .client(client)
            .sequence(true)
            .retry(Backoff::new().cap(Duration::from_secs(20)))
    }
}

fn posted(request: &Request<Bytes>) -> Vec<Posted> {
    let envelope: Envelope = serde_json::from_slice(request.body()).unwrap();
    let numbers = request.headers().get("notification-sequence");
    let numbers = numbers.map(|it| it.to_str().unwrap().split(','));
    let mut numbers = numbers.into_iter().flatten();
    let posted = envelope.events.into_iter().map(|event| Posted {
        tag: event.target.tag,
        instance: event.source.instance_id,
        number: numbers.next().map(|it| it.parse().unwrap()),
    });
    posted.collect()
}

/// A notifier with one endpoint `a`, and a journal that works by itself.
pub(super) struct Stage {
    pub(super) notifier: Notifier,
    pub(super) journal: Journal,
    _turns: Turns,
}

/// Lets a journal work as long as it lives.
struct Turns(AbortHandle);

impl Drop for Turns {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Stage {
    pub(super) fn new(
        disk: &SimulatedDisk,
        options: JournalOptions,
        configure: impl FnOnce(NotifierBuilder) -> NotifierBuilder,
    ) -> Self {
        let journal = disk.open_with(options).unwrap();
        let turning = journal.clone();
        let turns = tokio::spawn(async move {
            loop {
                sleep(TURN).await;
                turning.turn();
            }
        });
        let builder = Notifier::builder().source(SourceRecord::new("registry:5000"));
        let notifier = configure(builder.journal(journal.clone())).build().unwrap();
        Self {
            notifier,
            journal,
            _turns: Turns(turns.abort_handle()),
        }
    }

    /// Writes an event, which has to be on disk then.
    pub(super) async fn write(&self, tag: u64) {
        self.write_at(tag, SystemTime::now()).await;
    }

    pub(super) async fn write_at(&self, tag: u64, time: SystemTime) {
        let mut event = Event::new(Action::Push);
        event.target.repository = format!("r{}", tag % 7);
        event.target.tag = tag.to_string();
        let source = (*self.notifier.source()).clone();
        let event = SharedEvent::accepted(&event, source, time);
        self.notifier.sink().write(&event).await.unwrap();
        assert_eq!(self.notifier.status().not_durable, 0, "{tag}");
    }

    pub(super) fn endpoint(&self) -> EndpointStatus {
        self.notifier.status().endpoints.remove(0)
    }

    /// Waits until no endpoint has an event any more.
    pub(super) async fn drained(&self) {
        for _ in 0..100_000 {
            let endpoints = self.notifier.status().endpoints;
            if endpoints.iter().all(|it| it.pending == 0) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{:#?}", self.notifier.status());
    }

    /// Ends like a process that is killed.
    pub(super) async fn kill(self) {
        drop(self);
        // What is aborted or stopped is gone only when it was polled.
        sleep(Duration::from_secs(1)).await;
    }
}

/// Whether no two events of one source instance have the same number.
pub(super) fn numbers_are_unique(posted: &[Posted]) -> bool {
    let mut known = HashMap::new();
    let mut all = posted.iter().filter(|it| it.number.is_some());
    all.all(|it| {
        let first = known.entry((&it.instance, it.number)).or_insert(&it.tag);
        *first == &it.tag
    })
}
