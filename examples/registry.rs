//! A registry with notifications: `ferro-oci-server`, in memory, behind the layer.
//! `cargo run --example registry -- --help`

#[path = "support/options.rs"]
mod options;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use examples::admin::Admin;
use examples::flags::{Common, HostPort};
use examples::image::Image;
use examples::signal::Signals;
use examples::start::{listen, reachable};
use examples::{image, journal, nats, print, registry, start};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tower::BoxError;
use tower_registry_notifications::sink::{ChannelSink, Sink as _};
use tower_registry_notifications::{Endpoint, Notifier, NotifierBuilder, SourceRecord};

use crate::options::Options;

/// How long running requests and deliveries may take at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// The port of the page without `--page`.
const PAGE: u16 = 5080;

#[tokio::main]
async fn main() -> ExitCode {
    start::start("registry", run).await
}

async fn run(options: Options) -> Result<(), BoxError> {
    let mut signals = Signals::new()?;
    let listener = listen("--listen", &options.common.listen).await?;
    let address = reachable(listener.local_addr()?);

    let page = page(&options.common).await?;
    let page_address = reachable(page.local_addr()?);
    let mut admin = Admin::default();
    // The recorder must be installed before the notifier registers its counters.
    #[cfg(feature = "prometheus")]
    {
        admin = admin.with_metrics(examples::prometheus::record()?);
    }
    let (sink, events) = ChannelSink::new(10_000);
    let notifier = notifier(address, &options).sink(sink);
    let notifier = journal::with_journal(notifier, options.common.journal.as_deref())?;
    let (notifier, stream) = options.nats.add_to(notifier).await?;
    let notifier = admin.watch(notifier).build()?;
    if let Some(section) = nats::status(&stream) {
        admin.show(section);
    }
    let name = options.common.page.as_ref().and_then(HostPort::name);
    let admin = admin.serve(page, notifier.clone(), name, options.common.admin);

    let registry = registry::empty();
    let hello = Image::new("amd64", "hello.txt", b"Hello from an image.\n")?;
    registry::seed(&registry, "demo/hello", "latest", &hello).await?;
    let app = registry::with_notifications(ferro_oci_server::router(registry), notifier.clone());

    print_addresses(address, page_address, &options);
    let (no_more, end) = oneshot::channel::<()>();
    let mut printer = tokio::spawn(print::print(events, options.json, end));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
    let mut server = tokio::spawn(server.into_future());

    let printed = tokio::select! {
        () = signals.next() => None,
        // Standard output is closed, as in `… | head`.
        printed = &mut printer => Some(printed),
    };
    let _server_is_there = stop.send(());
    let deadline = finish_requests(&mut server, &mut signals).await;
    deliver(&notifier, deadline, &mut signals).await;
    nats::finish(stream, deadline - Instant::now()).await;
    admin.abort();
    // Ends the streams of open pages.
    notifier.close();
    // Ends the printer.
    drop(no_more);
    match printed {
        Some(printed) => Ok(printed??),
        None => timeout_at(deadline, printer)
            .await
            .map_or(Ok(()), |it| Ok(it??)),
    }
}

/// Lets the server finish its requests until [`DRAIN`] is over or another signal comes.
/// Returns the deadline for deliveries.
async fn finish_requests(
    server: &mut JoinHandle<io::Result<()>>,
    signals: &mut Signals,
) -> Instant {
    let mut deadline = Instant::now() + DRAIN;
    eprintln!(
        "\nStopping: requests and deliveries have {DRAIN:?} to finish. Ctrl-C again stops now."
    );
    let ended = tokio::select! {
        ended = timeout_at(deadline, &mut *server) => ended.is_ok(),
        () = signals.next() => {
            deadline = Instant::now();
            false
        }
    };
    if !ended {
        eprintln!("Some requests did not finish in time.");
    }
    server.abort();
    deadline
}

/// Delivers the waiting events until a signal or the deadline, and prints the report.
async fn deliver(notifier: &Notifier, deadline: Instant, signals: &mut Signals) {
    let report = tokio::select! {
        report = notifier.shutdown(deadline - Instant::now()) => report,
        () = signals.next() => notifier.shutdown(Duration::ZERO).await,
    };
    eprintln!("{report}");
}

/// Returns the notifier's builder, with all endpoints but without the printer.
fn notifier(address: SocketAddr, options: &Options) -> NotifierBuilder {
    let mut notifier = Notifier::builder()
        .source(SourceRecord::new(address.to_string()))
        .include_references(options.common.include_references);
    for (number, url) in options.common.endpoints.iter().enumerate() {
        let name = format!("endpoint-{}", number + 1);
        notifier = notifier.endpoint(Endpoint::new(name, url));
    }
    notifier
}

/// Listens for the page. Without `--page` it takes the usual port, or any other if
/// that is in use.
async fn page(options: &Common) -> Result<TcpListener, String> {
    if let Some(address) = &options.page {
        return listen("--page", address).await;
    }
    match listen("--page", &HostPort::local(PAGE)).await {
        Ok(listener) => Ok(listener),
        Err(_) => listen("--page", &HostPort::local(0)).await,
    }
}

/// Prints commands to try. They go to stderr, so that stdout has only events.
fn print_addresses(address: SocketAddr, page: SocketAddr, options: &Options) {
    const BODY: &str = "hello";
    let metrics = match cfg!(feature = "prometheus") {
        true => " and /metrics",
        false => "",
    };
    let digest = image::digest(BODY.as_bytes());
    eprintln!(
        "\
Registry on {address}, all in memory; demo/hello:latest is in it.
Page     http://{page}/ shows events and endpoints; also /debug/notifications{metrics}.

Try, in another terminal:

  curl http://{address}/v2/demo/hello/manifests/latest
  curl -i -H 'Content-Type: application/octet-stream' --data-binary '{BODY}' 'http://{address}/v2/demo/blob/blobs/uploads/?digest={digest}'

  docker pull {address}/demo/hello
  docker tag {address}/demo/hello {address}/demo/copy:v1
  docker push {address}/demo/copy:v1

  skopeo --insecure-policy copy --src-tls-verify=false docker://{address}/demo/hello:latest dir:/tmp/hello
  skopeo --insecure-policy copy --dest-tls-verify=false dir:/tmp/hello docker://{address}/demo/copy:v2
  skopeo delete --tls-verify=false docker://{address}/demo/copy:v2
"
    );
    match options.common.endpoints.len() {
        0 => eprintln!("Events are printed here (--endpoint URL posts them too). Ctrl-C stops.\n"),
        1 => eprintln!("Events are printed here and posted to one endpoint. Ctrl-C stops.\n"),
        n => eprintln!("Events are printed here and posted to {n} endpoints. Ctrl-C stops.\n"),
    }
}
