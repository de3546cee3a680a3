//! Owns the endpoints and their tasks: [`Notifier`].
//!
//! | file | its job |
//! | --- | --- |
//! | `notifier.rs` | the handle, with the list of metrics and log lines |
//! | `builder.rs` | puts the parts together and reports mistakes |
//! | `shutdown.rs` | the order in which everything ends |
//! | `status.rs` | the snapshot |
//! | `journal/` | a journal under the queues; `no_journal.rs` takes its place without the feature |

mod builder;
#[cfg(feature = "journal")]
mod journal;
#[cfg(not(feature = "journal"))]
#[path = "no_journal.rs"]
mod journal;
#[expect(
    clippy::module_inception,
    reason = "it holds `Notifier`, and this file only docs"
)]
mod notifier;
mod shutdown;
mod status;

pub use self::builder::NotifierBuilder;
pub use self::notifier::Notifier;
pub use self::status::NotifierStatus;

#[cfg(all(test, feature = "journal"))]
#[allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]
mod tests;
