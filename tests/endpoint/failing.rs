//! An endpoint whose receiver follows a script.

use std::time::Duration;

use tower_registry_notifications::dead_letter::{DeadLetterChannel, DeadLetters};
use tower_registry_notifications::endpoint::EndpointStatus;
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

use crate::common::scripted::{Log, Reply, event, scripted};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// An endpoint whose receiver follows the script, and what that saw.
pub(super) fn endpoint(
    script: impl Fn(usize, &[String]) -> Reply + Send + Sync + 'static,
) -> (Endpoint, Log) {
    let (client, log) = scripted(script);
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    (endpoint.timeout(SECOND), log)
}

pub(super) fn notifier(endpoint: Endpoint) -> Notifier {
    Notifier::builder().endpoint(endpoint).build().unwrap()
}

pub(super) fn with_letters(endpoint: Endpoint) -> (Notifier, DeadLetters) {
    let (channel, letters) = DeadLetterChannel::new(1000);
    (notifier(endpoint.dead_letters(channel)), letters)
}

pub(super) async fn write(notifier: &Notifier, repository: &str, tags: std::ops::Range<usize>) {
    for tag in tags {
        notifier
            .sink()
            .write(&event(repository, tag))
            .await
            .unwrap();
    }
}

pub(super) fn status(notifier: &Notifier) -> EndpointStatus {
    notifier.status().endpoints.remove(0)
}

pub(super) fn names(repository: &str, tags: std::ops::Range<usize>) -> Vec<String> {
    tags.map(|tag| format!("{repository}/{tag}")).collect()
}
