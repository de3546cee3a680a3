//! Notifications for a registry that cannot be changed: a proxy before it.
//!
//! ```text
//! cargo run --features config --example proxy -- --upstream http://127.0.0.1:5001 --endpoint http://127.0.0.1:8080/events
//! ```
//!
//! To build one of your own, read on here: [`run`] puts the parts together,
//! `support/proxy.rs` forwards requests, and `support/serve.rs` is the server.

#[path = "common/admin/mod.rs"]
mod admin;
#[path = "common/flags.rs"]
mod flags;
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
#[path = "common/start.rs"]
mod start;
#[path = "support/tls.rs"]
mod tls;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::layer::TrustedProxies;
use tower_registry_notifications::{
    Config, Endpoint, Format, NotificationLayer, Notifier, RequestBody, SourceRecord, StatBody,
};

use crate::admin::Admin;
use crate::proxy::{Place, Proxy};
use crate::proxy_options::Options;
use crate::start::{listen, reachable};

/// How long requests, and after them deliveries, have to end.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    start::start("proxy", run).await
}

async fn run(options: Options) -> Result<(), BoxError> {
    let options = &options;
    let listener = listen("--listen", &options.common.listen).await?;
    let address = listener.local_addr()?;
    // Before the notifier, which counts for the recorder that is there.
    let page = options.common.page.as_ref();
    let admin = page.map(|_| Admin::new()).transpose()?;
    let notifier = notifier(address, options, admin.as_ref())?;
    if let (Some(address), Some(admin)) = (page, admin) {
        let listener = listen("--page", address).await?;
        eprintln!("Page on http://{}/.", reachable(listener.local_addr()?));
        let writable = options.common.admin;
        admin.serve(listener, notifier.clone(), address.name(), writable);
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
fn notifier(
    address: SocketAddr,
    options: &Options,
    admin: Option<&Admin>,
) -> Result<Notifier, BoxError> {
    let format = if options.v1 { Format::V1 } else { Format::V2 };
    let mut notifier = match &options.config {
        Some(file) => Config::from_file(file)?.override_from_env()?.notifier()?,
        None => Notifier::builder().source(SourceRecord::new(address.to_string())),
    };
    if options.common.include_references {
        notifier = notifier.include_references(true);
    }
    for (number, url) in options.common.endpoints.iter().enumerate() {
        let endpoint = Endpoint::new(format!("endpoint-{}", number + 1), url);
        notifier = notifier.endpoint(endpoint.format(format));
    }
    if let Some(admin) = admin {
        notifier = admin.watch(notifier);
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
