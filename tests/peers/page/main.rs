//! The page of the examples in a real browser, Debian's Chromium without a
//! window: what it shows, and what other sites can do to it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod chromium;
#[path = "../../common/mod.rs"]
mod common;
mod endpoints;
mod events;
mod letters;
mod limits;
mod other_sites;
mod stage;
