//! Notifications for a registry that cannot be changed: a proxy before it.
//!
//! ```text
//! cargo run --example proxy -- --upstream http://127.0.0.1:5001 --endpoint http://127.0.0.1:8080/events
//! ```

#[path = "support/proxy.rs"]
mod proxy;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use proxy::Proxy;
use tokio::net::TcpListener;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder};
use tower_registry_notifications::{
    Endpoint, Format, NotificationLayer, Notifier, PeerAddr, RequestBody, SourceRecord,
    TrustedProxies,
};

const HELP: &str = "\
A proxy that tells what happens in the registry behind it.

Usage: cargo run --example proxy -- --upstream URL [options]

Options:
  --upstream URL        The registry, http://host:port
  --listen ADDR         Address to serve on (default: 127.0.0.1:5000)
  --endpoint URL        Post events to this URL; may be given several times
  --v1                  Post the format of distribution 2.8
  --include-references  Events of manifests say what the manifest refers to
  --untag-lookup        Deletions by digest also tell which tags went with it
  --trust-forwarded     A proxy before this one says who the client is
";

/// How long requests and deliveries have to end.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 5000));
    let mut upstream = None;
    let mut endpoints = Vec::new();
    let (mut v1, mut references, mut untag, mut trust) = (false, false, false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match &*argument {
            "--listen" => listen = value()?.parse()?,
            "--upstream" => upstream = Some(value()?),
            "--endpoint" => endpoints.push(value()?),
            "--v1" => v1 = true,
            "--include-references" => references = true,
            "--untag-lookup" => untag = true,
            "--trust-forwarded" => trust = true,
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(());
            }
            _ => return Err(format!("no such option: {argument} (try --help)").into()),
        }
    }
    let upstream = upstream.ok_or("--upstream URL is needed (try --help)")?;

    let mut notifier = Notifier::builder()
        .source(SourceRecord::new(listen.to_string()))
        .include_references(references);
    for (number, url) in endpoints.iter().enumerate() {
        let format = if v1 { Format::V1 } else { Format::V2 };
        let endpoint = Endpoint::builder(format!("endpoint-{}", number + 1), url);
        notifier = notifier.endpoint(endpoint.format(format));
    }
    let notifier = notifier.build()?;
    let layer = NotificationLayer::new(notifier.clone())
        .untag_lookup(untag)
        .trusted_proxies(if trust {
            TrustedProxies::all()
        } else {
            TrustedProxies::none()
        });
    let proxy = Arc::new(Proxy::<Incoming>::new(&upstream, trust)?);

    let listener = TcpListener::bind(listen).await?;
    eprintln!("Proxy on {listen}, before {upstream}. Ctrl-C stops.");
    let server = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = &mut stop => break,
        };
        let proxy = proxy.clone();
        let service = ServiceBuilder::new()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(PeerAddr(peer));
                request
            })
            .layer(&layer)
            .service_fn(move |request: Request<RequestBody<Incoming>>| proxy.forward(request));
        let service = TowerToHyperService::new(BoxCloneService::new(service));
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, connections.shutdown())
        .await
        .is_err()
    {
        eprintln!("Some requests did not end in time.");
    }
    for left in notifier.shutdown(DRAIN).await.left {
        eprintln!("{}: {} events are left.", left.endpoint, left.events);
    }
    Ok(())
}
