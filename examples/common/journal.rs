//! `--journal PATH`: events survive the process.

use std::path::Path;

use tower::BoxError;
use tower_registry_notifications::NotifierBuilder;

/// Keeps the events in the journal at `path`.
#[cfg(feature = "journal")]
pub fn with_journal(
    notifier: NotifierBuilder,
    path: Option<&Path>,
) -> Result<NotifierBuilder, BoxError> {
    use tower_registry_notifications::journal::Journal;

    let Some(path) = path else {
        return Ok(notifier);
    };
    let journal = Journal::open(path)?;
    for endpoint in journal.status().endpoints {
        let (name, waiting) = (endpoint.name, endpoint.waiting);
        eprintln!("The journal has {waiting} events for {name}.");
    }
    Ok(notifier.journal(journal))
}

/// Without the feature there is no journal.
#[cfg(not(feature = "journal"))]
pub fn with_journal(
    notifier: NotifierBuilder,
    path: Option<&Path>,
) -> Result<NotifierBuilder, BoxError> {
    match path {
        None => Ok(notifier),
        Some(_) => Err("--journal needs `--features journal`".into()),
    }
}
