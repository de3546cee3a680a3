//! The command line of the journal's tool.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lexopt::{Arg, Parser};
use tower_registry_notifications::dead_letter::Reason;
use tower_registry_notifications::journal::{LetterFilter, ReplayFrom};

pub(crate) const HELP: &str = "\
Looks into a journal of events, and repairs what is stuck.

Usage: cargo run --features journal --example journal -- FILE COMMAND [options]

Commands:
  status                What waits, what it takes on disk, for each endpoint
  list                  The events that wait (--endpoint NAME: of one endpoint)
  replay NAME           Send delivered events that are kept once more to an endpoint
                        (--from TIME or --id ID: from there on; default: all)
  dead list             The dead letters (--endpoint, --reason, --older-than)
  dead send             Give them back to their endpoints, and remove them
  dead purge            Remove them for good
  purge NAME            Remove an endpoint that is no longer configured, with its events
  move NAME TO          Give the events of such an endpoint to another one
  check                 Read and verify everything; exit code 2 if something is damaged

Options:
  --json                Print JSON, one object a line
  --endpoint NAME       Only of this endpoint
  --reason REASON       Only letters of this reason: rejected, gave_up, overflow, expired, shutdown
  --older-than SECONDS  Only letters that were stored longer ago
  --from TIME           A time like 2026-11-26T08:00:00Z
  --id ID               The id of an event
  --help                Print this text
";

/// The values of the options.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) command: Command,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) enum Command {
    Status,
    List { endpoint: Option<String> },
    Replay { endpoint: String, from: ReplayFrom },
    DeadList(LetterFilter),
    DeadSend(LetterFilter),
    DeadPurge(LetterFilter),
    Purge { endpoint: String },
    Move { endpoint: String, to: String },
    Check,
}

/// The options, before it is known which command takes them.
#[derive(Debug, Default)]
struct RawOptions {
    json: bool,
    endpoint: Option<String>,
    reason: Option<Reason>,
    older_than: Option<Duration>,
    from: Option<SystemTime>,
    id: Option<String>,
}

/// Reads the arguments without the program's name. Returns `None` if they ask
/// for help.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item: Into<OsString>>,
) -> Result<Option<Options>, String> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut parser = Parser::from_args(arguments);
    let (mut words, mut given) = (Vec::new(), RawOptions::default());
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Value(word) => words.push(word),
            Arg::Long("json") => given.json = true,
            Arg::Long(name) => {
                let name = name.to_owned();
                let value = text(&mut parser, &name)?;
                given.set(&name, value)?;
            }
            Arg::Short(name) => return Err(format!("no such option: -{name} (try --help)")),
        }
    }
    let mut words = words.into_iter();
    let path = words
        .next()
        .ok_or("the file of the journal is needed (try --help)")?;
    let words: Result<Vec<String>, _> = words.map(OsString::into_string).collect();
    let words = words.map_err(|word| format!("not UTF-8: {}", word.to_string_lossy()))?;
    let json = given.json;
    Ok(Some(Options {
        path: path.into(),
        command: command(&words, given)?,
        json,
    }))
}

fn text(parser: &mut Parser, name: &str) -> Result<String, String> {
    let value = parser
        .value()
        .map_err(|_| format!("--{name} needs a value"))?;
    let lossy = |value: OsString| format!("--{name} needs UTF-8, not {}", value.to_string_lossy());
    value.into_string().map_err(lossy)
}

impl RawOptions {
    /// Refuses options that the command does not take. An option that is ignored may be a
    /// filter that the user relies on.
    fn only(&self, command: &str, taken: &[&str]) -> Result<(), String> {
        let given = [
            ("endpoint", self.endpoint.is_some()),
            ("reason", self.reason.is_some()),
            ("older-than", self.older_than.is_some()),
            ("from", self.from.is_some()),
            ("id", self.id.is_some()),
        ];
        let mut given = given.iter().filter(|(_, is_given)| *is_given);
        match given.find(|(name, _)| !taken.contains(name)) {
            Some((name, _)) => Err(format!("{command} takes no --{name} (try --help)")),
            None if self.from.is_some() && self.id.is_some() => {
                Err("give one of --from and --id".into())
            }
            None => Ok(()),
        }
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "endpoint" => self.endpoint = Some(value),
            "reason" => self.reason = Some(reason(&value)?),
            "older-than" => {
                let seconds = value.parse();
                let seconds = seconds.map_err(|_| format!("not a number of seconds: {value}"))?;
                self.older_than = Some(Duration::from_secs(seconds));
            }
            "from" => self.from = Some(time(&value)?),
            "id" => self.id = Some(value),
            _ => return Err(format!("no such option: --{name} (try --help)")),
        }
        Ok(())
    }

    fn filter(self) -> LetterFilter {
        let mut filter = LetterFilter::new();
        if let Some(name) = self.endpoint {
            filter = filter.endpoint(name);
        }
        if let Some(reason) = self.reason {
            filter = filter.reason(reason);
        }
        let before = self
            .older_than
            .and_then(|age| SystemTime::now().checked_sub(age));
        match before {
            Some(before) => filter.kept_before(before),
            None => filter,
        }
    }

    fn replay_from(self) -> ReplayFrom {
        match (self.id, self.from) {
            (Some(id), _) => ReplayFrom::Id(id),
            (None, Some(time)) => ReplayFrom::Time(time),
            (None, None) => ReplayFrom::Oldest,
        }
    }
}

/// Reads a reason in the spelling that letters use.
fn reason(word: &str) -> Result<Reason, String> {
    let reason = serde_json::from_value(serde_json::Value::String(word.into()));
    reason.map_err(|_| format!("no such reason: {word} (try --help)"))
}

fn time(text: &str) -> Result<SystemTime, String> {
    let time = humantime::parse_rfc3339(text);
    time.map_err(|_| format!("not a time like 2026-11-26T08:00:00Z: {text}"))
}

fn command(words: &[String], given: RawOptions) -> Result<Command, String> {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let taken: &[_] = match words.first() {
        Some(&"list") => &["endpoint"],
        Some(&"dead") => &["endpoint", "reason", "older-than"],
        Some(&"replay") => &["from", "id"],
        _ => &[],
    };
    given.only(words.first().unwrap_or(&"this"), taken)?;
    Ok(match words[..] {
        ["status"] => Command::Status,
        ["list"] => Command::List {
            endpoint: given.endpoint,
        },
        ["replay", endpoint] => Command::Replay {
            endpoint: endpoint.into(),
            from: given.replay_from(),
        },
        ["dead", "list"] => Command::DeadList(given.filter()),
        ["dead", "send"] => Command::DeadSend(given.filter()),
        ["dead", "purge"] => Command::DeadPurge(given.filter()),
        ["purge", endpoint] => Command::Purge {
            endpoint: endpoint.into(),
        },
        ["move", endpoint, to] => Command::Move {
            endpoint: endpoint.into(),
            to: to.into(),
        },
        ["check"] => Command::Check,
        [] => return Err("a command is needed (try --help)".into()),
        _ => return Err(format!("no such command: {} (try --help)", words.join(" "))),
    })
}
