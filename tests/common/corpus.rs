//! The recorded exchanges, and a registry that answers as recorded.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tower::util::BoxCloneService;
use tower::{Service, service_fn};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) n: u64,
    pub(crate) request: Sent,
    pub(crate) response: Answered,
    pub(crate) deliveries: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) uri: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

fn decode(base64: &str) -> Bytes {
    STANDARD.decode(base64).unwrap().into()
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
    found.map(|(_, value)| &**value)
}

impl Exchange {
    pub(crate) fn request(&self) -> Request<Recorded> {
        let mut request = Request::builder()
            .method(&*self.request.method)
            .uri(&self.request.uri);
        for (name, value) in &self.request.headers {
            request = request.header(name, value);
        }
        let body = Recorded::new(decode(&self.request.body), None);
        request.body(body).unwrap()
    }

    fn response(&self) -> Response<Recorded> {
        let mut response = Response::builder().status(self.response.status);
        for (name, value) in &self.response.headers {
            response = response.header(name, value);
        }
        // Every second response has trailers, and no length of its own.
        let trailers = self.n.is_multiple_of(2).then(|| {
            let trailer = ("x-n".parse().unwrap(), self.n.into());
            HeaderMap::from_iter([trailer])
        });
        let body = Recorded::new(decode(&self.response.body), trailers);
        response.body(body).unwrap()
    }
}

/// The corpus files: name and exchanges.
pub(crate) fn files() -> Vec<(String, Vec<Exchange>)> {
    let folder = std::env::var_os("REPLAY_CORPUS").map(PathBuf::from);
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let folder = folder.unwrap_or_else(|| own.into());
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".jsonl.zst"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no *.jsonl.zst in {folder:?}");
    let read = |path: PathBuf| {
        let text = zstd::decode_all(std::fs::File::open(&path).unwrap()).unwrap();
        let exchanges = serde_json::Deserializer::from_slice(&text).into_iter();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, exchanges.map(Result::unwrap).collect())
    };
    files.into_iter().map(read).collect()
}

/// A body of three frames, and trailers.
#[derive(Debug)]
pub(crate) struct Recorded {
    frames: VecDeque<Frame<Bytes>>,
    exact: bool,
}

impl Recorded {
    fn new(content: Bytes, trailers: Option<HeaderMap>) -> Self {
        let third = content.len() / 3;
        let parts = [0..third, third..2 * third, 2 * third..content.len()];
        let parts = parts.map(|range| content.slice(range));
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let exact = trailers.is_none();
        Self {
            frames: parts
                .map(Frame::data)
                .chain(trailers.map(Frame::trailers))
                .collect(),
            exact,
        }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.frames.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.frames.iter().filter_map(Frame::data_ref);
        let length = data.map(Bytes::len).sum::<usize>() as u64;
        if self.exact {
            return SizeHint::with_exact(length);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(length);
        hint
    }
}

/// Answers the client's requests as recorded, and all others from what the
/// earlier exchanges have left behind; the deliveries are unknown to it.
#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    current: Option<Exchange>,
    uploads: HashMap<String, u64>,
    /// Sizes by repository and digest.
    blobs: HashMap<(String, String), u64>,
    manifests: HashMap<(String, String), (String, Bytes)>,
    tags: BTreeMap<(String, String), String>,
}

impl Registry {
    /// The exchange that comes next.
    pub(crate) fn expect(&self, exchange: &Exchange) {
        self.0.lock().unwrap().current = Some(exchange.clone());
    }

    /// The service, for any type of request body.
    pub(crate) fn service<B>(&self) -> BoxCloneService<Request<B>, Response<Recorded>, Infallible>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Debug,
    {
        let state = self.0.clone();
        let serve = move |request: Request<B>| {
            let state = state.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let mut state = state.lock().unwrap();
                let exchange = state.current.clone().unwrap();
                let agent = header(&exchange.request.headers, "user-agent").unwrap();
                if parts.headers["user-agent"] != agent {
                    return Ok(state.answer(&parts.method, parts.uri.path()));
                }
                assert_eq!(body, decode(&exchange.request.body), "the request's body");
                state.learn(&exchange);
                Ok(exchange.response())
            }
        };
        BoxCloneService::new(service_fn(serve))
    }
}

/// Repository, kind and rest of a path.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let path = path.strip_prefix("/v2/")?;
    let kinds = ["/blobs/uploads/", "/manifests/", "/blobs/", "/tags/list"];
    kinds.into_iter().find_map(|kind| {
        let at = path.find(kind)?;
        Some((&path[..at], kind, &path[at + kind.len()..]))
    })
}

