//! The layer, from requests to events.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod aborted_pulls;
mod acceptance;
mod completeness;
mod events;
mod fields;
mod hang_up;
mod nested_layers;
mod origin;
mod panics;
mod readiness;
mod refused_uploads;
mod router;
mod size_hints;
mod sizes;
mod stage;
mod terse_registries;
mod truth;
mod unknown_outcomes;
mod unread_requests;
mod untouched;
mod untrusted_peers;
