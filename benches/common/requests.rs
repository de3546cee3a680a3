//! Requests, and services that answer them at once.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Collected, Empty, Full};
use tower::Service;
use tower_registry_notifications::event::media_types;

use super::{DIGEST, long_name, manifest};

/// A registry that answers every request with an empty response.
#[derive(Clone)]
pub(crate) struct EmptyRegistry;

impl<B> Service<Request<B>> for EmptyRegistry {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Empty::new())))
    }
}

/// Requests that make no event: the name of the benchmark, and the path.
pub(crate) fn silent() -> [(&'static str, String); 7] {
    let long = long_name();
    [
        ("api-check", "/v2/".into()),
        ("tags-list", "/v2/library/debian/tags/list".into()),
        ("tags-list-255", format!("/v2/{long}/tags/list")),
        ("referrers-255", format!("/v2/{long}/referrers/{DIGEST}")),
        ("referrers", format!("/v2{}/x", "/referrers".repeat(100))),
        ("slashes", format!("/v2{}x", "/".repeat(1_000))),
        ("escapes", format!("/v2/{}", "%2F..%2f%2e/a".repeat(70))),
    ]
}

/// Passes a request of this path through a service.
pub(crate) fn call<S: Service<Request<Empty<Bytes>>>>(service: &mut S, uri: &Uri) {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.clone();
    let mut future = std::pin::pin!(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_ready());
}

/// A registry that has every manifest and blob and accepts every push.
#[derive(Clone)]
pub(crate) struct Registry;

impl<B> Service<Request<B>> for Registry
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(async {
            let method = request.method().clone();
            let body = request.into_body().collect().await;
            black_box(body.map(Collected::to_bytes).ok());
            let (status, content) = match method {
                Method::PUT => (StatusCode::CREATED, &b""[..]),
                Method::DELETE => (StatusCode::ACCEPTED, &b""[..]),
                _ => (StatusCode::OK, &b"content"[..]),
            };
            let mut response = Response::new(Full::new(Bytes::from_static(content)));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            if status != StatusCode::ACCEPTED {
                let digest = HeaderValue::from_static(DIGEST);
                headers.insert("docker-content-digest", digest);
            }
            if status == StatusCode::OK {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
                let bytes = HeaderValue::from_static("application/octet-stream");
                headers.insert(CONTENT_TYPE, bytes);
            }
            Ok(response)
        })
    }
}

/// A request that makes an event.
#[derive(Clone)]
pub(crate) struct EventRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl EventRequest {
    fn new(method: Method, uri: &str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("registry.example.com"));
        let agent = "containers/5.32.2 (github.com/containers/image)";
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        // The user `alice` with her password.
        let basic = HeaderValue::from_static("Basic YWxpY2U6c2VjcmV0");
        headers.insert(AUTHORIZATION, basic);
        if !body.is_empty() {
            let manifest = HeaderValue::from_static(media_types::OCI_MANIFEST);
            headers.insert(CONTENT_TYPE, manifest);
        }
        Self {
            uri: uri.parse().expect("a URI"),
            method,
            headers,
            body: body.into(),
        }
    }

    /// Passes the request through a service, and its response to the end.
    pub(crate) fn pass<S, R>(&self, service: &mut S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
        R: Body,
    {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let mut cx = Context::from_waker(Waker::noop());
        let mut future = std::pin::pin!(service.call(request));
        let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
            panic!("no response at once");
        };
        let mut body = std::pin::pin!(response.into_body());
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
            black_box(frame.is_ok());
        }
    }
}

