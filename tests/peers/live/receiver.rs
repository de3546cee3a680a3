//! A webhook receiver that keeps what it gets.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use tokio::net::TcpListener;
use tower_registry_notifications::Format;
use tower_registry_notifications::event::{Envelope, Event};

/// The events that were posted, in order.
#[derive(Clone, Default)]
pub(crate) struct Receiver(Arc<Mutex<Vec<Event>>>);

impl Receiver {
    /// Serves as long as the test runs; answers with the URL to post to.
    pub(crate) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/events", post(receive))
            .with_state(self.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        format!("http://{address}/events")
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

/// Refuses what is not, to the byte, what the reference would post; the test
/// then misses the event.
async fn receive(State(to): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let right_type = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|it| it == "application/vnd.docker.distribution.events.v2+json");
    let envelope: Option<Envelope> = serde_json::from_slice(&body).ok();
    match envelope {
        Some(envelope)
            if right_type && envelope.events.len() == 1 && envelope.encode(Format::V2) == body =>
        {
            to.0.lock().unwrap().extend(envelope.events);
            StatusCode::OK
        }
        _ => StatusCode::BAD_REQUEST,
    }
}
