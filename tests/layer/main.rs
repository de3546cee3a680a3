//! The layer, from requests to events.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod aborted_pulls;
mod auth;
mod completeness;
mod events;
mod fits;
mod hang_up;
mod nested_layers;
mod origin;
mod panics;
mod readiness;
mod refused_uploads;
mod router;
mod size_hints;
mod stage;
mod terse_registries;
mod transparent;
mod truth;
mod unread_requests;
mod untouched;
mod untrusted_peers;

// At the root, because files that other tests and the examples share name them
// by their paths.
#[path = "../replay/corpus.rs"]
mod corpus;
#[path = "../../examples/support/image.rs"]
mod image;
