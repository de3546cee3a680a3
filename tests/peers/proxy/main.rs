//! The proxy example's parts: how bodies, answers and protocols pass through
//! it, and how it is operated.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod answers;
mod bodies;
#[path = "../common/certificate.rs"]
mod certificate;
#[path = "../../common/mod.rs"]
mod common;
mod heads;
mod limits;
mod lost;
mod operation;
mod printed;
mod protocols;
#[path = "../../../examples/support/proxy_options.rs"]
mod proxy_options;
mod stage;
