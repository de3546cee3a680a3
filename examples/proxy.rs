//! Notifications for a registry that cannot be changed: a proxy in front of it.
//!
//! ```text
//! cargo run --features config --example proxy -- --upstream http://127.0.0.1:5001 --endpoint http://127.0.0.1:8080/events
//! ```
//!
//! To build your own proxy, start here: [`run`] puts the parts together,
//! `common/proxy.rs` forwards requests, and `common/serve.rs` is the server.

#[path = "support/proxy_options.rs"]
mod proxy_options;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use examples::admin::Admin;
use examples::flags::HostPort;
use examples::proxy::{NoAnswer, Proxy, ProxySettings};
use examples::serve::{Connections, Limits};
use examples::signal::Signals;
use examples::start::{listen, reachable};
use examples::{journal, nats, print, prometheus, proxy, serve, start, tls};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::Empty;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::layer::TrustedProxies;
use tower_registry_notifications::sink::{ChannelSink, Events, Sink as _};
use tower_registry_notifications::{
    Config, Endpoint, NotificationLayer, Notifier, NotifierBuilder, RequestBody, SourceRecord,
    StatBody,
};

use crate::proxy_options::Options;

/// How long requests, and after them deliveries, have to finish.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the registry has to answer before the proxy says that it does not.
const CHECK: Duration = Duration::from_secs(5);
/// Nothing is printed about a part of the shutdown that takes less time than this.
const SOON: Duration = Duration::from_millis(200);
/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(60);
/// How long a connection may be silent, in addition to the registry's timeout.
const IDLE: Duration = Duration::from_secs(60);
/// The largest number of events that wait to be printed.
const PRINTED: usize = 10_000;

#[tokio::main]
async fn main() -> ExitCode {
    start::start("proxy", run).await
}

async fn run(options: Options) -> Result<(), BoxError> {
    let options = &options;
    let mut signals = Signals::new()?;
    let listener = listen("--listen", &options.common.listen).await?;
    let address = listener.local_addr()?;
    // The recorder must be installed before the notifier registers its counters.
    let page = options.common.page.as_ref();
    let mut admin = match page {
        Some(_) => Some(Admin::default().with_metrics(prometheus::record()?)),
        None => None,
    };
    let (notifier, deadline) = notifier(options)?;
    let notifier = notifier.or_source(SourceRecord::new(address.to_string()));
    let notifier = journal::with_journal(notifier, options.common.journal.as_deref())?;
    let (notifier, stream) = options.nats.add_to(notifier).await?;
    let (notifier, events) = match stream {
        Some(_) => (notifier, None),
        None => with_printer(notifier),
    };
    let notifier = match &mut admin {
        Some(admin) => admin.watch(notifier).build()?,
        None => notifier.build()?,
    };
    if let (Some(admin), Some(section)) = (&mut admin, nats::status(&stream)) {
        admin.show(section);
    }
    let page = match page.zip(admin) {
        Some((address, admin)) => {
            Some(serve_page(admin, address, &notifier, options.common.admin).await?)
        }
        None => None,
    };
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    let settings = ProxySettings {
        upstream: &options.upstream,
        upstream_ca: options.upstream_ca.as_deref(),
        timeout: options.timeout,
        https: tls.is_some(),
        trust_forwarded: options.trust_forwarded,
    };
    check(&settings, &options.api()).await?;
    print_start(address, &options.upstream, events.is_some());
    let (no_more, end) = oneshot::channel::<()>();
    let printer = events.map(|events| tokio::spawn(print::print(events, options.json, end)));
    let served = serve(listener, tls, &settings, &notifier, options, signals.next());
    let connections = served.await?;
    let deadline = deadline.unwrap_or(DRAIN);
    shut_down(connections, &notifier, deadline, &mut signals).await;
    if let Some(page) = page {
        page.abort();
    }
    // Ends the streams of open pages.
    notifier.close();
    // Ends the printer.
    drop(no_more);
    if let Some(printer) = printer {
        // Standard output may be a pipe that nobody reads.
        let _ = timeout(SOON, printer).await;
    }
    nats::finish(stream, DRAIN).await;
    Ok(())
}

/// Serves the page at an address, and prints its URL.
async fn serve_page(
    admin: Admin,
    address: &HostPort,
    notifier: &Notifier,
    writable: bool,
) -> Result<JoinHandle<io::Result<()>>, BoxError> {
    let listener = listen("--page", address).await?;
    eprintln!("Page on http://{}/.", reachable(listener.local_addr()?));
    Ok(admin.serve(listener, notifier.clone(), address.name(), writable))
}

fn print_start(address: SocketAddr, upstream: &str, prints_events: bool) {
    if prints_events {
        eprintln!(
            "No endpoint is configured: events are printed here \
             (--endpoint, --config or REGISTRY_NOTIFICATIONS_ENDPOINTS post them)."
        );
    }
    eprintln!("Listening on {address}, forwarding to {upstream}. Ctrl-C stops.");
}

