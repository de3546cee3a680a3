//! Delivers events that registries have written to NATS JetStream.
//!
//! ```text
//! cargo run --features config,jetstream --example worker -- --config notifications.yml --nats nats://127.0.0.1:4222
//! ```
//!
//! Start as many as you like: they share the work.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use examples::admin::{Admin, Section};
use examples::flags::{Flags, HostPort, Value};
use examples::nats::NatsOptions;
use examples::start::{listen, reachable};
use examples::{nats, prometheus, signal, start};
use tower::BoxError;
use tower_registry_notifications::jetstream::JetStreamWorker;
use tower_registry_notifications::{Config, Endpoint, NotifierBuilder};

/// How long running attempts may take at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    start::start("worker", run).await
}

async fn run(options: Options) -> Result<(), BoxError> {
    // The recorder must be installed before the worker registers its counters.
    let admin = match options.page {
        Some(_) => Some(Admin::default().with_metrics(prometheus::record()?)),
        None => None,
    };
    let settings = options.nats.settings().ok_or("--nats URL is needed")?;
    if let Some(name) = &options.remove {
        let removed = settings.remove_endpoint(name).await.map_err(nats::told)?;
        eprintln!("Consumers of the endpoint that were removed: {removed}.");
        return Ok(());
    }
    let endpoints = match &admin {
        Some(admin) => admin.keep_letters(endpoints(&options)?),
        None => endpoints(&options)?,
    };
    let worker = settings.worker(endpoints).await.map_err(nats::told)?;
    if let (Some(address), Some(admin)) = (&options.page, admin) {
        page(admin, address, &worker, options.admin).await?;
    }
    let status = worker.status();
    eprintln!(
        "Worker {} on stream {} of nats-server {}. Ctrl-C stops.",
        status.id, status.stream, status.server_version
    );
    signal::interrupted().await?;
    eprintln!("{}", worker.shutdown(DRAIN).await);
    Ok(())
}

/// Serves the page. It shows endpoints and dead letters, but no events, because those
/// come from the stream.
async fn page(
    mut admin: Admin,
    address: &HostPort,
    worker: &JetStreamWorker,
    writable: bool,
) -> Result<(), BoxError> {
    let listener = listen("--page", address).await?;
    eprintln!("Page on http://{}/.", reachable(listener.local_addr()?));
    let (notifier, worker) = (worker.notifier().clone(), worker.clone());
    admin.show(Section::new("jetstream", move || {
        let mut status = serde_json::json!(worker.status());
        // That of the page itself.
        status.as_object_mut().map(|it| it.remove("notifier"));
        status
    }));
    admin.serve(listener, notifier, address.name(), writable);
    Ok(())
}

/// Returns the notifier's builder, with the endpoints of the worker.
fn endpoints(options: &Options) -> Result<NotifierBuilder, BoxError> {
    let config = match &options.config {
        Some(file) => Config::from_file(file)?.override_from_env()?,
        None => Config::from_env()?,
    };
    let mut endpoints = config.notifier()?;
    for (number, url) in options.endpoints.iter().enumerate() {
        let name = format!("endpoint-{}", number + 1);
        endpoints = endpoints.endpoint(Endpoint::new(name, url));
    }
    if !endpoints.has_endpoints() {
        let message = "--endpoint URL, --config FILE with an endpoint or \
                       REGISTRY_NOTIFICATIONS_ENDPOINTS is needed (try --help)";
        return Err(message.into());
    }
    Ok(endpoints)
}

/// The options of the command line.
#[derive(Debug, Default)]
struct Options {
    nats: NatsOptions,
    config: Option<PathBuf>,
    endpoints: Vec<String>,
    page: Option<HostPort>,
    admin: bool,
    remove: Option<String>,
}

impl Flags for Options {
    fn help() -> String {
        format!(
            "\
Delivers events that registries have written to NATS JetStream.

Usage: cargo run --features config,jetstream --example worker -- --nats URL [options]

Options:
{}  --ack-wait SECONDS    Time without a sign of life after which other workers take over a
                        worker's partitions (default: 15)
  --config FILE         Distribution's configuration file, for its notifications section.
                        REGISTRY_NOTIFICATIONS_… variables are read with or without it
  --endpoint URL        Post events to this URL; may be repeated
  --remove-endpoint NAME
                        Remove what the stream keeps for an endpoint that no worker has
                        any more, and exit
  --page HOST:PORT      Serve a page for browsers, /metrics and /debug/notifications here
  --admin               Let anyone who can reach the page send dead letters again or purge them
  --help                Print this text
",
            NatsOptions::HELP
        )
    }

    fn take(&mut self, name: &str, value: &mut Value<'_>) -> Result<bool, String> {
        match name {
            "--config" => self.config = Some(value.file()?),
            "--endpoint" => self.endpoints.push(value.text()?),
            "--page" => self.page = Some(value.address()?),
            "--admin" => self.admin = true,
            "--remove-endpoint" => self.remove = Some(value.text()?),
            "--ack-wait" => self.nats.ack_wait = Some(value.seconds()?),
            _ => return self.nats.take(name, value),
        }
        Ok(true)
    }

    fn check(&self) -> Result<(), String> {
        if !self.nats.is_set() {
            return Err("--nats URL is needed (try --help)".into());
        }
        if self.admin && self.page.is_none() {
            return Err("--admin needs --page HOST:PORT".into());
        }
        Ok(())
    }
}
