//! Webhook receivers that note what they got, and how often.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use tower_registry_notifications::event::Envelope;

/// A webhook receiver.
#[derive(Clone)]
pub(crate) struct Receiver {
    url: String,
    state: Arc<Received>,
}

#[derive(Default)]
struct Received {
    refuses: AtomicBool,
    /// How many requests were refused.
    refused: AtomicUsize,
    /// How many events it has, each counted once.
    count: AtomicUsize,
    /// The tags, which are numbers, of the events of each repository.
    events: Mutex<HashMap<String, Vec<usize>>>,
}

/// What a receiver got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Events, each counted once.
    pub(crate) events: usize,
    pub(crate) repeats: usize,
    /// First deliveries that came after a later one of their repository.
    pub(crate) out_of_order: Vec<String>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let state = Arc::new(Received::default());
        let router = Router::new().route("/events", post(receive));
        let router = router.with_state(state.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { url, state }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Answers 503 from now on, or does so no more.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }

    /// How many requests it has refused.
    pub(crate) fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }

    /// How many events it has, each counted once.
    pub(crate) fn events(&self) -> usize {
        self.state.count.load(Ordering::SeqCst)
    }

    /// The numbers that it got of a repository.
    pub(crate) fn numbers(&self, repository: &str) -> Vec<usize> {
        let events = self.state.events.lock().unwrap();
        events.get(repository).cloned().unwrap_or_default()
    }

    pub(crate) fn summary(&self) -> Summary {
        let received = self.state.events.lock().unwrap();
        let (mut events, mut repeats, mut out_of_order) = (0, 0, Vec::new());
        for (repository, numbers) in &*received {
            let mut seen = HashSet::new();
            let mut last = None;
            for number in numbers {
                if !seen.insert(number) {
                    repeats += 1;
                } else if last.is_some_and(|last| number < last) {
                    out_of_order.push(format!("{repository}: {number} after {last:?}"));
                } else {
                    last = Some(number);
                }
            }
            events += seen.len();
        }
        Summary {
            events,
            repeats,
            out_of_order,
        }
    }
}

async fn receive(State(state): State<Arc<Received>>, body: Bytes) -> StatusCode {
    if state.refuses.load(Ordering::SeqCst) {
        state.refused.fetch_add(1, Ordering::SeqCst);
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let envelope: Envelope = serde_json::from_slice(&body).unwrap();
    let mut events = state.events.lock().unwrap();
    for event in envelope.events {
        let number = event.target.tag.parse().unwrap();
        let repository = event.target.repository;
        let numbers = events.entry(repository).or_default();
        // From the end: repeats are recent.
        if !numbers.iter().rev().any(|known| *known == number) {
            state.count.fetch_add(1, Ordering::SeqCst);
        }
        numbers.push(number);
    }
    StatusCode::OK
}
