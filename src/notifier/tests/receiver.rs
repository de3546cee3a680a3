//! A receiver that answers at random, in place of the HTTP client.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, Service, service_fn};

use crate::event::Envelope;

/// An event that a receiver has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The life of the process in which it came.
    pub(super) life: usize,
    pub(super) endpoint: &'static str,
    /// `repository/tag`.
    pub(super) event: String,
}

/// All that the receivers have accepted, in order.
pub(super) type Log = Arc<Mutex<Vec<Accepted>>>;

/// Events that end with this are always rejected, and with that always fail.
const REJECTED: char = '7';
const FAILING: char = '9';

/// A receiver of one endpoint during one life. If it is `calm`, it accepts
/// everything but what it always rejects.
pub(super) fn receiver(
    endpoint: &'static str,
    life: usize,
    calm: bool,
    random: Rng,
    log: &Log,
) -> impl Service<Request<Bytes>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ 'static {
    let (random, log) = (Arc::new(Mutex::new(random)), log.clone());
    let under_way = Arc::new(Mutex::new(HashSet::new()));
    service_fn(move |request: Request<Bytes>| {
        let events = names(&request);
        let reply = reply(&mut random.lock().unwrap(), calm, &events);
        let guard = UnderWay::begin(&under_way, &events);
        let log = log.clone();
        async move {
            let _guard = guard;
            let status = match reply {
                Reply::Status(status) => status,
                Reply::Late(wait) => {
                    tokio::time::sleep(wait).await;
                    200
                }
                Reply::Reset => return Err("connection reset".into()),
                Reply::Hang => std::future::pending().await,
            };
            if status == 200 {
                let accepted = events.into_iter().map(|event| Accepted {
                    life,
                    endpoint,
                    event,
                });
                log.lock().unwrap().extend(accepted);
            }
            let mut response = Response::new(Full::default());
            *response.status_mut() = status.try_into()?;
            Ok(response)
        }
    })
}

fn names(request: &Request<Bytes>) -> Vec<String> {
    let envelope: Envelope = serde_json::from_slice(request.body()).unwrap();
    let name = |event: crate::event::Event| {
        let target = event.target;
        format!("{}/{}", target.repository, target.tag)
    };
    envelope.events.into_iter().map(name).collect()
}

enum Reply {
    Status(u16),
    Late(Duration),
    Reset,
    Hang,
}

fn reply(random: &mut Rng, calm: bool, events: &[String]) -> Reply {
    if events.iter().any(|event| event.ends_with(REJECTED)) {
        return Reply::Status(400);
    }
    if calm {
        return Reply::Status(200);
    }
    if events.iter().any(|event| event.ends_with(FAILING)) {
        return Reply::Status(500);
    }
    match random.u8(0..16) {
        0 => Reply::Status(503),
        1 => Reply::Reset,
        2 => Reply::Hang,
        3..7 => Reply::Late(Duration::from_millis(random.u64(0..3_000))),
        _ => Reply::Status(200),
    }
}

/// The repositories of a request under way. No two requests have the same one.
struct UnderWay {
    all: Arc<Mutex<HashSet<String>>>,
    own: HashSet<String>,
}

impl UnderWay {
    fn begin(all: &Arc<Mutex<HashSet<String>>>, events: &[String]) -> Self {
        let repository = |event: &String| event.split('/').next().unwrap_or("").to_owned();
        let own: HashSet<_> = events.iter().map(repository).collect();
        for repository in &own {
            let free = all.lock().unwrap().insert(repository.clone());
            assert!(free, "two requests with events of {repository} at a time");
        }
        let all = all.clone();
        Self { all, own }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap();
        for repository in &self.own {
            all.remove(repository);
        }
    }
}
