//! The options of examples that pass events through NATS JetStream.

use std::path::PathBuf;
use std::time::Duration;

use crate::flags::Value;

/// The values of the options.
#[derive(Debug, Default)]
pub struct NatsOptions {
    servers: Option<String>,
    credentials: Option<PathBuf>,
    partitions: Option<u16>,
    replicas: Option<usize>,
    max_bytes: Option<u64>,
    pub ack_wait: Option<Duration>,
}

impl NatsOptions {
    /// The lines of these options in the text of `--help`.
    pub const HELP: &str = "  \
  --nats URL            Send events through JetStream on these NATS servers, separated by
                        commas (needs --features jetstream)
  --nats-creds FILE     Credentials file for the NATS servers
  --partitions N        Partitions of the stream (default: 16)
  --replicas N          Number of servers that store each event (default: 1)
  --max-bytes N         Maximum size of the stream, in bytes (default: 1 GiB)
";

    /// Like `Flags::take`.
    pub fn take(&mut self, name: &str, value: &mut Value<'_>) -> Result<bool, String> {
        match name {
            "--nats" => self.servers = Some(value.text()?),
            "--nats-creds" => self.credentials = Some(value.file()?),
            "--partitions" => {
                let most = u16::MAX.into();
                self.partitions = u16::try_from(value.number(most)?).ok();
            }
            "--replicas" => self.replicas = Some(value.count()?),
            "--max-bytes" => self.max_bytes = Some(value.number(u64::MAX)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Like `Flags::check`: reports options that have no effect without `--nats`.
    pub fn check(&self) -> Result<(), String> {
        let alone = [
            ("--nats-creds", self.credentials.is_some()),
            ("--partitions", self.partitions.is_some()),
            ("--replicas", self.replicas.is_some()),
            ("--max-bytes", self.max_bytes.is_some()),
        ];
        match alone.into_iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) if !self.is_set() => Err(format!("{name} needs --nats URL")),
            _ => Ok(()),
        }
    }

    /// Whether events pass through JetStream.
    pub fn is_set(&self) -> bool {
        self.servers.is_some()
    }
}

#[cfg(feature = "jetstream")]
mod enabled {
    use tower::BoxError;
    use tower_registry_notifications::NotifierBuilder;
    use tower_registry_notifications::jetstream::{JetStream, JetStreamError, JetStreamSink};

    use super::NatsOptions;
    use crate::admin::Section;
    use crate::causes::with_causes;

    /// The name of the stream in the journal.
    const ENDPOINT: &str = "stream";

    impl NatsOptions {
        /// Returns the settings if `--nats` was given.
        pub fn settings(&self) -> Option<JetStream> {
            let mut settings = JetStream::new(self.servers.as_ref()?);
            if let Some(file) = &self.credentials {
                settings = settings.credentials_file(file);
            }
            if let Some(partitions) = self.partitions {
                settings = settings.partitions(partitions);
            }
            if let Some(replicas) = self.replicas {
                settings = settings.replicas(replicas);
            }
            if let Some(bytes) = self.max_bytes {
                settings = settings.max_bytes(bytes);
            }
            if let Some(wait) = self.ack_wait {
                settings = settings.ack_wait(wait);
            }
            Some(settings)
        }

        /// Adds a sink that writes to the stream, if `--nats` was given. With a journal,
        /// events wait there until JetStream has acknowledged them.
        pub async fn add_to(
            &self,
            notifier: NotifierBuilder,
        ) -> Result<(NotifierBuilder, Option<JetStreamSink>), BoxError> {
            let Some(settings) = self.settings() else {
                return Ok((notifier, None));
            };
            let sink = settings.sink().await.map_err(told)?;
            let notifier = match notifier.has_journal() {
                true => notifier.endpoint(sink.endpoint(ENDPOINT)),
                false => notifier.sink(sink.clone()),
            };
            Ok((notifier, Some(sink)))
        }
    }

    /// Returns an error with its causes, on one line.
    pub fn told(error: JetStreamError) -> BoxError {
        with_causes(&error).into()
    }

    /// Returns what the page shows of the stream if `--nats` was given.
    pub fn status(sink: &Option<JetStreamSink>) -> Option<Section> {
        let sink = sink.clone()?;
        let status = move || serde_json::json!(sink.status());
        Some(Section::new("jetstream", status))
    }

    /// Publishes the waiting events and prints how many are left.
    pub async fn finish(sink: Option<JetStreamSink>, deadline: std::time::Duration) {
        if let Some(sink) = sink {
            match sink.shutdown(deadline).await {
                0 => {}
                left => eprintln!("Events that JetStream did not acknowledge: {left}."),
            }
        }
    }
}

#[cfg(not(feature = "jetstream"))]
mod enabled {
    use tower::BoxError;
    use tower_registry_notifications::NotifierBuilder;

    use super::NatsOptions;
    use crate::admin::Section;

    impl NatsOptions {
        /// Fails if `--nats` was given.
        pub async fn add_to(
            &self,
            notifier: NotifierBuilder,
        ) -> Result<(NotifierBuilder, Option<()>), BoxError> {
            match self.is_set() {
                true => Err("--nats needs `--features jetstream`".into()),
                false => Ok((notifier, None)),
            }
        }
    }

    /// Does nothing.
    pub fn status(_: &Option<()>) -> Option<Section> {
        None
    }

    /// Does nothing.
    pub async fn finish(_: Option<()>, _: std::time::Duration) {}
}

#[cfg(feature = "jetstream")]
pub use self::enabled::told;
pub use self::enabled::{finish, status};
