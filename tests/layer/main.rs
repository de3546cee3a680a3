//! The layer, from requests to events.

#![allow(clippy::unwrap_used)]

mod aborted_pulls;
mod completeness;
mod hang_up;
mod lacking;
mod moments;
mod nested_layers;
mod panics;
mod readiness;
mod refused_uploads;
mod router;
mod scripted;
mod size_hints;
mod stage;
mod truth;
mod unread_requests;
mod untrusted_peers;
