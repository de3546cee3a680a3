//! The `notifications` section of a configuration file: [`Config`].

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::environment;
use super::file;
use super::item::Item;
use super::phase::Phase;
use super::place::{Place, Source};
use super::section;
use super::spelling::nearest;
use super::tree::{self, Node, NodeKind};
use crate::error::{BuildError, MistakeKind};
use crate::notifier::{Notifier, NotifierBuilder};

const KEY: &str = "notifications";

/// The `notifications` section of a [distribution] configuration file, with
/// this crate's settings in addition to distribution's.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_registry_notifications::Config;
///
/// let config = Config::from_file("config.yml")?.override_from_env()?;
/// let notifier = config.notifier()?.build()?;
/// # let _ = notifier;
/// # Ok(()) }
/// ```
///
/// ```yaml
/// notifications:
///   endpoints:
///     - name: ci
///       url: https://ci.example.com/events
///       headers:
///         Authorization: [Bearer secret]
///       timeout: 5s
///       # A key of this crate: distribution would retry forever.
///       retry: backoff
/// ```
///
/// The file may be the whole configuration of a distribution registry, of which
/// only this section is read, or contain nothing else. A file without the
/// section has no endpoints. An endpoint with none of this crate's settings is
/// delivered to as the reference does.
///
/// Mistakes are not reported one by one. Reading the file reports all keys and values
/// that are not valid, and [`notifier`](Self::notifier) all that are missing or do not
/// fit together and all files that cannot be read, each with file, line, column and key.
/// [`NotifierBuilder::build`] reports all certificates and addresses that cannot be used,
/// each with the name of its endpoint.
///
/// # Keys
///
/// Below `notifications`:
///
/// | key | value | default |
/// | --- | --- | --- |
/// | `events.includereferences` | boolean: whether events of manifests list what the manifest refers to | `false` |
/// | `source.addr` | text, `host:port`: the node that events come from | none |
/// | `source.publichost` | text, `host` or `host:port`: where clients reach the registry; see [`public_host`](crate::NotifierBuilder::public_host) | the host of each request |
/// | `endpoints` | list of endpoints | empty |
/// | `journal` | path of a file, or `journal.path` and the keys below; needs the feature `journal` | none: events wait in memory |
/// | `journal.maxbytes` | size of the events that it may hold | `8GiB` |
/// | `journal.maxage` | duration after which an event becomes a dead letter | no limit |
/// | `journal.retention` | duration for which delivered events are kept for replay | `0` |
/// | `journal.waitforpulls` | boolean: whether the response to a pull waits for the disk | `true` |
/// | `journal.startfromoldest` | boolean: whether an endpoint that the journal does not know starts with the oldest event that is kept | `false` |
///
/// Of an endpoint, those of the reference:
///
/// | key | value | default |
/// | --- | --- | --- |
/// | `name` | text, different for each endpoint | required |
/// | `url` | `http` or `https`; user info is sent as Basic authorization | required |
/// | `disabled` | boolean: whether it is left out; its files are not read then | `false` |
/// | `headers` | map of names to lists of values, or to one value; they replace headers that this crate sets | none |
/// | `timeout` | duration of an attempt | `1s` |
/// | `threshold` | number of failures in a row after which the breaker opens | `10` |
/// | `backoff` | duration between attempts while it is open | `1s` |
/// | `ignoredmediatypes` | list of media types that are ignored | none |
/// | `ignore.mediatypes` | the same list in the newer spelling; both apply | none |
/// | `ignore.actions` | list of `push`, `pull`, `mount`, `delete` | none |
///
/// And those of this crate, explained at the method or type:
///
/// | key | value | default | see |
/// | --- | --- | --- | --- |
/// | `ignore.repositories`, `ignore.tags` | lists of globs | none | [`Filter`] |
/// | `ignore.kinds` | list of `manifest`, `blob`, `tag`, `repository` | none | [`Filter`] |
/// | `include.repositories`, `include.tags` | lists of globs: only these | all | [`Filter`] |
/// | `include.mediatypes`, `include.actions`, `include.kinds` | lists: only these | all | [`Filter`] |
/// | `format` | `v2`, `v1`, `cloudevents`, `azure`, `harbor` or `imageupdater` | `v2` | [`Format`](crate::Format) |
/// | `eventtype` | text | `registry.image.pushed.v1` | [`event_type`](crate::Endpoint::event_type) |
/// | `sequence` | boolean: whether requests have the number of each event | `false` | [`sequence`](crate::Endpoint::sequence) |
/// | `compact` | boolean | `false` | [`compact`](crate::Endpoint::compact) |
/// | `retry` | `breaker`, or `backoff`, or its settings | `breaker` | [`retry`](crate::Endpoint::retry) |
/// | `retry.base`, `retry.cap` | durations | `1s`, `5m` | [`Backoff`] |
/// | `retry.factor` | number from 1 up | `2` | [`Backoff`] |
/// | `retry.attempts` | number | no limit | [`Backoff`] |
/// | `retry.age` | duration | `72h` | [`Backoff`] |
/// | `acceptredirects` | boolean | `true` | [`on_status`](crate::Endpoint::on_status) |
/// | `concurrency` | number | `1` | [`concurrency`](crate::Endpoint::concurrency) |
/// | `batch.events` | number | `100`; without `batch`, one | [`Batch`] |
/// | `batch.bytes` | size | `1MiB` | [`Batch`] |
/// | `batch.linger` | duration | `0` | [`Batch`] |
/// | `queue.events` | number | `100000` | [`queue_events`](crate::Endpoint::queue_events) |
/// | `queue.bytes` | size | `128MiB` | [`queue_bytes`](crate::Endpoint::queue_bytes) |
/// | `queue.overflow` | `rejectnewest`, `dropoldest` or `wait` | `rejectnewest` | [`Overflow`] |
/// | `deadletters.file` | path | none | [`DeadLetterFile`] |
/// | `deadletters.maxbytes`, `deadletters.files` | size, number | `64MiB`, `9` | [`rotate`](crate::dead_letter::DeadLetterFile::rotate) |
/// | `connecttimeout` | duration | `5s` | [`connect_timeout`](crate::Endpoint::connect_timeout) |
/// | `signingsecrets` | list of secrets, or of `file:` and a path | none | [`sign`](crate::Endpoint::sign) |
/// | `hmac.header`, `hmac.secret` | name of a header; a text, or `file:` and a path. `hmac` may be a list of such pairs | none | [`sign_hmac`](crate::Endpoint::sign_hmac) |
/// | `rootcertificates` | list of paths of PEM files | none | [`root_certificates`](crate::Endpoint::root_certificates) |
/// | `systemroots` | boolean | `true` | [`system_roots`](crate::Endpoint::system_roots) |
/// | `clientcertificate.certificate`, `clientcertificate.key` | paths of PEM files | none | [`client_certificate`](crate::Endpoint::client_certificate) |
/// | `addresses.policy` | `allowall` or `denyprivate` | `allowall` | [`AddressPolicy`] |
/// | `addresses.allow` | list of networks and addresses | none | [`AddressPolicy`] |
/// | `proxyfromenv` | boolean: whether `HTTP_PROXY` and the like count | `true` | [`proxy_from_env`](crate::Endpoint::proxy_from_env) |
///
/// A duration is written as in Go, with its unit, such as `500ms` or `1h2m3.5s`. It is
/// at least 1 ms, and at least 10 ms for `backoff` and `retry.base`. A size is a number
/// of bytes, or a number with a unit: `B`, `KiB`, `MiB`, `GiB`. Scalars are read as Go's
/// yaml package reads them: `yes` and `off` are booleans, `010` is 8, `3.0` and `1e1`
/// are whole numbers. Anchors, aliases and merge keys (`<<`) work, even if they refer
/// to a place outside the section. An empty value means the default, and so does 0 for
/// `timeout`, `threshold` and `backoff`. Paths are relative to the working directory
/// of the process.
///
/// # Environment
///
/// [`override_from`](Self::override_from) takes the variables of the reference:
/// `REGISTRY_NOTIFICATIONS` and the keys that lead to a setting, in capitals and
/// joined by `_`. An item of a list is named by its number, from 0. The value is
/// YAML.
///
/// ```sh
/// REGISTRY_NOTIFICATIONS_ENDPOINTS='[{name: ci, url: "https://ci.example.com/events"}]'
/// REGISTRY_NOTIFICATIONS_ENDPOINTS_0_TIMEOUT=5s
/// REGISTRY_NOTIFICATIONS_ENDPOINTS_0_HEADERS_AUTHORIZATION='Bearer secret'
/// REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES=true
/// ```
///
/// A variable replaces the value in the file. A variable that names a list or a
/// map applies before those that lead into it. The number after that of the last
/// item adds an item. [`from_env`](Self::from_env) reads variables without a file.
///
/// A variable whose name leads to no key is ignored, and a warning names the variable
/// that was probably meant. Variables that Kubernetes and Docker set for services and
/// links (`…_SERVICE_HOST`, `…_PORT_80_TCP`) are ignored without a warning.
///
/// # GitLab
///
/// GitLab's registry, a fork of distribution, has keys of its own. If one of them is
/// anywhere in the section, all of its endpoints work as in GitLab's registry: they
/// have the format v1 and a limit of attempts. The keys of this crate in an endpoint
/// still apply.
///
/// | key | value | meaning here |
/// | --- | --- | --- |
/// | `fanouttimeout` | duration, `15s` by default | part of [`shutdown_deadline`](Self::shutdown_deadline) |
/// | `endpoints[].maxretries` | number, `10` by default | an event is attempted once more than this, for at most 15 minutes, whatever status from 400 on the receiver responds with |
/// | `endpoints[].backoff` | duration, `1s` by default | the longest wait after the first attempt; it grows by a factor of 1.5 up to 1 minute |
/// | `endpoints[].threshold` | number | a warning; without `maxretries` it is converted as GitLab's registry does |
/// | `endpoints[].queuesizelimit` | number, `3000` by default | [`queue_events`](crate::Endpoint::queue_events): the newest event is rejected |
/// | `endpoints[].queuepurgetimeout` | duration, `5s` by default | the rest of [`shutdown_deadline`](Self::shutdown_deadline) |
///
/// # Differences from the reference
///
/// | the reference | here | why |
/// | --- | --- | --- |
/// | ignores a key that it does not know | an error | a misspelt setting must not be ignored silently |
/// | ignores a variable that it does not know | a warning, except for those of services and links | it may belong to another program |
/// | reads a number without a unit as nanoseconds | an error; 0 is the default | 500 ns is never meant, and would flood the receiver |
/// | takes a `backoff` of any length | at least 10 ms | as above |
/// | adds a configured header to its own of the same name | replaces its own | receivers look at the first `Content-Type` only |
/// | ignores `Content-Length` and other headers that frame a message | an error | they are never meant |
/// | ignores a configured `Host` | sends it in place of the URL's host | this is what the author of the file asked for |
/// | takes an endpoint without a name, and a URL or headers that make every delivery fail | an error | events would wait forever |
/// | delivers to hosts with characters outside ASCII and to IPv6 addresses with a zone | an error with the remedy | the form with `xn--` needs no conversion |
/// | takes a text without quotes that continues in the next line | an error, except for secrets | that line is often a key that is indented too far, and may have a secret |
/// | takes a negative duration or threshold for the default | an error | it is never meant |
/// | cuts off the fraction of a threshold like `3.7` | an error | it is never meant |
/// | takes any word in `ignore.actions` | an error for a word that is not an action | a misspelt action must not be ignored silently |
/// | takes null (`~`) as an item of a list of texts, and a tag that it does not know | an error | it is never meant |
/// | takes the last of two equal keys, and the first of two documents | an error | the other would be ignored silently |
/// | lets a merge key override the keys before it | keys of the map itself take precedence, as in YAML | the order of keys must not matter |
/// | has `…_EVENTCONFIG_INCLUDEREFERENCES` only | `…_EVENTS_…` as well | it is the key in the file |
/// | sends the header of a variable in addition to that of the file if they are spelt differently | the variable replaces it | variables override |
/// | applies variables of items in the order of their text, 10 before 2 | by number | an item needs those before it |
/// | before version 3, has no variables that lead into a list | such variables work as in version 3 | otherwise the secret of one endpoint could not be set |
///
/// # Limits
///
/// Files of more than 1 MiB, nesting of more than 64 levels, and aliases that
/// stand for more than 4 MiB are errors.
///
/// [distribution]: https://distribution.github.io/distribution/about/configuration/#notifications
/// [`AddressPolicy`]: crate::endpoint::AddressPolicy
/// [`Backoff`]: crate::endpoint::Backoff
/// [`Batch`]: crate::endpoint::Batch
/// [`DeadLetterFile`]: crate::dead_letter::DeadLetterFile
/// [`Filter`]: crate::sink::Filter
/// [`Overflow`]: crate::endpoint::Overflow
#[derive(Clone)]
pub struct Config {
    /// The section. Null if the file has none.
    section: Arc<Node>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// When `text` is not valid YAML, or the section has unknown keys or invalid
    /// values. Missing keys are reported by [`notifier`](Self::notifier), because the
    /// environment may provide them.
    pub fn from_yaml(text: &str) -> Result<Self, BuildError> {
        Self::read(text, Source::Text)
    }

