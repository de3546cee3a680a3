//! What several of the examples need.

#![allow(
    missing_docs,
    missing_debug_implementations,
    reason = "only the examples and their tests use this library"
)]

pub mod admin;
pub mod causes;
pub mod flags;
pub mod idle;
pub mod image;
pub mod journal;
pub mod keys;
pub mod nats;
#[cfg(feature = "config")]
pub mod pace;
pub mod print;
#[cfg(feature = "prometheus")]
pub mod prometheus;
#[cfg(feature = "config")]
pub mod proxy;
pub mod registry;
#[cfg(feature = "config")]
pub mod serve;
pub mod signal;
pub mod start;
pub mod terminal;
pub mod time;
#[cfg(feature = "config")]
pub mod tls;
pub mod token;
