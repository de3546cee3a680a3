//! Requests that may or may not have changed the registry.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::layer::ResponseFacts;
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody};

use crate::stage::{BLOB, Body, MANIFEST, OTHER, full, request, response};

/// Returns how many unknown outcomes are counted if `registry` answers `sent`.
async fn counted(
    sent: Request<Body>,
    registry: impl Fn() -> Result<Response<Body>, BoxError> + Clone + Send + 'static,
) -> u64 {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counts = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let notifier = Notifier::builder().build().unwrap();
    let registry = service_fn(move |_: Request<RequestBody<Body>>| {
        let registry = registry.clone();
        async move { registry() }
    });
    let service = NotificationLayer::new(notifier.clone()).layer(registry);
    let _a_panic_is_one_too = AssertUnwindSafe(service.oneshot(sent)).catch_unwind().await;
    assert!(notifier.shutdown(Duration::ZERO).await.is_drained());
    let counts = counts.render();
    let name = "registry_notifications_unknown_outcomes_total ";
    let value = counts.lines().find_map(|line| line.strip_prefix(name));
    value.expect("it begins at zero").parse().unwrap()
}

fn push() -> Request<Body> {
    let uri = format!("/v2/a/blobs/uploads/u?digest={OTHER}");
    request("PUT", &uri, &[], "")
}

#[tokio::test]
async fn a_registry_that_panics_or_fails_may_have_acted() {
    assert_eq!(counted(push(), || panic!("in the registry")).await, 1);
    assert_eq!(counted(push(), || Err("broken".into())).await, 1);
}

#[tokio::test]
async fn the_errors_of_timeouts_and_gateways_leave_the_outcome_of_a_change_unknown() {
    for (method, uri, changes) in [
        ("PUT", MANIFEST, true),
        ("DELETE", MANIFEST, true),
        ("DELETE", BLOB, true),
        ("POST", "/v2/a/blobs/uploads/?mount=sha256:1&from=b", true),
        ("PUT", "/elsewhere?digest=sha256:1", true),
        ("GET", MANIFEST, false),
        ("HEAD", BLOB, false),
        ("GET", "/v2/a/tags/list", false),
    ] {
        for (status, lost) in [
            (408, true),
            (502, true),
            (504, true),
            (400, false),
            (404, false),
            (500, false),
            (503, false),
        ] {
            let sent = request(method, uri, &[], "");
            let answer = move || Ok(response(status, &[], full("")));
            let wanted = u64::from(changes && lost);
            assert_eq!(
                counted(sent, answer).await,
                wanted,
                "{method} {uri} {status}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_registry_or_proxy_states_of_the_outcome_decides() {
    for (status, unknown) in [(502, false), (500, true)] {
        let answer = move || {
            let mut response = response(status, &[], full(""));
            let facts = ResponseFacts::new().outcome_unknown(unknown);
            response.extensions_mut().insert(facts);
            Ok(response)
        };
        assert_eq!(
            counted(push(), answer).await,
            u64::from(unknown),
            "{status}"
        );
    }
}
