//! Collects the events that a receiver gets.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::UnboundedReceiver;
use tower_registry_notifications::event::{Envelope, Event};

use crate::common::Received;

#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<Vec<Event>>>);

impl Collected {
    /// Collects what is received from now on.
    pub(crate) fn of(mut received: UnboundedReceiver<Received>) -> Self {
        let collected = Self::default();
        let to = collected.clone();
        tokio::spawn(async move {
            while let Some(received) = received.recv().await {
                let envelope: Envelope = serde_json::from_slice(&received.body).unwrap();
                to.0.lock().unwrap().extend(envelope.events);
            }
        });
        collected
    }

    /// Returns the events so far of requests whose user agent begins with this text.
    pub(crate) fn by(&self, agent: &str) -> Vec<Event> {
        let events = self.0.lock().unwrap();
        let by = events
            .iter()
            .filter(|it| it.request.user_agent.starts_with(agent));
        by.cloned().collect()
    }
}
