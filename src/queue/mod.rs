//! Holds accepted events until they are delivered.

mod line;
mod memory;

pub(crate) use self::line::Entry;
pub use self::memory::Overflow;
pub(crate) use self::memory::{Lanes, Limits, MemoryQueue, Refused};
