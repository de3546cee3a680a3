//! Holds accepted events until they are delivered.

mod memory;

pub(crate) use self::memory::{Limits, MemoryQueue};
