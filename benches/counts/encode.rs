//! The encoding of one event. Nobody holds it from one iteration to the next, so each
//! of them is made anew and freed.

use std::hint::black_box;

use tower_registry_notifications::event::Format;

use super::Path;
use super::common::events::encoded;

pub(crate) fn paths() -> Vec<Path> {
    let mut paths = Vec::new();
    for (name, event) in encoded() {
        for format in [Format::V2, Format::V1, Format::CloudEvents] {
            let event = event.clone();
            let run = move || drop(black_box(&event).to_bytes(format));
            paths.push(Path::new(format!("encode/{name}-{format:?}"), run));
        }
    }
    paths
}
