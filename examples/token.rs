//! A registry that asks for tokens: auth runs outside the layer, and passes the actor
//! to it. `cargo run --example token`
//!
//! `alice` may do everything; `bob`, whose password is `reading`, may only pull.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use examples::token::{Tokens, User};
use examples::{print, registry, signal, start, token};
use tokio::net::TcpListener;
use tower::BoxError;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{Notifier, SourceRecord};

#[tokio::main]
async fn main() -> ExitCode {
    let about = "A registry that asks for bearer tokens, outside the layer.";
    let hint = "  \
  skopeo --insecure-policy copy --dest-tls-verify=false --dest-creds alice:secret \\
      oci:some/image docker://ADDRESS/team/app:v1
  curl 'http://alice:secret@ADDRESS/token?scope=repository:team/app:pull'";
    start::listening("token", "", about, hint, run).await
}

async fn run(listener: TcpListener) -> Result<(), BoxError> {
    let address = start::reachable(listener.local_addr()?).to_string();
    let (sink, events) = ChannelSink::new(1000);
    let notifier = Notifier::builder()
        .source(SourceRecord::new(&address))
        .sink(sink)
        .build()?;
    let user = |password, may| User { password, may };
    let users = HashMap::from([
        ("alice", user("secret", &["pull", "push", "delete"][..])),
        ("bob", user("reading", &["pull"])),
    ]);
    let tokens = Tokens::new(&address, users)?;

    let registry = ferro_oci_server::router(registry::empty());
    // The token is checked first; the layer sees what that has put into the
    // request, and never a request that was sent away.
    let app = registry::with_notifications(registry, notifier.clone())
        .layer(from_fn_with_state(tokens.clone(), token::require))
        .merge(token::service(tokens));

    tokio::spawn(print::print(events, false, pending::<()>()));
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async { signal::interrupted().await.unwrap_or_default() })
    .await?;
    eprintln!("{}", notifier.shutdown(Duration::from_secs(10)).await);
    Ok(())
}