impl State {
    fn learn(&mut self, exchange: &Exchange) {
        let Exchange {
            request, response, ..
        } = exchange;
        let (path, query) = request.uri.split_once('?').unwrap_or((&request.uri, ""));
        let Some((repository, kind, rest)) = split(path) else {
            return;
        };
        if !(200..300).contains(&response.status) {
            return;
        }
        let key = |name: &str| (repository.to_owned(), name.to_owned());
        let body = decode(&request.body);
        let digest = header(&response.headers, "docker-content-digest").unwrap_or_default();
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(it, _)| it == name)
                .map(|(_, it)| it.into_owned())
        };
        match (&*request.method, kind) {
            ("PATCH", "/blobs/uploads/") => {
                *self.uploads.entry(rest.into()).or_default() += body.len() as u64;
            }
            ("PUT", "/blobs/uploads/") => {
                let size = self.uploads.remove(rest).unwrap_or(0) + body.len() as u64;
                // Known by the digest of the client and by the registry's own.
                self.blobs.insert(key(&parameter("digest").unwrap()), size);
                self.blobs.insert(key(digest), size);
            }
            ("POST", "/blobs/uploads/") if response.status == 201 => {
                let size = match parameter("from").zip(parameter("mount")) {
                    // What another corpus does not show being pushed stays unknown.
                    Some(source) => self.blobs.get(&source).copied(),
                    None => Some(body.len() as u64),
                };
                self.blobs.extend(size.map(|size| (key(digest), size)));
            }
            ("PUT", "/manifests/") => {
                let set = response.headers.iter();
                let set = set.filter(|(name, _)| name.eq_ignore_ascii_case("oci-tag"));
                let tag = Some(rest).filter(|rest| !rest.contains(':'));
                for tag in set.map(|(_, tag)| &**tag).chain(tag) {
                    self.tags.insert(key(tag), digest.into());
                }
                let media_type = header(&request.headers, "content-type").unwrap_or_default();
                self.manifests
                    .insert(key(digest), (media_type.into(), body));
            }
            ("DELETE", "/blobs/") => {
                self.blobs.remove(&key(rest));
            }
            ("DELETE", "/manifests/") if rest.contains(':') => {
                self.manifests.remove(&key(rest));
                self.tags
                    .retain(|(name, _), digest| name != repository || digest != rest);
            }
            ("DELETE", "/manifests/") => {
                self.tags.remove(&key(rest));
            }
            _ => {}
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Recorded> {
        self.find(method, path).unwrap_or_else(|| {
            let not_found = Response::builder().status(StatusCode::NOT_FOUND);
            not_found.body(Recorded::new(Bytes::new(), None)).unwrap()
        })
    }

    fn find(&self, method: &Method, path: &str) -> Option<Response<Recorded>> {
        let (repository, kind, rest) = split(path)?;
        let key = |name: &str| (repository.to_owned(), name.to_owned());
        let (media_type, digest, length, content) = match kind {
            "/blobs/" => {
                let size = *self.blobs.get(&key(rest))?;
                ("application/octet-stream", rest, size, Bytes::new())
            }
            "/manifests/" => {
                let digest = self.tags.get(&key(rest)).map_or(rest, |digest| digest);
                let (media_type, body) = self.manifests.get(&key(digest))?;
                (&**media_type, digest, body.len() as u64, body.clone())
            }
            "/tags/list" => {
                let tags = self.tags.keys().filter(|(name, _)| name == repository);
                let tags: Vec<_> = tags.map(|(_, tag)| tag).collect();
                let list = serde_json::json!({ "name": repository, "tags": tags });
                let list = Bytes::from(list.to_string());
                ("application/json", "", list.len() as u64, list)
            }
            _ => return None,
        };
        let content = match *method {
            Method::HEAD => Bytes::new(),
            _ => content,
        };
        let response = Response::builder()
            .header("content-type", media_type)
            .header("docker-content-digest", digest)
            .header("content-length", length);
        response.body(Recorded::new(content, None)).ok()
    }
}

/// Sends the exchange to a service made by [`Registry::service`] or a layer on it.
pub(crate) async fn send<S, R>(service: &mut S, exchange: &Exchange) -> Response<R>
where
    S: Service<Request<Recorded>, Response = Response<R>, Error = Infallible>,
{
    std::future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .unwrap();
    service.call(exchange.request()).await.unwrap()
}
