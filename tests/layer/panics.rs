//! Panics inside and outside of the layer, once the registry has acted.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use tower::{BoxError, Layer as _, Service as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::Action;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody, StatBody};

use crate::stage::{Body, OTHER, full, request, response};

type Incoming = Request<RequestBody<Body>>;

fn push() -> Request<Body> {
    let uri = format!("/v2/a/blobs/uploads/u?digest={OTHER}");
    request("PUT", &uri, &[], "")
}

fn created() -> Result<Response<Body>, BoxError> {
    Ok(response(201, &[], full("")))
}

#[tokio::test(start_paused = true)]
async fn a_panic_outside_of_the_layer_loses_no_event() {
    let (sink, mut events) = ChannelSink::new(8);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let registry = service_fn(async |_: Incoming| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        created()
    });
    let mut service = NotificationLayer::new(notifier.clone()).layer(registry);
    let outer = async {
        let mut response = Box::pin(service.call(push()));
        assert!(response.as_mut().now_or_never().is_none());
        panic!("in an outer service");
    };
    assert!(AssertUnwindSafe(outer).catch_unwind().await.is_err());
    assert!(notifier.shutdown(Duration::from_secs(9)).await.is_drained());
    assert_eq!(events.try_recv().unwrap().action(), Action::Push);
}

#[tokio::test]
async fn a_stat_that_panics_costs_its_facts_only() {
    for at_once in [true, false] {
        let (sink, mut events) = ChannelSink::new(8);
        let notifier = Notifier::builder().sink(sink).build().unwrap();
        let stat = service_fn(move |_: Request<StatBody>| {
            assert!(!at_once, "in the stat");
            async { panic!("in the stat") as Result<Response<Body>, BoxError> }
        });
        let layer = NotificationLayer::new(notifier).stat_with(stat);
        let service = layer.layer(service_fn(async |_: Incoming| created()));
        let response = service.oneshot(push()).await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        let event = events.try_recv().unwrap();
        assert_eq!((event.action(), event.length()), (Action::Push, 0));
    }
}
