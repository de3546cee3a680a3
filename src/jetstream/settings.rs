//! The settings of the connection and the stream: [`JetStream`].

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::JetStreamError;
use super::subject;
use crate::redact::without_user_info;

/// The connection to NATS and the stream that events pass through.
///
/// Registries and workers must have the same settings of the stream. A missing stream is
/// created. An existing one is compared with the settings and never changed.
///
/// ```no_run
/// use tower_registry_notifications::Notifier;
/// use tower_registry_notifications::jetstream::JetStream;
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let sink = JetStream::new("nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222")
///     .credentials_file("/etc/registry/nats.creds")
///     .replicas(3)
///     .sink()
///     .await?;
/// let notifier = Notifier::builder().sink(sink.clone()).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct JetStream {
    pub(super) servers: Vec<String>,
    pub(super) auth: Auth,
    pub(super) require_tls: bool,
    pub(super) root_certificates: Vec<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) connect_timeout: Duration,
    pub(super) stream: String,
    pub(super) prefix: String,
    pub(super) partitions: u16,
    pub(super) replicas: usize,
    pub(super) max_bytes: u64,
    pub(super) max_age: Duration,
    pub(super) duplicate_window: Duration,
    pub(super) queue_events: usize,
    pub(super) queue_bytes: usize,
    pub(super) ack_wait: Duration,
    pub(super) keep_acknowledged: bool,
    pub(super) maintenance: Duration,
}

/// The credentials that the server gets.
#[derive(Clone)]
pub(super) enum Auth {
    /// The user info of the URL, if it has any.
    Url,
    CredentialsFile(PathBuf),
    Token(String),
    Password(String, String),
    NKey(String),
}

/// The bounds of `ack_wait`. A pin lasts for two thirds of it, and must outlast a request,
/// which takes 3 s.
const SHORTEST_WAIT: Duration = Duration::from_secs(6);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The largest number of partitions of a stream.
const MOST_PARTITIONS: u16 = 1024;

impl JetStream {
    /// Creates settings for servers: one URL, or several separated by commas, such
    /// as `nats://user:password@nats.example.com:4222`. The first user info is used
    /// for all.
    pub fn new(servers: impl AsRef<str>) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let servers = servers.as_ref().split(',');
        Self {
            servers: servers.map(|it| it.trim().to_owned()).collect(),
            auth: Auth::Url,
            require_tls: false,
            root_certificates: Vec::new(),
            client_certificate: None,
            connect_timeout: Duration::from_secs(10),
            stream: "REGISTRY_NOTIFICATIONS".into(),
            prefix: "registry.notifications".into(),
            partitions: 16,
            replicas: 1,
            max_bytes: 1 << 30,
            max_age: 7 * DAY,
            duplicate_window: Duration::from_secs(30 * 60),
            queue_events: 10_000,
            queue_bytes: 64 << 20,
            ack_wait: Duration::from_secs(15),
            keep_acknowledged: false,
            maintenance: Duration::from_secs(30),
        }
    }

    fn check(&self) -> Result<(), JetStreamError> {
        let wrong = JetStreamError::setting;
        let (max_age, window) = (self.max_age, self.duplicate_window);
        if self.servers.iter().all(|url| url.trim().is_empty()) {
            let remedy = "use at least one URL, such as nats://127.0.0.1:4222";
            return Err(wrong("servers", &"", remedy));
        }
        if !subject::is_stream_name(&self.stream) {
            let remedy = "use ASCII letters, digits, hyphens and underscores";
            return Err(wrong("stream", &self.stream, remedy));
        }
        if !subject::is_prefix(&self.prefix) {
            let remedy = "use words of ASCII letters, digits, hyphens and underscores, \
                          separated by dots";
            return Err(wrong("prefix", &self.prefix, remedy));
        }
        if !(1..=MOST_PARTITIONS).contains(&self.partitions) {
            return Err(wrong("partitions", &self.partitions, "use 1 to 1024"));
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(wrong("replicas", &self.replicas, "use 1 to 5"));
        }
        if self.max_bytes == 0 || i64::try_from(self.max_bytes).is_err() {
            return Err(wrong("max_bytes", &self.max_bytes, "use 1 or more"));
        }
        let second = Duration::from_secs(1);
        if max_age < second || i64::try_from(max_age.as_nanos()).is_err() {
            let value = format!("{max_age:?}");
            return Err(wrong("max_age", &value, "use one second or more"));
        }
        if window < second || window > max_age {
            let remedy = "use one second or more, and not more than max_age";
            return Err(wrong("duplicate_window", &format!("{window:?}"), remedy));
        }
        if !(SHORTEST_WAIT..=LONGEST_WAIT).contains(&self.ack_wait) {
            let value = format!("{:?}", self.ack_wait);
            return Err(wrong("ack_wait", &value, "use 6 seconds to 10 minutes"));
        }
        if self.maintenance < second {
            let value = format!("{:?}", self.maintenance);
            return Err(wrong(
                "maintenance_interval",
                &value,
                "use one second or more",
            ));
        }
        if self.queue_events == 0 {
            return Err(wrong("queue_events", &0, "use 1 or more"));
        }
        if self.queue_bytes == 0 {
            return Err(wrong("queue_bytes", &0, "use 1 or more"));
        }
        Ok(())
    }

    /// Returns the settings if they are valid.
    pub(super) fn checked(&self) -> Result<&Self, JetStreamError> {
        self.check().map(|()| self)
    }
}

