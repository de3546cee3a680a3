//! The command line of the examples.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};

/// The options of one example.
pub trait Flags: Default {
    /// Returns the text of `--help`.
    fn help() -> String;

    /// Takes the option `name`, such as `--listen`. Returns false if there is no
    /// such option.
    fn take(&mut self, name: &str, value: &mut Value<'_>) -> Result<bool, String>;

    /// Reports options that are missing or contradict each other.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Reads the arguments without the program's name. Returns `None` if they ask
/// for help.
pub fn parse<F: Flags>(
    arguments: impl IntoIterator<Item: Into<OsString>>,
) -> Result<Option<F>, String> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut parser = Parser::from_args(arguments);
    let mut flags = F::default();
    while let Some(argument) = parser.next().map_err(without_value)? {
        let name = match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(name) => format!("-{name}"),
            // Not shown, because it may be the secret of a mistyped option.
            Arg::Value(_) => {
                return Err("unexpected argument: options begin with -- (try --help)".into());
            }
        };
        let mut value = Value {
            parser: &mut parser,
            name: &name,
        };
        if !flags.take(&name, &mut value)? {
            return Err(format!(
                "no such option: {} (try --help)",
                shown_option(&name)
            ));
        }
    }
    flags.check()?;
    Ok(Some(flags))
}

/// Returns the message of an error without values, which may be secrets.
fn without_value(error: lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => format!("{option} takes no value"),
        lexopt::Error::NonUnicodeValue(_) => "an argument is not UTF-8".into(),
        error => error.to_string(),
    }
}

/// Returns an option as messages show it. Anything that does not look like an option may be
/// a secret whose option is missing, and is replaced.
fn shown_option(name: &str) -> &str {
    let like_an_option = |c: char| c.is_ascii_lowercase() || c == '-';
    let is_shown = name.len() <= 30 && name.chars().all(like_an_option);
    if is_shown { name } else { "…" }
}

/// Returns a value as messages show it. One with an `@` may contain a password, and is
/// replaced.
fn shown(value: &str) -> &str {
    if value.contains('@') { "…" } else { value }
}

/// The value of an option: `--name value` or `--name=value`.
pub struct Value<'a> {
    parser: &'a mut Parser,
    name: &'a str,
}

impl Value<'_> {
    pub fn text(&mut self) -> Result<String, String> {
        let name = self.name;
        let missing = |_| format!("{name} needs a value");
        let value = self.parser.value().map_err(missing)?;
        value
            .into_string()
            .map_err(|_| format!("{name} needs UTF-8"))
    }

    pub fn file(&mut self) -> Result<PathBuf, String> {
        self.text().map(PathBuf::from)
    }

    /// Returns a whole number of at least 1.
    pub fn count(&mut self) -> Result<usize, String> {
        let number = self.number(u64::MAX)?;
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Returns a whole number from 1 to `most`.
    pub fn number(&mut self, most: u64) -> Result<u64, String> {
        let (text, name) = (self.text()?, self.name);
        let number = text.parse().ok();
        number
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| {
                let range = match most {
                    u64::MAX => "of at least 1".into(),
                    most => format!("from 1 to {most}"),
                };
                let text = shown(&text);
                format!("{name} needs a number {range}, not {text}")
            })
    }

    /// Returns a whole number of seconds, of at least 1.
    pub fn seconds(&mut self) -> Result<Duration, String> {
        // Small enough that adding it to an `Instant` does not overflow.
        let seconds = self.number(u32::MAX.into());
        let seconds = seconds.map_err(|error| error.replace("a number", "a number of seconds"));
        seconds.map(Duration::from_secs)
    }

    pub fn address(&mut self) -> Result<HostPort, String> {
        let (text, name) = (self.text()?, self.name);
        HostPort::parse(&text).ok_or_else(|| {
            let text = shown(&text);
            format!("{name} needs HOST:PORT, for example 127.0.0.1:5000, not {text}")
        })
    }
}

/// An address to listen on: an IP address or a host name, and a port. Port 0 means any
/// free port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort(String);

impl HostPort {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let _: u16 = port.parse().ok()?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        (!bare.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Returns the loopback address with `port`.
    pub fn local(port: u16) -> Self {
        Self(format!("127.0.0.1:{port}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host if it is a name and not an IP address.
    pub fn name(&self) -> Option<&str> {
        let (host, _) = self.0.rsplit_once(':')?;
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        (!is_address).then_some(host)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The port that an example listens on by default.
pub const LISTEN: u16 = 5000;

/// The options that the examples `registry` and `proxy` share: where they listen, where
/// events go, and the page for operators.
#[derive(Debug)]
pub struct Common {
    pub listen: HostPort,
    pub endpoints: Vec<String>,
    pub include_references: bool,
    pub page: Option<HostPort>,
    pub admin: bool,
    pub journal: Option<PathBuf>,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            listen: HostPort::local(LISTEN),
            endpoints: Vec::new(),
            include_references: false,
            page: None,
            admin: false,
            journal: None,
        }
    }
}

impl Common {
    /// Returns the lines of these options in the text of `--help`.
    pub fn help() -> String {
        let metrics = match cfg!(feature = "prometheus") {
            true => ", /metrics",
            false => "",
        };
        format!(
            "  \
  --listen HOST:PORT    Address to serve on (default: 127.0.0.1:5000)
  --endpoint URL        Post events to this URL; may be repeated
  --include-references  List the layers and manifests that a manifest refers to in its events
  --journal FILE        Keep events on disk until they are delivered (needs --features journal)
  --page HOST:PORT      Serve a page for browsers{metrics} and /debug/notifications here
  --admin               Let anyone who can reach the page send dead letters again or purge them
  --help                Print this text
"
        )
    }

    /// Like [`Flags::take`].
    pub fn take(&mut self, name: &str, value: &mut Value<'_>) -> Result<bool, String> {
        match name {
            "--listen" => self.listen = value.address()?,
            "--endpoint" => self.endpoints.push(value.text()?),
            "--include-references" => self.include_references = true,
            "--journal" => self.journal = Some(value.file()?),
            "--page" => self.page = Some(value.address()?),
            "--admin" => self.admin = true,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The options of an example that only listens.
#[derive(Debug)]
pub struct Listen(pub HostPort);

impl Default for Listen {
    fn default() -> Self {
        Self(HostPort::local(LISTEN))
    }
}

impl Flags for Listen {
    fn help() -> String {
        "\
Options:
  --listen HOST:PORT  Address to serve on (default: 127.0.0.1:5000)
  --help              Print this text
"
        .into()
    }

    fn take(&mut self, name: &str, value: &mut Value<'_>) -> Result<bool, String> {
        match name {
            "--listen" => self.0 = value.address()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
