//! A request that makes no event passes without an allocation.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service};
use tower_registry_notifications::{NotificationLayer, Notifier};

/// Answers at once, with nothing on the heap.
#[derive(Clone)]
struct EmptyRegistry;

impl<B> Service<Request<B>> for EmptyRegistry {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Empty::new())))
    }
}

fn allocations<S, R>(mut service: S, request: Request<Empty<Bytes>>) -> u64
where
    S: Service<Request<Empty<Bytes>>, Response = Response<R>, Error = Infallible>,
{
    let counted = allocation_counter::measure(|| {
        let mut future = std::pin::pin!(service.call(request));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_ready());
    });
    counted.count_total
}

#[test]
fn requests_that_make_no_event_do_not_allocate() {
    let notifier = Notifier::builder().build().unwrap();
    let layer = NotificationLayer::new(notifier);
    let count = |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path);
        allocations(
            layer.layer(EmptyRegistry),
            request.body(Empty::new()).unwrap(),
        )
    };
    for (method, path) in [
        (Method::GET, "/v2/"),
        (Method::GET, "/v2/library/debian/tags/list"),
        (Method::GET, "/v2/library/debian/referrers/sha256:00"),
        (Method::GET, "/v2/_catalog?n=5"),
        (Method::GET, "/v2/library%2Fdebian//tags/./list"),
        (Method::GET, "/v2/library%2Fdebian/%74ags%2Flist"),
        (Method::GET, "/v2/a/manifests/b/tags/list/"),
        (Method::GET, "/v2/a/blobs/%62//./tags/list"),
        (Method::GET, "/v2/a/blobs/b/referrers/sha256%3A00"),
        (Method::GET, "/v2/a/b/blobs/uploads%2F%31"),
        (Method::GET, "//v2/../%2e%2e//v2/"),
        (Method::HEAD, "/v2/%FF%zz%2F%2f..%2F/x"),
        (Method::PUT, "/%61ny/thing?%41=%41&Digest=%41;b"),
        (Method::POST, "/%61ny/thing?%41=%41&digest=%41;b"),
        (Method::PATCH, "/v2/library/debian/blobs/uploads/1"),
        (Method::GET, "/v2/library/debian/blobs/uploads/1"),
        (Method::POST, "/v2/library/debian/manifests/1"),
        (Method::GET, "/metrics"),
    ] {
        assert_eq!(count(method.clone(), path), 0, "{method} {path}");
    }
    // The counter counts: an event is not free.
    assert!(count(Method::GET, "/v2/library/debian/manifests/1") > 0);
    assert_eq!(
        allocations(EmptyRegistry, Request::new(Empty::new())),
        0,
        "the bare service"
    );
}
