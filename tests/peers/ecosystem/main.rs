//! What other crates make of events and the layer: schema validators, SDKs and
//! frameworks.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod fits;
mod formats;
