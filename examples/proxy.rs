//! Notifications for a registry that cannot be changed: a proxy before it.
//!
//! ```text
//! cargo run --features config --example proxy -- --upstream http://127.0.0.1:5001 --endpoint http://127.0.0.1:8080/events
//! ```
//!
//! To build one of your own, read on here: [`run`] puts the parts together,
//! `support/proxy.rs` forwards requests, and `support/serve.rs` is the server.

#[path = "support/admin.rs"]
mod admin;
#[path = "support/pace.rs"]
mod pace;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/proxy_options.rs"]
mod proxy_options;
#[path = "support/serve.rs"]
mod serve;
#[path = "support/signal.rs"]
mod signal;
#[path = "support/tls.rs"]
mod tls;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::net::TcpListener;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::layer::TrustedProxies;
use tower_registry_notifications::{
    Config, Endpoint, Format, NotificationLayer, Notifier, RequestBody, SourceRecord, StatBody,
};

use crate::proxy::{Place, Proxy};
use crate::proxy_options::{HELP, Options};

/// How long requests, and after them deliveries, have to end.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .init();
    let result = match Options::parse(std::env::args().skip(1)) {
        Ok(options) if options.help => {
            print!("{HELP}");
            Ok(())
        }
        Ok(options) => run(&options).await,
        Err(message) => Err(message.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), BoxError> {
    let listener = listen(options.listen).await?;
    let address = listener.local_addr()?;
    // Before the notifier, which counts for the recorder that is there.
    let metrics = options.metrics.map(|_| admin::record()).transpose()?;
    let notifier = notifier(address, options)?;
    if let (Some(address), Some(metrics)) = (options.metrics, metrics) {
        let listener = listen(address).await?;
        eprintln!("Metrics on {}.", listener.local_addr()?);
        admin::serve(listener, metrics, notifier.clone());
    }
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    let place = Place {
        upstream: &options.upstream,
        upstream_ca: options.upstream_ca.as_deref(),
        patience: options.timeout,
        https: tls.is_some(),
        trust_forwarded: options.trust_forwarded,
    };

    let upstream = &options.upstream;
    eprintln!("Proxy on {address}, before {upstream}. Ctrl-C stops.");
    let stop = signal::interrupted();
    let ended = if options.without_layer {
        let proxy = Arc::new(Proxy::new(&place)?);
        let service = service_fn(move |request| proxy.forward(request));
        let service = service.map_request(proxy::end_to_end);
        serve::serve(listener, tls, BoxCloneService::new(service), stop, DRAIN).await
    } else {
        let proxy = Arc::new(Proxy::new(&place)?);
        let upstream = proxy.clone();
        let stat = service_fn(move |request: Request<StatBody>| {
            upstream.forward(request.map(|_| RequestBody::empty()))
        });
        let service = service_fn(move |request| proxy.forward(request));
        let layer = layer(options, tls.is_some(), &notifier).stat_with(stat);
        let service = layer.layer(service);
        let service = service.map_request(proxy::end_to_end);
        serve::serve(listener, tls, BoxCloneService::new(service), stop, DRAIN).await
    };
    if !ended {
        eprintln!("Some requests did not end in time.");
    }
    eprintln!("{}", notifier.shutdown(DRAIN).await);
    Ok(())
}

/// Where events go.
fn notifier(address: SocketAddr, options: &Options) -> Result<Notifier, BoxError> {
    let format = if options.v1 { Format::V1 } else { Format::V2 };
    let mut notifier = match &options.config {
        Some(file) => Config::from_file(file)?.override_from_env()?.notifier()?,
        None => Notifier::builder().source(SourceRecord::new(address.to_string())),
    };
    // Deliveries take no time of the threads that serve clients.
    notifier = notifier.own_runtime(true);
    if options.include_references {
        notifier = notifier.include_references(true);
    }
    for (number, url) in options.endpoints.iter().enumerate() {
        let endpoint = Endpoint::new(format!("endpoint-{}", number + 1), url);
        notifier = notifier.endpoint(endpoint.format(format));
    }
    Ok(notifier.build()?)
}

/// What makes events of requests.
fn layer(options: &Options, https: bool, notifier: &Notifier) -> NotificationLayer {
    NotificationLayer::new(notifier.clone())
        .https(https)
        .untag_lookup(options.untag_lookup)
        .trusted_proxies(if options.trust_forwarded {
            TrustedProxies::all()
        } else {
            TrustedProxies::none()
        })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("cannot listen on {address}: {error}"))
}
