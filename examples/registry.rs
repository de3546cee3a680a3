//! A registry that tells what happens in it: `ferro-oci-server`, all in
//! memory, behind the layer. `cargo run --example registry -- --help`

#[path = "support/admin.rs"]
mod admin;
#[path = "support/image.rs"]
mod image;
#[path = "support/options.rs"]
mod options;
#[path = "support/print.rs"]
mod print;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/signal.rs"]
mod signal;

use std::error::Error;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{Endpoint, Notifier, NotifierBuilder, SourceRecord};

use crate::image::Image;
use crate::options::{HELP, Options};

/// How long requests and deliveries that are under way may take at the end.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    // Deliveries that fail are told as warnings, on stderr as all but events.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::WARN)
        .with_target(false)
        .with_ansi(false)
        .init();
    let result = match Options::parse(std::env::args().skip(1)) {
        Ok(options) if options.help => io::stdout()
            .write_all(HELP.as_bytes())
            .map_err(|error| Box::from(error) as Box<dyn Error>),
        Ok(options) => run(options).await,
        Err(message) => Err(message.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let listener = listen(options.listen).await?;
    let address = reachable(listener.local_addr()?);

    // Before the notifier, which counts for the recorder that is there.
    let metrics = options.metrics.map(|_| admin::record()).transpose()?;
    let (sink, events) = ChannelSink::new(10_000);
    let notifier = notifier(address, &options).sink(sink).build()?;
    let admin = match options.metrics.zip(metrics) {
        Some((address, metrics)) => {
            let listener = listen(address).await?;
            Some(admin::serve(listener, metrics, notifier.clone()))
        }
        None => None,
    };

    let registry = registry::empty();
    let hello = Image::new("amd64", "hello.txt", b"Hello from an image.\n")?;
    registry::seed(&registry, "demo/hello", "latest", &hello).await?;
    let app = registry::with_notifications(ferro_oci_server::router(registry), notifier.clone());

    welcome(address, &options);
    let mut printer = tokio::spawn(print::print(events, options.json));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
    let mut server = tokio::spawn(server.into_future());

    tokio::select! {
        result = signal::interrupted() => result?,
        // Nobody reads the events any longer, as in `… | head`.
        result = &mut printer => return Ok(result??),
    }
    let deadline = Instant::now() + DRAIN;
    eprintln!("\nStopping: requests and deliveries have {DRAIN:?} to end.");
    let _server_is_there = stop.send(());
    if timeout_at(deadline, &mut server).await.is_err() {
        server.abort();
        eprintln!("Some requests did not end in time.");
    }
    if let Some(admin) = admin {
        admin.abort();
    }
    // Its notifier is the last to hold the channel's sink: the printer ends.
    deliver(notifier, deadline).await;
    match timeout_at(deadline, printer).await {
        Ok(result) => Ok(result??),
        Err(_) => Ok(()),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| {
        format!("cannot listen on {address}: {error} (port 0 takes one that is free)")
    })
}

/// Where events go, but for the lines that are printed here.
fn notifier(address: SocketAddr, options: &Options) -> NotifierBuilder {
    let mut notifier = Notifier::builder()
        .source(SourceRecord::new(address.to_string()))
        .include_references(options.include_references);
    for (number, url) in options.endpoints.iter().enumerate() {
        let name = format!("endpoint-{}", number + 1);
        notifier = notifier.endpoint(Endpoint::new(name, url));
    }
    notifier
}

/// Delivers the events that wait, and says what is left of them.
async fn deliver(notifier: Notifier, deadline: Instant) {
    eprintln!("{}", notifier.shutdown(deadline - Instant::now()).await);
}

/// Where a client on this machine finds the registry.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// What to type next. On stderr, so that stdout has nothing but events.
fn welcome(address: SocketAddr, options: &Options) {
    const BODY: &str = "hello";
    let digest = image::digest(BODY.as_bytes());
    eprintln!(
        "\
Registry on {address}, all in memory; demo/hello:latest is in it. Try, in another terminal:

  skopeo --insecure-policy copy --src-tls-verify=false docker://{address}/demo/hello:latest dir:/tmp/hello
  skopeo --insecure-policy copy --dest-tls-verify=false dir:/tmp/hello docker://{address}/demo/copy:v1
  skopeo delete --tls-verify=false docker://{address}/demo/copy:v1
  curl -i -H 'Content-Type: application/octet-stream' --data-binary '{BODY}' 'http://{address}/v2/demo/blob/blobs/uploads/?digest={digest}'
  curl http://{address}/v2/demo/hello/manifests/latest
"
    );
    match options.endpoints.len() {
        0 => eprintln!("Events are printed here (--endpoint URL posts them too). Ctrl-C stops.\n"),
        1 => eprintln!("Events are printed here and posted to one endpoint. Ctrl-C stops.\n"),
        n => eprintln!("Events are printed here and posted to {n} endpoints. Ctrl-C stops.\n"),
    }
}
