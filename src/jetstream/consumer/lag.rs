//! How many events wait in each partition: [`Lag`].

use std::sync::{Mutex, PoisonError};

/// How many events wait in each partition of an endpoint, for those that this worker
/// serves.
#[derive(Debug)]
pub(crate) struct Lag(Mutex<Vec<Option<u64>>>);

impl Lag {
    pub(super) fn new(partitions: usize) -> Self {
        Self(Mutex::new(vec![None; partitions]))
    }

    pub(super) fn set(&self, partition: usize, lag: Option<u64>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = all.get_mut(partition) {
            *own = lag;
        }
    }

    /// Returns the lag of each partition; `None` if another worker serves it.
    pub(crate) fn all(&self) -> Vec<Option<u64>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
