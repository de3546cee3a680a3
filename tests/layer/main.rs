//! The layer, from requests to events.

#![allow(clippy::unwrap_used)]

mod completeness;
mod hang_up;
mod lacking;
mod moments;
mod router;
mod stage;
mod truth;
