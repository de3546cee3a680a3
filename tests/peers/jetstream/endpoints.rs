//! Endpoints that are added to workers, taken out of their configuration, or not valid.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use tokio::time::{Instant, sleep};
use tower_registry_notifications::{Endpoint, Notifier};

use crate::contents::context;
use crate::receiver::Receiver;
use crate::server::{Server, Version};
use crate::worker::{SECOND, endpoint, settings, until, worker, write};

/// An endpoint that is taken out of the configuration keeps events in the stream until
/// it is removed. One that is added gets what the stream has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_added_and_removed() {
    for version in Version::ALL {
        let server = Server::start(version);
        let settings = settings(&server);
        let (old, new) = (Receiver::start().await, Receiver::start().await);
        let both = worker(&settings, &[("old one", &old), ("new", &new)]).await;
        write(&settings, 5, 0..4).await;
        until(&old, 20).await;
        until(&new, 20).await;
        both.shutdown(10 * SECOND).await;
        let worker = worker(&settings, &[("new", &new)]).await;
        write(&settings, 5, 4..8).await;
        until(&new, 40).await;
        sleep(3 * SECOND).await;
        let context = context(&server.url()).await;
        let mut stream = context.get_stream(&worker.status().stream).await.unwrap();
        assert!(stream.info().await.unwrap().state.messages >= 20);
        assert_eq!(settings.remove_endpoint("other").await.unwrap(), 0);
        assert_eq!(settings.remove_endpoint("old one").await.unwrap(), 4);
        let deadline = Instant::now() + 30 * SECOND;
        while stream.info().await.unwrap().state.messages > 0 {
            assert!(Instant::now() < deadline);
            sleep(SECOND / 10).await;
        }
        worker.shutdown(10 * SECOND).await;
        assert_eq!((old.events(), new.events()), (20, 40));
    }
}

/// What a worker is told to deliver to is looked at before the server is.
#[tokio::test]
async fn an_endpoint_that_is_not_valid_leaves_no_consumers() {
    let server = Server::start(Version::New);
    let settings = settings(&server);
    let receiver = Receiver::start().await;
    let endpoints = Notifier::builder()
        .endpoint(endpoint("fine", &receiver))
        .endpoint(Endpoint::new("wrong", "ftp://x"));
    assert!(settings.worker(endpoints).await.unwrap_err().is_setting());
    let context = context(&server.url()).await;
    let mut stream = context.get_stream("REGISTRY_NOTIFICATIONS").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.consumer_count, 0);
}

/// What this process logs from now on, warnings and errors. For all threads: with several
/// subscribers, one of a thread may miss what another thread was the first to log.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone());
    subscriber.init();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Returns the lines that have both texts.
    fn lines(&self, text: &str, other: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = log.lines();
        let lines = lines.filter(|line| line.contains(text) && line.contains(other));
        lines.map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Once for each endpoint, with what to do, and not after that is done.
#[tokio::test]
async fn workers_warn_of_an_endpoint_that_no_worker_has_and_say_the_remedy() {
    for version in Version::ALL {
        // Nothing else in this process has such a name.
        let name = format!("without a worker on {version:?}");
        let told = || LOG.lines("no worker delivers to this endpoint", &name);
        assert!(told().is_empty());
        let server = Server::start(version);
        let settings = settings(&server);
        let (old, new) = (Receiver::start().await, Receiver::start().await);
        let both = worker(&settings, &[(&name, &old), ("new", &new)]).await;
        write(&settings, 5, 0..2).await;
        until(&old, 10).await;
        both.shutdown(10 * SECOND).await;

        let alone = worker(&settings, &[("new", &new)]).await;
        let deadline = Instant::now() + 30 * SECOND;
        while told().is_empty() {
            assert!(Instant::now() < deadline, "{version:?}");
            sleep(SECOND / 10).await;
        }
        sleep(3 * SECOND).await;
        let [line] = &told()[..] else {
            panic!("{:#?}", told());
        };
        for word in ["WARN", "start a worker", "--remove-endpoint"] {
            assert!(line.contains(word), "{line}");
        }
        assert_eq!(settings.remove_endpoint(&name).await.unwrap(), 4);
        alone.shutdown(10 * SECOND).await;

        let alone = worker(&settings, &[("new", &new)]).await;
        sleep(4 * SECOND).await;
        alone.shutdown(10 * SECOND).await;
        assert_eq!(told().len(), 1);
    }
}
