//! Counts events that are not accepted: [`Counted`].

use super::{Acceptance, Sink};
use crate::event::SharedEvent;

/// Counts the events that not all sinks accept, each once.
pub(crate) struct Counted<S>(S);

impl<S: Sink> Counted<S> {
    pub(crate) fn new(sink: S) -> Self {
        Self(sink)
    }
}

/// A write that is not decided. If it is dropped, nobody learns whether the
/// event was accepted: it counts as if it was not.
struct Undecided;

impl Drop for Undecided {
    fn drop(&mut self) {
        crate::metrics::unaccepted();
    }
}

impl<S: Sink> Sink for Counted<S> {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        match self.0.write(event).answer() {
            Ok(answer) => {
                if answer.is_err() {
                    crate::metrics::unaccepted();
                }
                Acceptance::ready(answer)
            }
            Err(write) => {
                let undecided = Undecided;
                Acceptance::pending(async move {
                    let answer = write.await;
                    if answer.is_ok() {
                        std::mem::forget(undecided);
                    }
                    answer
                })
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn close(&self) {
        self.0.close();
    }
}
