//! Deliveries in a runtime of their own.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, service_fn};
use tower_registry_notifications::event::{Action, Event, SharedEvent};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

const MINUTE: Duration = Duration::from_secs(60);

/// The threads in which requests are sent, for as long as a worker has the client.
type Threads = Arc<Mutex<Vec<Option<String>>>>;

fn endpoint(name: &str) -> (Endpoint, Weak<Mutex<Vec<Option<String>>>>, Threads) {
    let seen = Threads::default();
    // Lives as long as the client does.
    let client_lives = Threads::default();
    let weak = Arc::downgrade(&client_lives);
    let threads = seen.clone();
    let client = service_fn(move |_: Request<Bytes>| {
        let _lives = &client_lives;
        // A timer of that runtime, and not only its thread.
        let timer = tokio::time::sleep(Duration::ZERO);
        let name = std::thread::current().name().map(str::to_owned);
        threads.lock().unwrap().push(name);
        async move {
            timer.await;
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }
    });
    let endpoint = Endpoint::new(name, "http://receiver").client(client);
    (endpoint, weak, seen)
}

fn event() -> SharedEvent {
    Event::new(Action::Push).into()
}

/// A runtime that only waits for the test's own futures.
fn waiting() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().unwrap()
}

#[test]
fn deliveries_have_a_thread_of_their_own_and_need_no_other_runtime() {
    let (one, _, threads_of_one) = endpoint("one");
    let (two, _, threads_of_two) = endpoint("two");
    let notifier = Notifier::builder().own_runtime(true);
    let notifier = notifier.endpoint(one).endpoint(two).build().unwrap();
    let report = waiting().block_on(async {
        for _ in 0..10 {
            notifier.sink().write(&event()).await.unwrap();
        }
        notifier.shutdown(MINUTE).await
    });
    assert!(report.is_drained(), "{report}");
    let expected = vec![Some("notifications".to_owned()); 10];
    assert_eq!(*threads_of_one.lock().unwrap(), expected);
    assert_eq!(*threads_of_two.lock().unwrap(), expected);
}

#[test]
fn a_notifier_that_is_dropped_delivers_what_it_has_and_its_thread_ends() {
    let (endpoint, client, threads) = endpoint("e");
    let notifier = Notifier::builder().own_runtime(true).endpoint(endpoint);
    let notifier = notifier.build().unwrap();
    waiting().block_on(async {
        for _ in 0..10 {
            notifier.sink().write(&event()).await.unwrap();
        }
    });
    drop(notifier);
    let start = std::time::Instant::now();
    // The client goes with the worker.
    while client.strong_count() > 0 {
        assert!(start.elapsed() < MINUTE, "the worker does not end");
        std::thread::yield_now();
    }
    assert_eq!(threads.lock().unwrap().len(), 10);
}

/// Where tokio would panic: a runtime is dropped in another.
#[tokio::test]
async fn a_notifier_with_a_mistake_gives_up_its_runtime() {
    let notifier = Notifier::builder().own_runtime(true);
    let wrong = Endpoint::new("e", "ftp://receiver");
    let error = notifier.endpoint(wrong).build().unwrap_err();
    assert!(error.to_string().contains("ftp"), "{error}");
}

/// A shutdown from another runtime ends a worker that does not get anywhere.
#[tokio::test]
async fn a_shutdown_stops_workers_in_their_own_runtime() {
    let client = service_fn(|_: Request<Bytes>| {
        std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>()
    });
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    let notifier = Notifier::builder().own_runtime(true);
    let notifier = notifier.endpoint(endpoint).build().unwrap();
    notifier.sink().write(&event()).await.unwrap();
    let report = notifier.shutdown(Duration::from_millis(1)).await;
    assert_eq!(report.left[0].events(), 1, "{report}");
}