/// # Connection
impl JetStream {
    /// Uses a credentials file, which has a JWT and a key.
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.auth = Auth::CredentialsFile(path.into());
        self
    }

    /// Uses a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.auth = Auth::Token(token.into());
        self
    }

    /// Uses a user name and a password. They may also be in the URL.
    #[must_use]
    pub fn user_and_password(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.auth = Auth::Password(user.into(), password.into());
        self
    }

    /// Uses an NKey, by its seed.
    #[must_use]
    pub fn nkey(mut self, seed: impl Into<String>) -> Self {
        self.auth = Auth::NKey(seed.into());
        self
    }

    /// Whether the server must speak TLS. Without this, TLS is used if the server offers
    /// it or the URL begins with `tls://`. Defaults to `false`.
    #[must_use]
    pub fn require_tls(mut self, require: bool) -> Self {
        self.require_tls = require;
        self
    }

    /// Trusts the certificate authorities in a PEM file in addition to those that the
    /// system trusts. May be called again. Defaults to none.
    #[must_use]
    pub fn root_certificates_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.root_certificates.push(path.into());
        self
    }

    /// Sets the certificate and key (PEM files) that are shown to a server that
    /// asks for one.
    #[must_use]
    pub fn client_certificate_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Sets for how long [`sink`](Self::sink) and [`worker`](Self::worker) try to reach a
    /// server, and for how long they wait for its JetStream after that. Later disconnects
    /// are waited out without a limit. Defaults to 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }
}

/// # Stream
impl JetStream {
    /// Sets the name of the stream. Defaults to `REGISTRY_NOTIFICATIONS`. Servers
    /// before 2.10, which keep no metadata, get the number of partitions appended
    /// (`REGISTRY_NOTIFICATIONS_16`). An existing stream with the subjects of
    /// [`prefix`](Self::prefix) is used whatever its name.
    #[must_use]
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = name.into();
        self
    }

    /// Sets the first words of all subjects, which continue with partition, kind
    /// and action: `registry.notifications.7.manifest.push`. Defaults to
    /// `registry.notifications`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the number of partitions. A repository belongs to one of them, which
    /// one worker at a time delivers to an endpoint: the number bounds how many
    /// workers share an endpoint, and how many publishes a registry has under way.
    /// It cannot be changed while the stream has events. Defaults to 16.
    #[must_use]
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets how many servers keep each event. Use 3 in a cluster. Defaults to 1.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets the size of the stream in bytes. A full stream refuses events, which
    /// then wait in the registry. An event takes about 1 KB. Defaults to 1 GiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how long the stream keeps an event that a worker has not removed:
    /// what is older is lost. Defaults to 7 days.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets how long the server remembers ids, so that an event whose
    /// acknowledgement was lost is stored once. If a server stops answering for
    /// longer, the event is stored twice. The server keeps about 240 bytes of
    /// memory an id. Defaults to 30 minutes.
    #[must_use]
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.duplicate_window = window;
        self
    }
}