    /// Reads a configuration file, which errors name.
    ///
    /// # Errors
    ///
    /// Fails like [`from_yaml`](Self::from_yaml), and if the file cannot be read or is
    /// larger than 1 MiB.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, BuildError> {
        let path = path.as_ref();
        let source = Source::File(path.display().to_string().into());
        let text = file::read(path).map_err(|message| {
            let error = Place::whole(source.clone()).error("", message);
            error.with_kind(MistakeKind::Unreadable)
        })?;
        Self::read(&text, source)
    }

    /// Reads the environment of the process alone, as if the file had no section.
    ///
    /// # Errors
    ///
    /// Fails like [`override_from`](Self::override_from).
    pub fn from_env() -> Result<Self, BuildError> {
        Self::from_yaml("")?.override_from_env()
    }

    fn read(text: &str, source: Source) -> Result<Self, BuildError> {
        let root = tree::parse(text, source)?;
        let section = section_of(&root)?;
        Self { section }.checked()
    }

    /// Overrides the file with the variables of the environment whose names
    /// begin with `REGISTRY_NOTIFICATIONS`; see [`Config`].
    ///
    /// # Errors
    ///
    /// When the values of variables are invalid, or the number of an item is not the
    /// next one. The error names each variable.
    pub fn override_from<K, V>(
        self,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, BuildError>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let check = |section: &Arc<Node>| {
            let section = section.clone();
            Self { section }.checked().map(drop)
        };
        let section = environment::overridden(self.section, environment, check)?;
        Self { section }.checked()
    }

    /// Overrides the file with the environment of the process.
    ///
    /// # Errors
    ///
    /// Fails like [`override_from`](Self::override_from).
    pub fn override_from_env(self) -> Result<Self, BuildError> {
        self.override_from(std::env::vars_os())
    }

    /// Returns the builder of the notifier that the section describes. Reads the
    /// files that the section names, each of at most 1 MiB.
    ///
    /// # Errors
    ///
    /// When endpoints have no name or no URL, when two have the same name, or
    /// when files cannot be read or the journal cannot be opened. A journal that was
    /// opened is open until the builder and its notifier are gone.
    pub fn notifier(&self) -> Result<NotifierBuilder, BuildError> {
        self.describe(Phase::Build)
    }

    /// Returns how long the registry that the section was written for takes to shut
    /// down, to be passed to [`Notifier::shutdown`]. For a section of GitLab's registry
    /// this is the sum of its `fanouttimeout` and the longest `queuepurgetimeout`,
    /// otherwise `None`.
    pub fn shutdown_deadline(&self) -> Option<Duration> {
        if self.section.is_null() {
            return None;
        }
        section::shutdown_deadline(&Item::new(self.section.clone(), KEY))
    }

    fn checked(self) -> Result<Self, BuildError> {
        self.describe(Phase::Check)?;
        Ok(self)
    }

    fn describe(&self, phase: Phase) -> Result<NotifierBuilder, BuildError> {
        if self.section.is_null() {
            return Ok(Notifier::builder());
        }
        let notifier = section::notifier(&Item::new(self.section.clone(), KEY), phase);
        notifier.map_err(BuildError::in_order)
    }
}

