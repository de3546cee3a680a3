//! Gives up a file after an error, and opens it again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::database::open;
use super::error::{ErrorKind, JournalError, guarded};
use super::state::{EndpointState, State};
use super::storage::{Mode, OpenFile, Watch};
use super::writer::{Handle, PAUSE, Writer};

/// The longest pause before the file is opened again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Writer {
    /// Gives up the handle. The file is opened again after a pause.
    pub(super) fn fail(&mut self, cause: &JournalError) {
        let pause = match &self.handle {
            Handle::Open(_) => PAUSE,
            Handle::Down { .. } => return,
        };
        let (location, error) = (&*self.shared.location, crate::error::with_causes(cause));
        tracing::error!(journal = location, error, "the journal is down");
        self.go_down(cause.clone(), pause);
    }

    fn go_down(&mut self, cause: JournalError, pause: Duration) {
        self.shared.set_database(None);
        self.publish(Some(&cause));
        let next = Instant::now() + pause;
        let down = Handle::Down { cause, next, pause };
        self.handle = down;
    }

    /// Opens the file again if it is time to.
    pub(super) fn reopen(&mut self) {
        let pause = match &self.handle {
            Handle::Open(_) => return,
            Handle::Down { next, pause, .. } => {
                if *next > Instant::now() && !self.shared.is_manual() {
                    return;
                }
                *pause
            }
        };
        let opener = &mut self.opener;
        let state = &self.state;
        let opened = guarded(|| open(opener, Mode::Verify, u64::MAX));
        match opened.and_then(|it| continues(state, it)) {
            Ok((database, state, watch)) => {
                self.watch = watch;
                self.state = self.without_less(state);
                let end = self.state.next;
                // The queues must know the end before they can read: the file may have events
                // of a commit that seemed to fail, which were never offered.
                self.tell(|consumer| consumer.recovered(end));
                self.shared.set_database(Some(database.clone()));
                self.handle = Handle::Open(database);
                self.publish(None);
                let location = &*self.shared.location;
                tracing::info!(journal = location, "the journal works again");
                // Once more, now that the file can be read: a queue that asked for events after
                // the first call got no answer, and is woken.
                self.tell(|consumer| consumer.recovered(end));
            }
            Err(error) => {
                let location = &*self.shared.location;
                let text = crate::error::with_causes(&error);
                tracing::debug!(journal = location, error = text, "the journal stays down");
                self.go_down(error, (2 * pause).min(LONGEST_PAUSE));
            }
        }
    }

    /// Corrects the state of a file that was opened again. If it has less than before, the
    /// storage has gone back to an earlier commit because the last one is damaged, and the
    /// contents of that one are lost.
    pub(super) fn without_less(&self, mut state: State) -> State {
        let events = self.state.next.saturating_sub(state.next);
        let letters = self.state.next_letter.saturating_sub(state.next_letter);
        if events > 0 || letters > 0 {
            tracing::error!(
                events,
                letters,
                "the journal has lost what was written last"
            );
            state.damaged += events + letters;
        }
        // Neither a position nor an id nor a number may be given twice.
        state.next = state.next.max(self.state.next);
        state.next_letter = state.next_letter.max(self.state.next_letter);
        for endpoint in &mut state.endpoints {
            let before = self.state.endpoint(endpoint.id);
            if let Some(before) = before.filter(|it| it.instance == endpoint.instance) {
                endpoint.next_number = endpoint.next_number.max(before.next_number);
            }
        }
        state
    }
}

/// Passes on what was opened, unless it is another journal than before: one without the
/// endpoints would take events for nobody.
fn continues(
    before: &State,
    opened: (Arc<OpenFile>, State, Watch),
) -> Result<(Arc<OpenFile>, State, Watch), JournalError> {
    let has = |it: &EndpointState| opened.1.endpoint(it.id).map(|it| &it.name) == Some(&it.name);
    match before.endpoints.iter().all(has) {
        true => Ok(opened),
        false => Err(JournalError::new(
            ErrorKind::Damaged,
            "is another journal than the one that was opened",
        )),
    }
}
