//! Clients that push, pull and delete blobs, each of a repository of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower_registry_notifications::event::Action;

use crate::account::{Account, Operation};
use crate::registry::Registry;

const CLIENTS: usize = 6;

/// While so many events are missing at the receiver, the clients wait: it has to catch
/// up in the end.
const MOST_MISSING: usize = 3000;

/// How long an operation may take. One that takes longer is given up: it may or may
/// not have been done.
const LIMIT: Duration = Duration::from_secs(20);

type Http = Client<HttpConnector, Full<Bytes>>;

/// Clients of a registry.
pub(crate) struct Clients {
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Clients {
    pub(crate) fn start(registry: &Registry, account: &Arc<Account>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..CLIENTS).map(|number| {
            let (address, account) = (registry.address(), account.clone());
            tokio::spawn(run(number, address, account, stop.clone()))
        });
        let tasks = tasks.collect();
        Self { tasks, stop }
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn run(number: usize, address: String, account: Arc<Account>, stop: Arc<AtomicBool>) {
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let repository = format!("client/{number}");
    let mut blob = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        if account.missing() > MOST_MISSING {
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        blob += 1;
        let content = format!("blob {blob} of {repository}");
        let digest = format!("sha256:{:x}", Sha256::digest(&content));
        let of = |action| Operation {
            action,
            repository: repository.clone(),
            digest: digest.clone(),
        };
        let base = format!("http://{address}/v2/{repository}/blobs");
        let push = format!("{base}/uploads/?digest={digest}");
        let all = [
            (Method::POST, push, content.clone(), Action::Push),
            (
                Method::GET,
                format!("{base}/{digest}"),
                String::new(),
                Action::Pull,
            ),
            (
                Method::DELETE,
                format!("{base}/{digest}"),
                String::new(),
                Action::Delete,
            ),
        ];
        for (method, uri, body, action) in all {
            let operation = of(action);
            account.begin(&operation);
            let done = timeout(LIMIT, send(&http, method, &uri, body)).await;
            if done.unwrap_or(false) {
                account.acknowledge(&operation);
                continue;
            }
            // The registry is gone, and with it what is in its memory.
            sleep(Duration::from_millis(20)).await;
            break;
        }
    }
}

/// Whether the response is a 2xx that came to its last byte.
async fn send(http: &Http, method: Method, uri: &str, body: String) -> bool {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", "application/octet-stream")
        .body(Full::from(body))
        .unwrap();
    let Ok(response) = http.request(request).await else {
        return false;
    };
    let is_success = response.status().is_success();
    let complete = response.into_body().collect().await.is_ok();
    is_success && complete
}
