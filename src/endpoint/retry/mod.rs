//! When to try again, and what a status means.
//!
//! The strategies are pure: time and randomness are passed in, and nothing here waits.

mod backoff;
mod breaker;
mod policy;
mod retry_after;
mod status;

pub use self::backoff::Backoff;
pub use self::breaker::Breaker;
pub use self::policy::RetryPolicy;
pub(crate) use self::policy::{Retry, Verdict};
pub(crate) use self::retry_after::retry_after;
pub use self::status::{StatusMeaning, Statuses};
