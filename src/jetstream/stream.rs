//! The stream that events pass through: created when missing, else compared with
//! the settings field by field.
//!
//! The server fills in settings that are left out, so that the configuration that it
//! returns never equals the one that was sent. It also returns an existing stream of the
//! same name, whatever its configuration. Therefore each field that matters is compared
//! here, and nothing is ever changed.

use std::collections::HashMap;
use std::fmt::Debug;

use async_nats::Client;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamByNameErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use tokio::time::Instant;

use super::connection::is_at_least;
use super::error::{ErrorKind, JetStreamError};
use super::patience::{is_temporary, no_answer, retry_until};
use super::settings::JetStream;
use super::subject;

/// The key of the number of partitions in a stream's metadata.
const PARTITIONS: &str = "tower-registry-notifications.partitions";

/// Returns the name of the stream, which exists and fits the settings.
pub(super) async fn ensure(
    client: &Client,
    settings: &JetStream,
) -> Result<String, JetStreamError> {
    let context = jetstream::new(client.clone());
    let deadline = Instant::now() + settings.connect_timeout;
    retry_until(deadline, || attempt(&context, settings)).await
}

async fn attempt(context: &Context, settings: &JetStream) -> Result<String, JetStreamError> {
    let subjects = subject::of_all(&settings.prefix);
    match context.stream_by_subject(subjects).await {
        Ok(name) => return check(context, &name, settings).await,
        Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => {}
        Err(error) => return Err(no_answer(error)),
    }
    let version = context.client().server_info().version;
    let wanted = wanted(settings, &version);
    let name = wanted.name.clone();
    match context.create_stream(wanted).await {
        Ok(_) => tracing::info!(stream = name, "the stream is created"),
        Err(error) => match error.kind() {
            CreateStreamErrorKind::JetStream(reason) if is_temporary(&reason) => {
                return Err(no_answer(error));
            }
            // A stream of this name has other subjects, or another node has created it
            // meanwhile.
            CreateStreamErrorKind::JetStream(reason) if reason.error_code().0 == NAME_IN_USE => {}
            CreateStreamErrorKind::JetStream(reason) => {
                let message = format!("the stream {name:?} cannot be created: {reason}");
                return Err(JetStreamError::new(ErrorKind::Other, message));
            }
            _ => return Err(no_answer(error)),
        },
    }
    check(context, &name, settings).await
}

/// `JSStreamNameExistErr`.
const NAME_IN_USE: u64 = 10058;

/// The configuration of a stream that is created.
fn wanted(settings: &JetStream, version: &str) -> Config {
    let keeps_metadata = is_at_least(version, 2, 10);
    let (name, partitions) = (&settings.stream, settings.partitions);
    let metadata = HashMap::from([(PARTITIONS.to_owned(), partitions.to_string())]);
    Config {
        name: match keeps_metadata {
            true => name.clone(),
            false => format!("{name}_{partitions}"),
        },
        description: Some("Notifications of a registry".into()),
        subjects: vec![subject::of_all(&settings.prefix)],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_bytes: i64::try_from(settings.max_bytes).unwrap_or(i64::MAX),
        max_age: settings.max_age,
        duplicate_window: settings.duplicate_window,
        num_replicas: settings.replicas,
        metadata: if keeps_metadata {
            metadata
        } else {
            HashMap::new()
        },
        ..Config::default()
    }
}

async fn check(
    context: &Context,
    name: &str,
    settings: &JetStream,
) -> Result<String, JetStreamError> {
    let stream = context.get_stream(name).await.map_err(no_answer)?;
    let found = &stream.cached_info().config;
    let version = context.client().server_info().version;
    let differences = differences(&wanted(settings, &version), found, settings.partitions);
    if differences.is_empty() {
        return Ok(name.to_owned());
    }
    let message = format!(
        "stream {name:?} does not fit the settings: {}",
        differences.join("; ")
    );
    Err(JetStreamError::new(ErrorKind::Mismatch, message))
}