/// Requests of which each makes an event.
pub(crate) fn made() -> [(&'static str, EventRequest); 4] {
    let blob = format!("/v2/library/debian/blobs/{DIGEST}");
    let manifest_of = |name: &str| format!("/v2/{name}/manifests/bookworm-slim");
    let manifest_uri = manifest_of("library/debian");
    [
        (
            "blob-pull",
            EventRequest::new(Method::GET, &blob, Vec::new()),
        ),
        (
            "blob-delete",
            EventRequest::new(Method::DELETE, &blob, Vec::new()),
        ),
        (
            "manifest-push-8",
            EventRequest::new(Method::PUT, &manifest_uri, manifest(8)),
        ),
        (
            "manifest-push-8-255",
            EventRequest::new(Method::PUT, &manifest_of(&long_name()), manifest(8)),
        ),
    ]
}

/// Answers every request in the same way.
#[derive(Clone)]
pub(crate) struct FixedResponse {
    status: StatusCode,
    headers: HeaderMap,
    frames: Frames,
}

impl<B> Service<Request<B>> for FixedResponse
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut response = Response::new(self.frames.clone());
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        Box::pin(async {
            let body = request.into_body().collect().await;
            black_box(body.map(Collected::to_bytes).ok());
            Ok(response)
        })
    }
}

/// A body whose frames are all the same.
#[derive(Clone)]
pub(crate) struct Frames {
    frame: Bytes,
    left: usize,
}

const FRAME: &[u8] = &[b' '; 16 << 10];

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = self.left.checked_sub(1);
        Poll::Ready(left.map(|left| {
            self.left = left;
            Ok(Frame::data(self.frame.clone()))
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.frame.len() * self.left) as u64)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

/// Further requests with their responses. Some make no event, others one that costs more or
/// less than those of [`made`].
pub(crate) fn others() -> [(&'static str, EventRequest, FixedResponse); 8] {
    let blob = format!("/v2/library/debian/blobs/{DIGEST}");
    let tag = "/v2/library/debian/manifests/bookworm-slim";
    let upload = "/v2/library/debian/blobs/uploads/6df24a34-0959-4923-81ca-14f09767db19";
    let request = |method, uri: &str| EventRequest::new(method, uri, Vec::new());
    let mut patch = EventRequest::new(Method::PATCH, upload, vec![b' '; 1 << 10]);
    let octets = HeaderValue::from_static("application/octet-stream");
    patch.headers.insert(CONTENT_TYPE, octets);
    let mut decorated = request(Method::GET, &blob);
    for number in 0..40 {
        let name = format!("x-forwarded-by-{number}").parse::<HeaderName>();
        let value = HeaderValue::from_static("one of the many proxies between");
        decorated.headers.insert(name.expect("a name"), value);
    }
    let answer_of = |status, frame: Bytes, frames: usize| {
        let mut headers = HeaderMap::new();
        let digest = HeaderValue::from_static(DIGEST);
        headers.insert("docker-content-digest", digest);
        if status == StatusCode::OK {
            headers.insert(CONTENT_LENGTH, (frame.len() * frames.max(1)).into());
            let image = HeaderValue::from_static(media_types::OCI_MANIFEST);
            headers.insert(CONTENT_TYPE, image);
        }
        FixedResponse {
            status,
            headers,
            frames: Frames {
                frame,
                left: frames,
            },
        }
    };
    let answer = |status, frames| answer_of(status, Bytes::from_static(FRAME), frames);
    let get = |uri| request(Method::GET, uri);
    [
        (
            "not-modified",
            get(tag),
            answer(StatusCode::NOT_MODIFIED, 0),
        ),
        ("not-found", get(tag), answer(StatusCode::NOT_FOUND, 1)),
        (
            "unauthorized",
            get(&blob),
            answer(StatusCode::UNAUTHORIZED, 1),
        ),
        (
            "manifest-head",
            request(Method::HEAD, tag),
            answer(StatusCode::OK, 0),
        ),
        (
            "manifest-pull",
            get(tag),
            answer_of(StatusCode::OK, manifest(8).into(), 1),
        ),
        ("blob-64-frames", get(&blob), answer(StatusCode::OK, 64)),
        ("blob-40-headers", decorated, answer(StatusCode::OK, 1)),
        ("upload-patch", patch, answer(StatusCode::ACCEPTED, 0)),
    ]
}
