//! Connects to NATS, and finds out what the server supports.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout_at};

use super::error::{ErrorKind, JetStreamError};
use super::patience::retry_until;
use super::settings::{Auth, JetStream};
use crate::redact::without_user_info;

/// How often to check whether the connection is back.
const LOOK: Duration = Duration::from_millis(100);

/// The interval of pings. After two without an answer the connection counts as lost.
const PING: Duration = Duration::from_secs(5);

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Connects, within the time limit of the settings. A server that starts is waited for.
pub(super) async fn connect(settings: &JetStream) -> Result<Client, JetStreamError> {
    let deadline = Instant::now() + settings.connect_timeout;
    retry_until(deadline, || attempt(settings, deadline)).await
}

async fn attempt(settings: &JetStream, deadline: Instant) -> Result<Client, JetStreamError> {
    let connecting = options(settings).await?.connect(&settings.servers[..]);
    let Ok(connected) = timeout_at(deadline, connecting).await else {
        let message = format!(
            "no NATS server answered in time at {}: start one there, or correct the URL",
            servers(settings)
        );
        return Err(JetStreamError::new(ErrorKind::Unreachable, message));
    };
    let client = connected.map_err(|error| {
        let (kind, message, remedy) = match error.kind() {
            ConnectErrorKind::ServerParse => (
                ErrorKind::Setting,
                "a URL of a NATS server is not valid",
                "write it like nats://127.0.0.1:4222",
            ),
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => (
                ErrorKind::Refused,
                "the NATS server does not accept the credentials, or needs some",
                "give a user and password in the URL, nats://user:password@host, or a credentials \
                 file",
            ),
            _ => (
                ErrorKind::Unreachable,
                "no NATS server can be reached",
                "start one there, or correct the URL",
            ),
        };
        let message = format!("{message}: {}: {remedy}", servers(settings));
        JetStreamError::new(kind, message).because(error)
    })?;
    let info = client.server_info();
    if !info.headers || !info.jetstream {
        let message = format!(
            "NATS server {} has no JetStream: start it with `--jetstream`",
            info.version
        );
        return Err(JetStreamError::new(ErrorKind::Unsupported, message));
    }
    tracing::info!(
        server = info.server_name,
        version = info.version,
        "connected to JetStream, which acknowledges events before they are synced to disk \
         unless the server has `sync_interval: always`"
    );
    Ok(client)
}

/// The servers, as messages show them.
fn servers(settings: &JetStream) -> String {
    let servers = settings.servers.iter().map(|url| without_user_info(url));
    servers.collect::<Vec<_>>().join(", ")
}

async fn options(settings: &JetStream) -> Result<ConnectOptions, JetStreamError> {
    let errors = ErrorLog::default();
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
        .event_callback(move |event| {
            errors.log(&event);
            async {}
        });
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
            JetStreamError::new(ErrorKind::Setting, message).because(error)
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

/// The last error that the server or the client reported, and its time.
#[derive(Default)]
struct ErrorLog(Mutex<Option<(String, Instant)>>);

/// An error that is repeated is logged again after this time.
const REPEATED: Duration = Duration::from_secs(60);

impl ErrorLog {
    fn log(&self, event: &Event) {
        match event {
            Event::Connected => tracing::debug!("connected to NATS"),
            Event::Disconnected => tracing::warn!("the connection to NATS is lost: trying again"),
            Event::SlowConsumer(_) => {
                tracing::warn!("NATS delivers faster than this process reads");
            }
            // Such as a subject that the user may not publish to: then nothing is
            // answered, and only this says why.
            Event::ServerError(_) | Event::ClientError(_) if self.is_news(&event.to_string()) => {
                tracing::warn!(error = %event, "NATS complains");
            }
            other => tracing::debug!("NATS: {other}"),
        }
    }

    fn is_news(&self, error: &str) -> bool {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = last
            .as_ref()
            .is_some_and(|(text, at)| text == error && now < *at + REPEATED);
        if !is_old {
            *last = Some((error.to_owned(), now));
        }
        !is_old
    }
}

pub(super) fn is_connected(client: &Client) -> bool {
    client.connection_state() == State::Connected
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

    #[tokio::test(start_paused = true)]
    async fn a_complaint_is_told_once_a_minute() {
        let errors = ErrorLog::default();
        assert!(errors.is_news("a"));
        assert!(!errors.is_news("a"));
        assert!(errors.is_news("b"));
        tokio::time::advance(REPEATED).await;
        assert!(errors.is_news("b"));
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