/// Shows what the section describes, without secrets.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_tuple("Config");
        match self.describe(Phase::Check) {
            Ok(notifier) => it.field(&notifier),
            Err(error) => it.field(&error),
        };
        it.finish()
    }
}

/// Returns the section of a whole configuration, or a null node if it has none.
fn section_of(root: &Arc<Node>) -> Result<Arc<Node>, BuildError> {
    let entries = match &root.kind {
        NodeKind::Map(entries) => entries,
        _ if root.is_null() => return Ok(Arc::new(Node::null(root.place.clone()))),
        _ => {
            let message =
                format!("is not a map: write `{KEY}:` and the settings below it, indented");
            return Err(root.place.error("", message));
        }
    };
    let is_ours = |it: &&tree::Entry| it.key.as_key() == Some(KEY);
    let mut ours = entries.iter().filter(is_ours);
    match (ours.next(), ours.next()) {
        (Some(_), Some(second)) => {
            let message = "is given twice: put everything into one";
            Err(second.key.place.error(KEY, message))
        }
        (Some(entry), None) => Ok(entry.value.clone()),
        // Other keys of the file are not ours to judge, but a misspelt one would
        // silently mean that there are no notifications.
        (None, _) => match entries.iter().find(|it| misspelt(it)) {
            Some(entry) => {
                let message = format!("a key is almost {KEY:?}: did you mean that?");
                Err(entry.key.place.error("", message))
            }
            None => Ok(Arc::new(Node::null(root.place.clone()))),
        },
    }
}

fn misspelt(entry: &tree::Entry) -> bool {
    let key = entry.key.as_key();
    key.is_some_and(|key| nearest(key, [KEY].into_iter()).is_some())
}
