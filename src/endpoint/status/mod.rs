//! Counters, metrics, log lines and the public status of an endpoint.

mod counts;
mod failure;
mod history;
mod recorder;
mod snapshot;
mod throttle;

pub(crate) use self::counts::Counts;
pub(crate) use self::failure::Failure;
pub use self::history::{History, Rates};
pub use self::snapshot::{EndpointState, EndpointStatus};
