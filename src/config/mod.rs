//! A configuration file: [`Config`].

mod endpoint;
mod environment;
mod error;
mod item;
mod scalar;
mod section;
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

/// The `notifications` section of a configuration file.
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
    /// built. Reads the files that the section names.
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
    String::from_utf8(text).map_err(|_| "is not UTF-8: save it as that".into())
}