/// Forwards requests, and makes events of them, until `stop` resolves.
async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    settings: &ProxySettings<'_>,
    notifier: &Notifier,
    options: &Options,
    stop: impl Future,
) -> Result<Connections, BoxError> {
    let limits = Limits {
        connections: options.max_connections,
        head: HEAD,
        idle: options.timeout + IDLE,
    };
    if options.without_layer {
        let proxy = Arc::new(Proxy::new(settings)?);
        let service = service_fn(move |request| proxy.forward(request));
        let service = BoxCloneService::new(service.map_request(proxy::end_to_end));
        return Ok(serve::serve(listener, tls, service, limits, stop).await);
    }
    let proxy = Arc::new(Proxy::new(settings)?);
    let registry = proxy.clone();
    let stat = service_fn(move |request: Request<StatBody>| {
        registry.forward(request.map(|_| RequestBody::empty()))
    });
    let layer = layer(options, settings.https, notifier).stat_with(stat);
    let service = layer.layer(service_fn(move |request| proxy.forward(request)));
    let service = BoxCloneService::new(service.map_request(proxy::end_to_end));
    Ok(serve::serve(listener, tls, service, limits, stop).await)
}

/// Returns the notifier's builder, and the deadline of its shutdown if the
/// configuration has one.
fn notifier(options: &Options) -> Result<(NotifierBuilder, Option<Duration>), BoxError> {
    let format = options.format.unwrap_or_default();
    let config = match &options.config {
        Some(file) => Config::from_file(file)?.override_from_env()?,
        None => Config::from_env()?,
    };
    // A runtime of its own, so that deliveries do not delay the threads that serve clients.
    let mut notifier = config.notifier()?.own_runtime(true);
    if options.common.include_references {
        notifier = notifier.include_references(true);
    }
    if let Some(host) = &options.public_host {
        notifier = notifier.public_host(host);
    }
    for (number, url) in options.common.endpoints.iter().enumerate() {
        let endpoint = Endpoint::new(format!("endpoint-{}", number + 1), url);
        notifier = notifier.endpoint(endpoint.format(format));
    }
    Ok((notifier, config.shutdown_deadline()))
}

/// Adds a printer if no endpoint is configured.
fn with_printer(notifier: NotifierBuilder) -> (NotifierBuilder, Option<Events>) {
    if notifier.has_endpoints() {
        return (notifier, None);
    }
    let (sink, events) = ChannelSink::new(PRINTED);
    (notifier.sink(sink), Some(events))
}

/// Prints a line if the registry does not answer. That is not an error: the parts of a
/// deployment start in any order.
async fn check(settings: &ProxySettings<'_>, api: &str) -> Result<(), BoxError> {
    let upstream = settings.upstream;
    match ask(settings, api).await? {
        None => eprintln!("{upstream} does not answer yet: clients get 502 until it does."),
        Some(status) if status.is_success() || status == StatusCode::UNAUTHORIZED => {}
        Some(status) => eprintln!(
            "{upstream} answers {status} to {api}: if its API is below another path, \
             name that with --prefix, or there will be no events."
        ),
    }
    Ok(())
}

/// Asks the registry for `path`, as a client would. `None` if it does not answer in
/// time; the log says why.
async fn ask(settings: &ProxySettings<'_>, path: &str) -> Result<Option<StatusCode>, BoxError> {
    let proxy = Proxy::new(settings)?;
    let host = settings
        .upstream
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let request = Request::get(path).header(HOST, host);
    let request = request.body(Empty::<Bytes>::new())?;
    let Ok(Ok(answer)) = timeout(CHECK.min(settings.timeout), proxy.forward(request)).await else {
        return Ok(None);
    };
    let is_own = answer.extensions().get::<NoAnswer>().is_some();
    Ok((!is_own).then_some(answer.status()))
}

/// Returns the layer, which makes events of requests.
fn layer(options: &Options, https: bool, notifier: &Notifier) -> NotificationLayer {
    NotificationLayer::new(notifier.clone())
        .prefix(&options.api())
        .https(https)
        .bearer_actor(options.bearer_actor)
        .untag_lookup(options.untag_lookup)
        .trusted_proxies(if options.trust_forwarded {
            TrustedProxies::all()
        } else {
            TrustedProxies::none()
        })
}

/// Ends requests, then deliveries. A signal ends the waiting.
async fn shut_down(
    connections: Connections,
    notifier: &Notifier,
    deadline: Duration,
    signals: &mut Signals,
) {
    let mut ending = std::pin::pin!(connections.end(DRAIN));
    let ended = match timeout(SOON, &mut ending).await {
        Ok(ended) => ended,
        Err(_) => {
            eprintln!("Waiting for requests to finish, Ctrl-C again to stop now.");
            tokio::select! {
                ended = ending => ended,
                () = signals.next() => return stop_now(notifier, signals).await,
            }
        }
    };
    if !ended {
        eprintln!("Some requests did not finish in time.");
    }
    let waiting: u64 = notifier
        .status()
        .endpoints
        .iter()
        .map(|it| it.pending)
        .sum();
    if waiting > 0 {
        let events = if waiting == 1 { "event" } else { "events" };
        eprintln!("Waiting for {waiting} {events}, Ctrl-C again to stop now.");
    }
    tokio::select! {
        report = notifier.shutdown(deadline) => eprintln!("{report}"),
        () = signals.next() => stop_now(notifier, signals).await,
    }
}

/// Gives up the waiting events, and prints how many there were. Dead letters are still
/// kept, unless there is another signal.
async fn stop_now(notifier: &Notifier, signals: &mut Signals) {
    tokio::select! {
        report = notifier.shutdown(Duration::ZERO) => eprintln!("{report}"),
        () = signals.next() => eprintln!("Stopped without a report of the events that were left."),
    }
}
