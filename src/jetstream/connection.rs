//! Connects to NATS, and finds out what the server supports.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;

use super::error::{JetStreamError, Kind};
use super::settings::{Auth, JetStream};

/// How often to check whether the connection is back.
const LOOK: Duration = Duration::from_millis(100);

/// The interval of pings. After two without an answer the connection counts as lost.
const PING: Duration = Duration::from_secs(5);

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Connects, within the time limit of the settings.
pub(super) async fn connect(settings: &JetStream) -> Result<Client, JetStreamError> {
    let attempt = options(settings).await?.connect(&settings.servers[..]);
    let Ok(connected) = tokio::time::timeout(settings.connect_timeout, attempt).await else {
        return Err(JetStreamError::new(
            Kind::Unreachable,
            "no NATS server answered in time",
        ));
    };
    let client = connected.map_err(|error| {
        let (kind, message) = match error.kind() {
            ConnectErrorKind::ServerParse => (Kind::Setting, "a URL of a NATS server is not valid"),
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => (
                Kind::Refused,
                "the NATS server does not accept the credentials",
            ),
            _ => (Kind::Unreachable, "no NATS server can be reached"),
        };
        JetStreamError::new(kind, message).because(error)
    })?;
    let info = client.server_info();
    if !info.headers || !info.jetstream {
        let message = format!(
            "NATS server {} has no JetStream: start it with `--jetstream`",
            info.version
        );
        return Err(JetStreamError::new(Kind::Unsupported, message));
    }
    tracing::info!(
        server = info.server_name,
        version = info.version,
        "connected to JetStream, which acknowledges events before they are synced to disk \
         unless the server has `sync_interval: always`"
    );
    Ok(client)
}

async fn options(settings: &JetStream) -> Result<ConnectOptions, JetStreamError> {
    let mut options = ConnectOptions::new()
        .name(concat!(
            "tower-registry-notifications ",
            env!("CARGO_PKG_VERSION")
        ))
        .ping_interval(PING)
        .connection_timeout(settings.connect_timeout.min(Duration::from_secs(5)))
        .request_timeout(Some(Duration::from_secs(5)))
        // Events wait until the server is back, however long that takes.
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            LOOK.saturating_mul(attempts).min(LONGEST_PAUSE)
        })
        .event_callback(|event| async move { log(&event) });
    options = match &settings.auth {
        Auth::Url => match settings.servers.iter().find_map(|url| user_info(url)) {
            Some((user, password)) => options.user_and_password(user, password),
            None => options,
        },
        Auth::Token(token) => options.token(token.clone()),
        Auth::Password(user, password) => options.user_and_password(user.clone(), password.clone()),
        Auth::NKey(seed) => options.nkey(seed.clone()),
        Auth::CredentialsFile(path) => options.credentials_file(path).await.map_err(|error| {
            let message = format!("credentials file {path:?} cannot be used");
            JetStreamError::new(Kind::Setting, message).because(error)
        })?,
    };
    if settings.require_tls {
        options = options.require_tls(true);
    }
    for path in &settings.root_certificates {
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &settings.client_certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// Returns the user info of a URL, decoded. The client parses it but does not use it.
fn user_info(url: &str) -> Option<(String, String)> {
    let address: ServerAddr = url.parse().ok()?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let password = address.password().map(decoded).unwrap_or_default();
    Some((decoded(address.username()?), password))
}

fn log(event: &Event) {
    match event {
        Event::Connected => tracing::debug!("connected to NATS"),
        Event::Disconnected => tracing::warn!("the connection to NATS is lost: trying again"),
        Event::SlowConsumer(_) => tracing::warn!("NATS delivers faster than this process reads"),
        other => tracing::debug!("NATS: {other}"),
    }
}

pub(super) fn is_connected(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

/// Waits until there is a connection.
///
/// Without a connection the client buffers what is published and sends all of it when the
/// connection is back, so repeated publishes would pile up.
pub(super) async fn connected(client: &Client) {
    while !is_connected(client) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether the server is of this version or later.
pub(super) fn is_at_least(version: &str, major: u64, minor: u64) -> bool {
    let mut numbers = version.split('.').map(|it| {
        let digits = it.find(|c: char| !c.is_ascii_digit()).unwrap_or(it.len());
        it[..digits].parse().unwrap_or(0)
    });
    let mut next = || numbers.next().unwrap_or(0_u64);
    (next(), next()) >= (major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_decoded() {
        let found = |url| user_info(url);
        let expected = |user: &str, password: &str| Some((user.into(), password.into()));
        assert_eq!(found("nats://me:a%40b@h:4222"), expected("me", "a@b"));
        assert_eq!(found("nats://me@h"), expected("me", ""));
        assert_eq!(found("nats://h"), None);
        assert_eq!(found("h:4222"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_at_least("2.10.0", 2, 10));
        assert!(is_at_least("2.15.1-RC.2", 2, 11));
        assert!(is_at_least("3.0", 2, 11));
        assert!(!is_at_least("2.9.10", 2, 10));
        assert!(!is_at_least("2.10-beta", 2, 11));
        assert!(!is_at_least("", 2, 10));
        assert!(!is_at_least("99999999999999999999999.1", 2, 10));
    }
}
