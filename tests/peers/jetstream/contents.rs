//! What a stream contains, read by the client of NATS alone.

use std::collections::HashMap;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use tower_registry_notifications::event::{Action, Event, SharedEvent};

/// A message of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) repository: String,
    /// The event in the body, which is in format v2.
    pub(crate) event: serde_json::Value,
}

pub(crate) async fn context(url: &str) -> Context {
    jetstream::new(async_nats::connect(url).await.unwrap())
}

/// Reads all messages of a stream, in their order.
pub(crate) async fn read(url: &str, stream: &str) -> Vec<Stored> {
    let context = context(url).await;
    let mut stream = context.get_stream(stream).await.unwrap();
    let count = stream.info().await.unwrap().state.messages;
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let messages = consumer.messages().await.unwrap();
    let wanted = usize::try_from(count).unwrap();
    let read = messages.take(wanted).map(|message| {
        let message = message.unwrap();
        let header = |name: &str| {
            let headers = message.headers.as_ref().unwrap();
            headers.get(name).unwrap().as_str().to_owned()
        };
        let mut body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        Stored {
            subject: message.subject.to_string(),
            id: header("Nats-Msg-Id"),
            repository: header("Repository"),
            event: body["event"].take(),
        }
    });
    read.collect().await
}

/// Creates the event that is the `number`-th of a repository.
pub(crate) fn event(repository: &str, number: usize) -> SharedEvent {
    let mut event = Event::new(Action::Push);
    event.target.repository = repository.into();
    event.target.tag = number.to_string();
    (&event).into()
}

/// Checks that every repository has its events from 0 to `count`, each once and
/// in order.
pub(crate) fn check(stored: &[Stored], repositories: usize, count: usize) {
    let mut numbers: HashMap<&str, Vec<usize>> = HashMap::new();
    for message in stored {
        let number = message.event["target"]["tag"].as_str().unwrap();
        let of_repository = numbers.entry(&message.repository).or_default();
        of_repository.push(number.parse().unwrap());
    }
    assert_eq!(numbers.len(), repositories);
    let expected: Vec<_> = (0..count).collect();
    for (repository, numbers) in numbers {
        assert_eq!(numbers, expected, "{repository}");
    }
}
