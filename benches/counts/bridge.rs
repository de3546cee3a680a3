//! The bridge, from a report to the queues of three endpoints.

use std::hint::black_box;

use tower_registry_notifications::event::{Manifest, media_types};
use tower_registry_notifications::sink::Filter;

use super::Path;
use super::common::events::{Endpoints, Known, REPORTS, accepted};
use super::common::manifest;

pub(crate) fn paths() -> Vec<Path> {
    let mut paths = Vec::new();
    for (name, layers, references, report) in REPORTS {
        let known = Known::new(layers);
        let endpoints = Endpoints::new(references);
        let drained = endpoints.clone();
        let run = move || accepted(report(&known, &endpoints.notifier));
        let path = Path::new(format!("bridge/{name}"), run);
        paths.push(path.between(move || drained.drain()));
    }
    let filter = Filter::new()
        .include_repositories(["team-*/**", "library/{alpine,deb*}"])
        .exclude_repositories(["**/*-cache"]);
    let filtered = Endpoints::of(3, false, |it| it.filter(filter.clone()));
    let many = Endpoints::of(64, false, |endpoint| endpoint);
    for (name, endpoints) in [("globs", filtered), ("64-endpoints", many)] {
        let (known, (_, _, _, report)) = (Known::new(0), REPORTS[0]);
        let drained = endpoints.clone();
        let run = move || accepted(report(&known, &endpoints.notifier));
        let path = Path::new(format!("bridge/blob-pull-{name}"), run);
        paths.push(path.between(move || drained.drain()));
    }
    for layers in [1, 8, 100] {
        let content = manifest(layers);
        let run = move || {
            let content = black_box(&*content);
            let references = Manifest::parse_references(media_types::OCI_MANIFEST, content);
            black_box(references.expect("a manifest"));
        };
        paths.push(Path::new(format!("parse/manifest-{layers}"), run));
    }
    paths
}