/// # Publisher
impl JetStream {
    /// Sets the maximum number of events that wait for an acknowledgement. More are
    /// refused. Defaults to 10,000.
    #[must_use]
    pub fn queue_events(mut self, events: usize) -> Self {
        self.queue_events = events;
        self
    }

    /// Sets the maximum number of bytes of memory that events occupy while they wait for
    /// an acknowledgement. An event that is larger than this is refused for good. Defaults
    /// to 64 MiB.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }
}

/// # Worker
impl JetStream {
    /// Sets how long the server waits for a sign of a worker before it delivers an event
    /// again, from 6 s to 10 minutes. A dead worker delays its partitions by about as long.
    /// All workers must have the same value. Defaults to 15 s.
    #[must_use]
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// Whether events that every endpoint has stay in the stream until they are too
    /// old, for example to be replayed. Defaults to `false`: workers remove them.
    #[must_use]
    pub fn keep_acknowledged(mut self, keep: bool) -> Self {
        self.keep_acknowledged = keep;
        self
    }

    /// Sets how often a worker removes what every endpoint has, and looks for events
    /// that were too old before an endpoint had them. Defaults to 30 s.
    #[must_use]
    pub fn maintenance_interval(mut self, interval: Duration) -> Self {
        self.maintenance = interval;
        self
    }
}

/// Shows no credentials.
impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self
            .servers
            .iter()
            .map(|it| without_user_info(it))
            .collect();
        f.debug_struct("JetStream")
            .field("servers", &servers)
            .field("auth", &self.auth)
            .field("stream", &self.stream)
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .field("replicas", &self.replicas)
            .field("max_bytes", &self.max_bytes)
            .field("max_age", &self.max_age)
            .field("duplicate_window", &self.duplicate_window)
            .field("queue_events", &self.queue_events)
            .field("queue_bytes", &self.queue_bytes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "URL",
            Self::CredentialsFile(_) => "credentials file",
            Self::Token(_) => "token",
            Self::Password(..) => "password",
            Self::NKey(_) => "NKey",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let all = [
            JetStream::new("nats://me:hush@h:4222, nats://me:hush@i"),
            JetStream::new("nats://h").token("hush"),
            JetStream::new("nats://h").user_and_password("me", "hush"),
            JetStream::new("nats://h").nkey("hush"),
        ];
        for settings in all {
            let shown = format!("{settings:?}");
            assert!(!shown.contains("hush"), "{shown}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_with_their_remedy() {
        let new = || JetStream::new("nats://h");
        let wrong = [
            ("stream", new().stream("a.b")),
            ("prefix", new().prefix("a..b")),
            ("prefix", new().prefix("a.>")),
            ("servers", JetStream::new(" , ")),
            ("partitions", new().partitions(0)),
            ("partitions", new().partitions(1025)),
            ("replicas", new().replicas(0)),
            ("max_bytes", new().max_bytes(0)),
            ("max_bytes", new().max_bytes(u64::MAX)),
            ("max_age", new().max_age(Duration::ZERO)),
            ("max_age", new().max_age(Duration::MAX)),
            ("duplicate_window", new().duplicate_window(Duration::MAX)),
            ("duplicate_window", new().max_age(Duration::from_secs(60))),
            ("ack_wait", new().ack_wait(Duration::from_secs(5))),
            (
                "maintenance_interval",
                new().maintenance_interval(Duration::ZERO),
            ),
            ("queue_events", new().queue_events(0)),
            ("queue_bytes", new().queue_bytes(0)),
        ];
        for (field, settings) in wrong {
            let error = settings.checked().unwrap_err();
            assert!(error.is_setting());
            let message = error.to_string();
            assert!(
                message.starts_with(field) && message.contains("use "),
                "{message}"
            );
        }
        new().checked().unwrap();
    }
}
