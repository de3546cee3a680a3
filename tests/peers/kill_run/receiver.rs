//! A receiver that dies and comes back on the same port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_registry_notifications::event::Envelope;

use crate::account::Account;

pub(crate) struct Receiver {
    address: SocketAddr,
    account: Arc<Account>,
    random: Arc<Mutex<Rng>>,
    /// `None` while it is dead.
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Receiver {
    pub(crate) async fn start(account: Arc<Account>, random: Rng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut receiver = Self {
            address: listener.local_addr().unwrap(),
            account,
            random: Arc::new(Mutex::new(random)),
            task: None,
        };
        receiver.serve(listener);
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// Ends all connections, whatever is under way.
    pub(crate) fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    pub(crate) async fn revive(&mut self) {
        let listener = loop {
            // The old socket may be there for a moment.
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let (account, random) = (self.account.clone(), self.random.clone());
        self.task = Some(tokio::spawn(async move {
            // Dropped with the task, which ends them.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (account, random) = (account.clone(), random.clone());
                let service = service_fn(move |request| {
                    let pause = Duration::from_micros(random.lock().unwrap().u64(0..400));
                    receive(request, account.clone(), pause)
                });
                connections.spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }));
    }
}

async fn receive(
    request: Request<Incoming>,
    account: Arc<Account>,
    pause: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    let Ok(body) = request.into_body().collect().await else {
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let envelope: Envelope = serde_json::from_slice(&body.to_bytes()).unwrap();
    for event in envelope.events {
        account.receive(event);
    }
    // It may die between what it did and what it said.
    tokio::time::sleep(pause).await;
    Ok(response)
}