/// Returns all differences between a stream and the settings, each with its remedy.
fn differences(wanted: &Config, found: &Config, partitions: u16) -> Vec<String> {
    let mut all = Differences(Vec::new());
    match partitions_of(found) {
        Some(found) if found == partitions => {}
        Some(found) => all.0.push(format!(
            "it has {found} partitions, not {partitions}, and the events of a repository would \
             be in two of them: use {found} partitions, or let the workers empty the stream and \
             delete it"
        )),
        None => all.0.push(
            "it does not say how many partitions it has, so that it was made by something \
             else: use another prefix"
                .to_owned(),
        ),
    }
    let edit = "edit the stream or the settings";
    all.compare(
        "subjects",
        &found.subjects,
        &wanted.subjects,
        "use another prefix or stream",
    );
    all.compare("max_bytes", &found.max_bytes, &wanted.max_bytes, edit);
    all.compare("max_age", &found.max_age, &wanted.max_age, edit);
    let window = &wanted.duplicate_window;
    all.compare("duplicate_window", &found.duplicate_window, window, edit);
    all.compare("replicas", &found.num_replicas, &wanted.num_replicas, edit);
    let edit = "edit the stream";
    all.compare("retention", &found.retention, &wanted.retention, edit);
    all.compare("discard", &found.discard, &wanted.discard, edit);
    all.compare("storage", &found.storage, &wanted.storage, edit);
    // 0 and -1 both mean that there is no limit.
    let limits = [
        ("max_msgs", found.max_messages),
        ("max_msgs_per_subject", found.max_messages_per_subject),
        ("max_msg_size", found.max_message_size.into()),
    ];
    for (field, limit) in limits {
        all.compare(field, &limit.max(0), &0, edit);
    }
    for (field, found) in [
        ("no_ack", found.no_ack),
        ("sealed", found.sealed),
        ("deny_purge", found.deny_purge),
        ("discard_new_per_subject", found.discard_new_per_subject),
    ] {
        all.compare(field, &found, &false, edit);
    }
    all.compare("subject_transform", &found.subject_transform, &None, edit);
    all.0
}

struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Debug>(&mut self, field: &str, found: &T, wanted: &T, remedy: &str) {
        if found != wanted {
            let difference = format!("{field} is {found:?}, not {wanted:?}: {remedy}");
            self.0.push(difference);
        }
    }
}

/// Returns the number of partitions, from the metadata, or from the end of the name if an
/// older server has created the stream.
fn partitions_of(found: &Config) -> Option<u16> {
    match found.metadata.get(PARTITIONS) {
        Some(number) => number.parse().ok(),
        None => found.name.rsplit_once('_')?.1.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a field, and what changes it.
    type Change = (&'static str, fn(&mut Config));

    fn settings() -> JetStream {
        JetStream::new("nats://h")
    }

    #[test]
    fn every_field_that_matters_is_compared() {
        let wanted = wanted(&settings(), "2.15.1");
        assert_eq!(differences(&wanted, &wanted, 16), Vec::<String>::new());
        let mut answered = wanted.clone();
        answered.max_messages = -1;
        answered.max_messages_per_subject = -1;
        answered.max_message_size = -1;
        answered.allow_direct = true;
        answered.max_consumers = -1;
        assert_eq!(differences(&wanted, &answered, 16), Vec::<String>::new());
        let change: [Change; 15] = [
            ("partitions", |it| {
                it.metadata
                    .insert(PARTITIONS.into(), "8".into())
                    .map_or((), drop)
            }),
            ("partitions", |it| it.metadata.clear()),
            ("subjects", |it| it.subjects.push("more".into())),
            ("max_bytes", |it| it.max_bytes = -1),
            ("max_age", |it| it.max_age *= 2),
            ("duplicate_window", |it| it.duplicate_window /= 2),
            ("replicas", |it| it.num_replicas = 3),
            ("retention", |it| it.retention = RetentionPolicy::WorkQueue),
            ("discard", |it| it.discard = DiscardPolicy::Old),
            ("storage", |it| it.storage = StorageType::Memory),
            ("max_msgs", |it| it.max_messages = 5),
            ("max_msgs_per_subject", |it| it.max_messages_per_subject = 1),
            ("max_msg_size", |it| it.max_message_size = 100),
            ("no_ack", |it| it.no_ack = true),
            ("deny_purge", |it| it.deny_purge = true),
        ];
        for (field, change) in change {
            let mut found = wanted.clone();
            change(&mut found);
            let differences = differences(&wanted, &found, 16);
            assert_eq!(differences.len(), 1, "{field}: {differences:?}");
            assert!(differences[0].contains(field), "{field}: {differences:?}");
            assert!(differences[0].contains(": "), "no remedy: {differences:?}");
        }
    }

    #[test]
    fn a_server_without_metadata_has_the_partitions_in_the_name() {
        let old = wanted(&settings(), "2.9.10");
        assert_eq!(old.name, "REGISTRY_NOTIFICATIONS_16");
        assert!(old.metadata.is_empty());
        assert_eq!(partitions_of(&old), Some(16));
        let new = wanted(&settings(), "2.10.0");
        assert_eq!(new.name, "REGISTRY_NOTIFICATIONS");
        assert_eq!(partitions_of(&new), Some(16));
        // The server was updated: the stream of the earlier one still fits.
        assert_eq!(differences(&new, &old, 16), Vec::<String>::new());
        assert_eq!(differences(&new, &old, 8).len(), 1);
    }
}
