//! A client sees the same responses with the layer and without it.

use http::{HeaderMap, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use tower::Layer as _;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier};

use crate::corpus::{self, send};
use crate::registry::Registry;

/// Everything that a client sees of a response, step by step.
async fn seen<R: Body + Unpin>(response: Response<R>) -> Vec<String>
where
    R::Data: std::fmt::Debug,
    R::Error: std::fmt::Debug,
{
    let (head, mut body) = response.into_parts();
    let headers: HeaderMap = head.headers;
    let mut seen = vec![format!("{:?} {} {headers:?}", head.version, head.status)];
    loop {
        seen.push(format!("{:?} {}", body.size_hint(), body.is_end_stream()));
        let Some(frame) = body.frame().await else {
            return seen;
        };
        seen.push(format!("{frame:?}"));
    }
}

#[tokio::test]
async fn a_response_is_the_one_that_the_registry_made() {
    for (file, exchanges) in corpus::files() {
        let registry = Registry::default();
        let mut bare = registry.service();
        let (sink, mut events) = ChannelSink::new(100);
        let notifier = Notifier::builder().sink(sink).include_references(true);
        let mut service = NotificationLayer::new(notifier.build().unwrap())
            .untag_lookup(true)
            .stat_with(registry.stat_service())
            .layer(registry.service());
        let mut count = 0;
        for exchange in exchanges {
            registry.expect(exchange);
            let with = seen(send(&mut service, exchange.request()).await).await;
            let without = seen(send(&mut bare, exchange.request()).await).await;
            assert_eq!(with, without, "{file} {}", exchange.n);
            let before = count;
            while events.try_recv().is_some() {
                count += 1;
            }
            assert!(count - before <= exchange.deliveries.len());
        }
        assert!(count > 0, "the layer made no events");
    }
}
