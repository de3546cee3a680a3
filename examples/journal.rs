//! Shows the events of a journal, and repairs what blocks it.
//!
//! ```text
//! cargo run --features journal --example journal -- /var/lib/registry/notifications status
//! ```
//!
//! Stop the registry that uses the journal first.

#[path = "support/journal_options.rs"]
mod journal_options;
#[path = "support/journal_print.rs"]
mod journal_print;

use std::process::ExitCode;

use examples::causes::with_causes;
use tower::BoxError;
use tower_registry_notifications::journal::{Journal, JournalError};

use crate::journal_options::{Command, Options};
use crate::journal_print::Printer;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .init();
    let result = match journal_options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => run(&options),
        Ok(None) => Printer::new(false)
            .text(journal_options::HELP)
            .map(|()| true),
        Err(message) => Err(message.into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        // The event or letter that was looked for is damaged.
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("journal: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Returns false if the journal is not intact.
fn run(options: &Options) -> Result<bool, BoxError> {
    if !options.path.is_file() {
        // Opening would create it.
        return Err(format!("there is no file {}", options.path.display()).into());
    }
    let journal = Journal::open(&options.path).map_err(explained)?;
    let printer = Printer::new(options.json);
    match &options.command {
        Command::Status => printer.status(&journal.status())?,
        Command::List { endpoint } => {
            let known = journal.status().endpoints.into_iter().map(|it| it.name);
            let names = match endpoint {
                Some(name) => vec![name.clone()],
                None => known.collect(),
            };
            for name in names {
                for event in journal.waiting(&name)? {
                    printer.event(&name, &event?)?;
                }
            }
        }
        Command::Replay { endpoint, from } => {
            printer.count("sent again", journal.replay(endpoint, from)?)?;
        }
        Command::DeadList(filter) => {
            for letter in journal.dead_letters(filter) {
                printer.letter(&letter?)?;
            }
        }
        Command::DeadSend(filter) => {
            printer.count("sent again", journal.send_letters_again(filter)?)?;
        }
        Command::DeadPurge(filter) => {
            printer.count("removed", journal.purge_letters(filter)?)?;
        }
        Command::Purge { endpoint } => {
            printer.count("removed", journal.purge_endpoint(endpoint)?)?;
        }
        Command::Move { endpoint, to } => {
            printer.count("moved", journal.move_endpoint(endpoint, to)?)?;
        }
        Command::Check => {
            let check = match journal.check() {
                // The damage is such that not everything can be read.
                Err(error) if error.is_damaged() => {
                    let (path, error) = (options.path.display(), with_causes(&error));
                    eprintln!("journal: {path}: {error}");
                    return Ok(false);
                }
                check => check?,
            };
            printer.check(&check)?;
            return Ok(check.is_intact());
        }
    }
    Ok(true)
}

fn explained(error: JournalError) -> BoxError {
    match error.is_locked() {
        true => format!("{error}: stop the registry first").into(),
        false => error.into(),
    }
}
