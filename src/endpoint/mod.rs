//! Named webhook targets: [`Endpoint`], and what it is configured with.
//!
//! ```text
//! event ─▶ filter ─▶ queue ─▶ batch ─▶ [retry ─▶ timeout ─▶ layers ─▶ HTTP POST]
//!                                         └─▶ dead letter
//! ```
//!
//! | to set | see |
//! | --- | --- |
//! | URL, headers, format, signatures, TLS, queue, dead letters | [`Endpoint`] |
//! | when to try again | [`Backoff`] (the default), [`Breaker`] |
//! | what a receiver's status means | [`StatusMeaning`] |
//! | how many events one request carries | [`Batch`] |
//! | what happens if the queue is full | [`Overflow`] |
//! | which addresses may be connected to | `AddressPolicy`, with the feature `client` |
//!
//! [`EndpointStatus`] is a snapshot of an endpoint at work.

// `assemble.rs` puts the parts together. Each can be read without knowing the others:
// `retry/` says when to try again and what a status means, `delivery/` makes a request and
// gets the response, `status/` counts and logs, `dead_letter/` keeps what will not be tried
// again, and `worker/` moves the events from one to the next.

mod assemble;
mod batch;
mod batch_settings;
#[cfg(feature = "client")]
mod connection;
mod custom_client;
pub(crate) mod dead_letter;
mod delivery;
#[expect(
    clippy::module_inception,
    reason = "it holds `Endpoint`, and this file only docs"
)]
mod endpoint;
mod layers;
mod queueing;
mod retry;
mod running;
mod settings;
mod signing;
mod status;
mod switch;
mod worker;

pub(crate) use self::assemble::{Checked, EndpointContext};
pub use self::batch_settings::Batch;
#[cfg(feature = "client")]
pub use self::delivery::AddressPolicy;
pub use self::delivery::Delivery;
#[cfg(feature = "config")]
pub(crate) use self::delivery::{BodySigner, Signer, is_framing, target};
pub use self::endpoint::Endpoint;
pub use self::retry::{Backoff, Breaker, RetryPolicy, StatusMeaning, Statuses};
pub(crate) use self::running::{Account, Running};
pub use self::status::{EndpointState, EndpointStatus, History, Rates};
pub(crate) use self::worker::DEAD_LETTERS_TIMEOUT;
pub use crate::queue::Overflow;
