//! Requests that pass the layer.

use tower::Layer as _;
use tower_http::request_id::{MakeRequestUuid, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier};

use super::Path;
use super::common::requests::{EmptyRegistry, Registry, call, made, others, silent};

pub(crate) fn paths() -> Vec<Path> {
    let mut paths = Vec::new();
    for (name, uri) in silent() {
        let uri: http::Uri = uri.parse().expect("a URI");
        if name == "api-check" {
            let uri = uri.clone();
            let (other, third) = (uri.clone(), uri.clone());
            paths.push(Path::new("request/bare", move || {
                call(&mut EmptyRegistry, &uri)
            }));
            let mut with_id = SetRequestIdLayer::x_request_id(MakeRequestUuid).layer(EmptyRegistry);
            let run = move || call(&mut with_id, &other);
            paths.push(Path::new("neighbour/set-request-id", run));
            let mut traced = TraceLayer::new_for_http().layer(EmptyRegistry);
            let run = move || call(&mut traced, &third);
            paths.push(Path::new("neighbour/trace", run));
        }
        let notifier = Notifier::builder().build().expect("a notifier");
        let mut layered = NotificationLayer::new(notifier).layer(EmptyRegistry);
        let run = move || call(&mut layered, &uri);
        paths.push(Path::new(format!("request/{name}"), run));
    }
    for (name, request) in made() {
        let bare = request.clone();
        let run = move || bare.pass(&mut Registry);
        paths.push(Path::new(format!("layer/{name}-bare"), run));
        let (sink, mut events) = ChannelSink::new(1);
        let notifier = Notifier::builder().sink(sink).include_references(true);
        let notifier = notifier.build().expect("a notifier");
        let mut layered = NotificationLayer::new(notifier).layer(Registry);
        let run = move || {
            request.pass(&mut layered);
            drop(events.try_recv().expect("an event"));
        };
        paths.push(Path::new(format!("layer/{name}"), run));
    }
    for (name, request, answer) in others() {
        let (bare, mut answering) = (request.clone(), answer.clone());
        let run = move || bare.pass(&mut answering);
        paths.push(Path::new(format!("layer/{name}-bare"), run));
        let (sink, mut events) = ChannelSink::new(1);
        let notifier = Notifier::builder().sink(sink);
        let notifier = notifier.build().expect("a notifier");
        let mut layered = NotificationLayer::new(notifier).layer(answer);
        let run = move || {
            request.pass(&mut layered);
            drop(events.try_recv());
        };
        paths.push(Path::new(format!("layer/{name}"), run));
    }
    paths
}
