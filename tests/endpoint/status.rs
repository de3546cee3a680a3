//! What the status of an endpoint shows of the time that has passed.

use std::time::Duration;

use tokio::time::sleep;
use tower_registry_notifications::endpoint::EndpointStatus;
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

use crate::common::scripted::{Reply, event, scripted};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn status(notifier: &Notifier) -> EndpointStatus {
    notifier.status().endpoints.remove(0)
}

/// Nobody looks at an endpoint that is idle, so that the slots of its history are
/// ended by what comes next, which must not be counted among them.
#[tokio::test(start_paused = true)]
async fn an_event_after_an_idle_hour_stands_in_the_current_slot() {
    let (client, _log) = scripted(|_, _| Reply::Status(200));
    let endpoint = Endpoint::new("ci", "http://receiver").client(client);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    notifier.sink().write(&event("app", 1)).await.unwrap();
    sleep(HOUR).await;
    notifier.sink().write(&event("app", 2)).await.unwrap();
    sleep(SECOND).await;
    let status = status(&notifier);
    assert_eq!(status.successes, 2);
    let (history, rates) = (status.history, status.rates);
    assert_eq!(history.successes.last(), Some(&1), "{history:?}");
    assert_eq!(history.events.last(), Some(&1), "{history:?}");
    assert_eq!(rates.events_per_second, rates.successes_per_second);
    assert!(rates.events_per_second > 0.0, "{rates:?}");
}

/// Events that were there at the end of a slot are not counted in the next one.
#[tokio::test(start_paused = true)]
async fn an_event_stays_in_the_slot_of_its_time() {
    let (client, _log) = scripted(|_, _| Reply::Hang);
    let endpoint = Endpoint::new("ci", "http://receiver").client(client);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    notifier.sink().write(&event("app", 1)).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(status(&notifier).history.events, [1]);
    sleep(12 * SECOND).await;
    assert_eq!(status(&notifier).history.events, [1, 0]);
    notifier.sink().write(&event("app", 2)).await.unwrap();
    assert_eq!(status(&notifier).history.events, [1, 1]);
    sleep(30 * SECOND).await;
    assert_eq!(status(&notifier).history.events, [1, 1, 0, 0, 0]);
}
