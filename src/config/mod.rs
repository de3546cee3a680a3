//! A configuration file: [`Config`].

mod delivery;
mod endpoint;
mod environment;
mod error;
mod filter;
mod item;
mod scalar;
mod section;
mod transport;
mod tree;
mod write;

use std::ffi::OsStr;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

pub use self::error::ConfigError;
use self::error::{Place, Source};
use self::item::{Item, nearest};
use self::section::Phase;
use self::tree::{Kind, Node, TEXT_LIMIT};
use crate::notifier::{Notifier, NotifierBuilder};

const KEY: &str = "notifications";

/// The `notifications` section of a configuration file, as
/// [distribution] has it and with the settings of this crate.
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
/// The file may be the whole configuration of a distribution registry, of which
/// only the section is looked at, or have nothing else in it. One without the
/// section has no endpoints. Whatever the section says means here what it means
/// there: an endpoint with none of this crate's settings is delivered to as the
/// reference does.
///
/// # Keys
///
/// Below `notifications`:
///
/// | key | value | default |
/// | --- | --- | --- |
/// | `events.includereferences` | boolean: should events of manifests carry what the manifest refers to? | `false` |
/// | `source.addr` | text, `host:port`: the node that events come from | none |
/// | `endpoints` | list of endpoints | empty |
///
/// Of an endpoint, what the reference knows:
///
/// | key | value | default |
/// | --- | --- | --- |
/// | `name` | text, each endpoint its own | must be there |
/// | `url` | `http` or `https`; user info is sent as Basic authorization | must be there |
/// | `disabled` | boolean: is it left out? Its files are not read then | `false` |
/// | `headers` | map of names to lists of values, or to one value | none |
/// | `timeout` | duration of an attempt | `1s` |
/// | `threshold` | number: after so many failures in a row the breaker opens | `10` |
/// | `backoff` | duration between attempts while it is open | `1s` |
/// | `ignoredmediatypes` | list of media types that are ignored | none |
/// | `ignore.mediatypes` | the same list, newer spelling; both count | none |
/// | `ignore.actions` | list of `push`, `pull`, `mount`, `delete` | none |
///
/// And what only this crate knows; the builder's method says more:
///
/// | key | value | default | see |
/// | --- | --- | --- | --- |
/// | `ignore.repositories`, `ignore.tags` | lists of globs | none | [`Filter`] |
/// | `ignore.kinds` | list of `manifest`, `blob`, `tag`, `repository` | none | [`Filter`] |
/// | `include.repositories`, `include.tags` | lists of globs: only these | all | [`Filter`] |
/// | `include.mediatypes`, `include.actions`, `include.kinds` | lists: only these | all | [`Filter`] |
/// | `format` | `v2`, `v1` or `cloudevents` | `v2` | [`format`](crate::EndpointBuilder::format) |
/// | `compact` | boolean | `false` | [`compact`](crate::EndpointBuilder::compact) |
/// | `retry` | `breaker`, or `backoff`, or its settings | `breaker` | [`retry`](crate::EndpointBuilder::retry) |
/// | `retry.base`, `retry.cap` | durations | `1s`, `5m` | [`Backoff`] |
/// | `retry.factor` | number from 1 up | `2` | [`Backoff`] |
/// | `retry.attempts` | number | no limit | [`Backoff`] |
/// | `retry.age` | duration | `72h` | [`Backoff`] |
/// | `acceptredirects` | boolean | `true` | [`accept_redirects`](crate::EndpointBuilder::accept_redirects) |
/// | `concurrency` | number | `1` | [`concurrency`](crate::EndpointBuilder::concurrency) |
/// | `batch.events` | number | `100`; without `batch`, one | [`Batch`] |
/// | `batch.bytes` | size | `1MiB` | [`Batch`] |
/// | `batch.linger` | duration | `0` | [`Batch`] |
/// | `queue.events` | number | `100000` | [`queue_limits`](crate::EndpointBuilder::queue_limits) |
/// | `queue.bytes` | size | `128MiB` | [`queue_limits`](crate::EndpointBuilder::queue_limits) |
/// | `queue.overflow` | `rejectnewest`, `dropoldest` or `wait` | `rejectnewest` | [`Overflow`] |
/// | `deadletters.file` | path | none | [`DeadLetterFile`] |
/// | `deadletters.maxbytes`, `deadletters.files` | size, number | `64MiB`, `9` | [`rotate`](crate::DeadLetterFile::rotate) |
/// | `connecttimeout` | duration | `5s` | [`connect_timeout`](crate::EndpointBuilder::connect_timeout) |
/// | `signingsecrets` | list of secrets, or of `file:` and a path | none | [`sign`](crate::EndpointBuilder::sign) |
/// | `rootcertificates` | list of paths of PEM files | none | [`root_certificates`](crate::EndpointBuilder::root_certificates) |
/// | `systemroots` | boolean | `true` | [`system_roots`](crate::EndpointBuilder::system_roots) |
/// | `clientcertificate.certificate`, `clientcertificate.key` | paths of PEM files | none | [`client_certificate`](crate::EndpointBuilder::client_certificate) |
/// | `addresses.policy` | `allowall` or `denyprivate` | `allowall` | [`AddressPolicy`] |
/// | `addresses.allow` | list of networks and addresses | none | [`AddressPolicy`] |
///
/// A duration is one of Go, like `500ms` or `1h2m3.5s`; a number without a unit
/// is nanoseconds. A size is a number of bytes or one with a unit: `B`, `KiB`,
/// `MiB`, `GiB`. Scalars are read as Go's yaml package does: `yes` and `off` are
/// booleans, `010` is 8. Anchors, aliases and merge keys (`<<`) work, also where
/// they lead out of the section. What is left empty, and for `timeout`,
/// `threshold` and `backoff` also 0, is the default. Paths are relative to where
/// the process runs.
///
/// # Environment
///
/// [`override_from`](Self::override_from) takes the variables of the reference:
/// the keys that lead to a setting in capitals, an item of a list by its number
/// from 0, joined by `_` behind `REGISTRY_NOTIFICATIONS`. The value is YAML.
///
/// ```sh
/// REGISTRY_NOTIFICATIONS_ENDPOINTS='[{name: ci, url: "https://ci.example.com/events"}]'
/// REGISTRY_NOTIFICATIONS_ENDPOINTS_0_TIMEOUT=5s
/// REGISTRY_NOTIFICATIONS_ENDPOINTS_0_HEADERS_AUTHORIZATION='Bearer secret'
/// REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES=true
/// ```
///
/// What a variable sets replaces what stood there. A variable that names a list
/// or a map applies before those that lead into it; an item with the number after the
/// last is a new one.
///
/// # Differences from the reference
///
/// | the reference | here | why |
/// | --- | --- | --- |
/// | ignores a key or a variable that it does not know | an error; only `…_SERVICE…` and `…_PORT…`, which Kubernetes sets, are ignored | a misspelt setting should not be left out silently |
/// | takes a negative duration or threshold for the default | an error | nobody means that |
/// | takes the last of two equal keys, and the first of two documents | an error | the other would be left out silently |
/// | lets a merge key override the keys before it | keys of the map itself go first, as YAML has it | the order of keys should not matter |
/// | knows `…_EVENTCONFIG_INCLUDEREFERENCES` only | `…_EVENTS_…` as well | that is the key in the file |
/// | sends the header of a variable besides that of the file where they are spelt differently | the variable replaces it | it overrides |
/// | applies variables of items as text, 10 before 2 | by number | the items before an item come before it |
/// | before version 3, has no variables that lead into a list | as in version 3 | there is no other way to set one endpoint's secret |
///
/// # Limits
///
/// A file of more than 1 MiB, nesting of more than 64 levels, and aliases that
/// stand for more than 4 MiB are errors.
///
/// [distribution]: https://distribution.github.io/distribution/about/configuration/#notifications
/// [`AddressPolicy`]: crate::AddressPolicy
/// [`Backoff`]: crate::Backoff
/// [`Batch`]: crate::Batch
/// [`DeadLetterFile`]: crate::DeadLetterFile
/// [`Filter`]: crate::Filter
/// [`Overflow`]: crate::Overflow
#[derive(Clone)]
pub struct Config {
    /// What the section says; nothing if there is none.
    section: Arc<Node>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// When `text` is not valid YAML, or the section has an unknown key or a
    /// value that makes no sense. What is missing comes out in
    /// [`notifier`](Self::notifier): the environment may have it.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        Self::read(text, Source::Text)
    }

    /// Reads a configuration file. Messages name it.
    ///
    /// # Errors
    ///
    /// As [`from_yaml`](Self::from_yaml), and when the file cannot be read or is
    /// larger than 1 MiB.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let source = Source::File(path.display().to_string().into());
        let text = read_file(path);
        let text =
            text.map_err(|message| ConfigError::new(&Place::whole(source.clone()), "", message))?;
        Self::read(&text, source)
    }

    fn read(text: &str, source: Source) -> Result<Self, ConfigError> {
        let root = tree::parse(text, source)?;
        let section = section_of(&root)?;
        Self { section }.checked()
    }

    /// Overrides what the file says by variables of the environment whose name
    /// begins with `REGISTRY_NOTIFICATIONS`; see [`Config`].
    ///
    /// # Errors
    ///
    /// When a variable names no key, or its value makes no sense. The message
    /// names the variable.
    pub fn override_from<K, V>(
        self,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let section = environment::overridden(self.section, environment)?;
        Self { section }.checked()
    }

    /// [`override_from`](Self::override_from) the environment of the process.
    ///
    /// # Errors
    ///
    /// As [`override_from`](Self::override_from).
    pub fn override_from_env(self) -> Result<Self, ConfigError> {
        self.override_from(std::env::vars_os())
    }

    /// The notifier that the section describes, for more to be set or to be
    /// built. Reads the files that the section names, each of at most 1 MiB.
    ///
    /// # Errors
    ///
    /// When an endpoint has no name or no URL, when two have the same name, or
    /// when a file cannot be read.
    pub fn notifier(&self) -> Result<NotifierBuilder, ConfigError> {
        self.describe(Phase::Build)
    }

    /// The section as YAML, environment included, to be read again.
    ///
    /// **It holds all secrets of the configuration**: header values, user info
    /// of URLs, signing secrets. Comments are gone, aliases written out.
    pub fn to_yaml(&self) -> String {
        write::document(KEY, &self.section)
    }

    fn checked(self) -> Result<Self, ConfigError> {
        self.describe(Phase::Check)?;
        Ok(self)
    }

    fn describe(&self, phase: Phase) -> Result<NotifierBuilder, ConfigError> {
        if self.section.is_null() {
            return Ok(Notifier::builder());
        }
        section::notifier(&Item::new(self.section.clone(), KEY), phase)
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

/// The section of a whole configuration.
fn section_of(root: &Arc<Node>) -> Result<Arc<Node>, ConfigError> {
    let entries = match &root.kind {
        Kind::Map(entries) => entries,
        _ if root.is_null() => return Ok(Arc::new(Node::null(root.place.clone()))),
        _ => {
            let message = format!("is no map: write `{KEY}:` and the settings below it, indented");
            return Err(ConfigError::new(&root.place, "", message));
        }
    };
    let is_ours = |it: &&tree::Entry| it.key.as_key() == Some(KEY);
    let mut ours = entries.iter().filter(is_ours);
    match (ours.next(), ours.next()) {
        (Some(_), Some(second)) => {
            let message = "stands here twice: put everything into one";
            Err(ConfigError::new(&second.key.place, KEY, message))
        }
        (Some(entry), None) => Ok(entry.value.clone()),
        // Everything else in the file is not ours to judge, but this would
        // silently mean no notifications.
        (None, _) => match entries.iter().find(|it| misspelt(it)) {
            Some(entry) => {
                let message = format!("a key is almost {KEY:?}: did you mean that?");
                Err(ConfigError::new(&entry.key.place, "", message))
            }
            None => Ok(Arc::new(Node::null(root.place.clone()))),
        },
    }
}

fn misspelt(entry: &tree::Entry) -> bool {
    let key = entry.key.as_key();
    key.is_some_and(|key| nearest(key, [KEY].into_iter()).is_some())
}

/// The text of a file that is not too large.
fn read_file(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut text = Vec::new();
    let most = TEXT_LIMIT as u64 + 1;
    file.take(most).read_to_end(&mut text).map_err(cannot)?;
    if text.len() > TEXT_LIMIT {
        return Err("is larger than 1 MiB".into());
    }
    String::from_utf8(text).map_err(|_| "is not UTF-8: save it as that".into())
}
