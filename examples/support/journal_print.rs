//! The output of the journal's tool.

use std::io::{self, Write as _};

use examples::terminal::printable;
use examples::time::utc;
use serde::Serialize;
use tower::BoxError;
use tower_registry_notifications::event::SharedEvent;
use tower_registry_notifications::journal::{
    JournalCheck, JournalStatus, KeptLetter, WaitingEvent,
};

/// Prints for people, or as JSON, one object a line.
#[derive(Debug)]
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a line. `print!` would panic if the pipe is closed, as in `… list | head -1`.
    pub(crate) fn text(&self, text: &str) -> Result<(), BoxError> {
        match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            written => Ok(written?),
        }
    }

    fn print(
        &self,
        value: &impl Serialize,
        for_people: impl FnOnce() -> String,
    ) -> Result<(), BoxError> {
        let line = match self.json {
            true => serde_json::to_string(value)?,
            false => for_people(),
        };
        // Line by line, because some texts have several.
        let lines: Vec<_> = line.split('\n').map(printable).collect();
        self.text(&format!("{}\n", lines.join("\n")))
    }

    pub(crate) fn status(&self, status: &JournalStatus) -> Result<(), BoxError> {
        self.print(status, || {
            let mut text = format!(
                "{} events in {} bytes, {} dead letters in {} bytes",
                status.events, status.bytes, status.dead_letters, status.dead_letter_bytes,
            );
            if let Some(oldest) = status.oldest {
                let oldest = utc(oldest);
                text += &format!("; the oldest waits since {oldest}");
            }
            if status.damaged > 0 {
                text += &format!("; {} were lost to damage", status.damaged);
            }
            for endpoint in &status.endpoints {
                text += &format!("\n{}: {} wait", endpoint.name, endpoint.waiting);
            }
            text
        })
    }

    pub(crate) fn event(&self, endpoint: &str, event: &WaitingEvent) -> Result<(), BoxError> {
        let value = serde_json::json!({ "endpoint": endpoint, "waiting": event });
        self.print(&value, || format!("{endpoint}: {}", line(&event.event)))
    }

    pub(crate) fn letter(&self, kept: &KeptLetter) -> Result<(), BoxError> {
        self.print(kept, || {
            let letter = &kept.letter;
            let error = printable(letter.error.as_deref().unwrap_or("not tried"));
            let attempts = match letter.attempts {
                1 => "1 attempt".into(),
                n => format!("{n} attempts"),
            };
            let reason = serde_json::to_value(letter.reason).unwrap_or_default();
            format!(
                "{} {}: {} ({attempts}, {error}): {}",
                kept.id,
                letter.endpoint,
                reason.as_str().unwrap_or_default(),
                line(&letter.event)
            )
        })
    }

    pub(crate) fn count(&self, what: &str, events: u64) -> Result<(), BoxError> {
        self.print(&serde_json::json!({ "events": events }), || {
            format!("{events} events {what}")
        })
    }

    pub(crate) fn check(&self, check: &JournalCheck) -> Result<(), BoxError> {
        self.print(check, || {
            let verdict = match check.is_intact() {
                true => "Intact",
                false => "Damaged",
            };
            format!(
                "{verdict}: {} events and {} dead letters were read; {} entries are damaged, \
                 {} events are missing, {} chunks were set aside before.",
                check.events, check.dead_letters, check.damaged, check.missing, check.set_aside
            )
        })
    }
}

fn line(event: &SharedEvent) -> String {
    let time = utc(event.timestamp());
    let digest = event.digest();
    let name = match event.tag() {
        "" => &*digest,
        tag => tag,
    };
    let (action, repository, id) = (event.action(), event.repository(), event.id());
    // Clients choose the names.
    printable(&format!("{time} {action} {repository} {name} {id}")).into_owned()
}
