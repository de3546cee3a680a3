//! Holds accepted events until they are delivered.

mod memory;

pub use self::memory::Overflow;
pub(crate) use self::memory::{Entry, Lanes, Limits, MemoryQueue, Refused};
