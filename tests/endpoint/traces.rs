//! Traces: the spans of attempts, and the trace of a client's request, which continues in the
//! delivery.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::{NotificationLayer, RequestBody};
use tracing::Level;

use crate::common::captured::Captured;
use crate::common::scripted::{Got, Reply};
use crate::logs::{DAY, SECOND, endpoint, notifier, write};

#[tokio::test(start_paused = true)]
async fn each_attempt_is_a_span() {
    let (captured, _guard) = Captured::all();
    let (endpoint, _) = endpoint(|n, _| Reply::Status(if n < 2 { 500 } else { 200 }));
    let notifier = notifier(endpoint.batch(Batch::of(3).linger(SECOND)));
    write(&notifier, 0..5).await;
    assert!(notifier.shutdown(DAY).await.is_drained());
    let spans = captured.at(&[Level::DEBUG]).into_iter();
    let spans = spans.filter_map(|line| {
        let (_, fields) = line.split_once("delivery{")?;
        Some(fields.split_once('}')?.0.to_owned())
    });
    // Others go on meanwhile, until the first has failed.
    let mut spans: Vec<_> = spans.collect();
    spans.sort();
    assert_eq!(
        spans,
        [
            r#"endpoint="ci" events=2 attempt=1"#,
            r#"endpoint="ci" events=2 attempt=2"#,
            r#"endpoint="ci" events=3 attempt=1"#,
            r#"endpoint="ci" events=3 attempt=2"#,
        ]
    );
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-00";

/// Pulls with these traces, which are posted in batches of two.
async fn pulled(traces: &[Option<&str>]) -> Vec<Got> {
    let (endpoint, log) = endpoint(|n, _| Reply::Status(if n == 0 { 500 } else { 200 }));
    let notifier = notifier(endpoint.batch(Batch::of(2).linger(SECOND)));
    let registry = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
        let response = Response::builder()
            .header("content-type", "application/vnd.oci.image.index.v1+json")
            .header("content-length", "2");
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let registry = NotificationLayer::new(notifier.clone()).layer(registry);
    for trace in traces {
        let mut request = Request::head("/v2/app/manifests/v1");
        if let Some(trace) = trace {
            request = request.header("traceparent", *trace);
        }
        let request = request.body(Full::default()).unwrap();
        registry.clone().oneshot(request).await.unwrap();
    }
    assert!(notifier.shutdown(DAY).await.is_drained());
    log.got()
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_a_request_goes_on_in_the_delivery_of_its_events() {
    for (traces, passed) in [
        (&[Some(TRACE)][..], Some(TRACE)),
        (&[Some(TRACE), Some(TRACE)], Some(TRACE)),
        (&[Some(TRACE), Some(OTHER)], None),
        (&[Some(TRACE), None], None),
        (&[None, Some(TRACE)], None),
        (&[None], None),
        (&[Some("hush")], None),
    ] {
        let got = pulled(traces).await;
        assert_eq!(got.len(), 2);
        for got in got {
            assert_eq!(got.events.len(), traces.len());
            let trace = got.headers.get("traceparent");
            assert_eq!(trace.map(|it| it.to_str().unwrap()), passed, "{traces:?}");
        }
    }
}
