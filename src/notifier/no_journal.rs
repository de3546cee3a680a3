//! Takes the place of the journal without its feature: there is none.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::status::NotifierStatus;
use crate::dead_letter::DeadLetter;
use crate::endpoint::{EndpointContext, Running};
use crate::error::BuildError;
use crate::event::SourceRecord;
use crate::sink::{Acceptance, Destination};

pub(super) type Journal = Infallible;

/// A journal whose endpoints are not started.
pub(super) struct Starting(Infallible);

impl Starting {
    pub(super) fn new(journal: Journal, _: fn() -> SystemTime) -> Self {
        Self(journal)
    }

    pub(super) fn next_context(&mut self) -> EndpointContext {
        match self.0 {}
    }

    pub(super) fn attach(
        self,
        _: &[Arc<Running>],
        _: &SourceRecord,
    ) -> Result<AttachedJournal, BuildError> {
        match self.0 {}
    }
}

/// A journal under the queues.
#[derive(Clone)]
pub(super) struct AttachedJournal(Infallible);

impl AttachedJournal {
    pub(super) fn destination(&self) -> Arc<dyn Destination> {
        match self.0 {}
    }

    pub(super) fn send_again(&self, _: &Running, _: &DeadLetter) -> Acceptance {
        match self.0 {}
    }

    pub(super) fn close(&self) {
        match self.0 {}
    }

    pub(super) async fn decided(&self) {
        match self.0 {}
    }

    pub(super) async fn finish(&self, _: Duration) {
        match self.0 {}
    }

    pub(super) fn error(&self) -> Option<String> {
        match self.0 {}
    }

    pub(super) fn add_to(&self, _: &mut NotifierStatus) {
        match self.0 {}
    }
}
