//! Recorded exchanges: what a client asked, what the registry answered and what
//! it posted to its webhook.

// Each test uses a part of it.
#![allow(dead_code)]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer};
use tower::Service;

/// A request, its response, and the deliveries that the registry made of it.
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
    pub(crate) headers: Headers,
    #[serde(deserialize_with = "decode")]
    pub(crate) body: Bytes,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    #[serde(deserialize_with = "decode")]
    pub(crate) body: Bytes,
}

/// Header fields in the order in which they were sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    /// Returns the first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    pub(crate) fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.iter();
        let found = fields.filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }
}

fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let base64 = Cow::<str>::deserialize(deserializer)?;
    let bytes = STANDARD.decode(&*base64);
    bytes.map(Bytes::from).map_err(serde::de::Error::custom)
}

/// What a path of the distribution API names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Manifest {
        repository: String,
        reference: String,
    },
    Blob {
        repository: String,
        digest: String,
    },
    Upload {
        repository: String,
        id: String,
    },
    Tags {
        repository: String,
    },
}

impl Place {
    /// Reads a path. A repository's name may contain the API's own words
    /// (`a/manifests/b`), so that the last of them counts.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let path = percent_decode_str(path.strip_prefix("/v2/")?)
            .decode_utf8()
            .ok()?;
        if let Some(repository) = path.strip_suffix("/tags/list") {
            let repository = repository.into();
            return Some(Self::Tags { repository });
        }
        let (manifest, blob) = (path.rfind("/manifests/"), path.rfind("/blobs/"));
        let split = |at: usize, word: &str| (path[..at].to_owned(), &path[at + word.len()..]);
        if manifest > blob {
            let (repository, reference) = split(manifest?, "/manifests/");
            let reference = reference.into();
            return Some(Self::Manifest {
                repository,
                reference,
            });
        }
        let (repository, rest) = split(blob?, "/blobs/");
        if rest == "uploads" || rest.starts_with("uploads/") {
            let id = rest["uploads".len()..].trim_start_matches('/').into();
            return Some(Self::Upload { repository, id });
        }
        let digest = rest.into();
        Some(Self::Blob { repository, digest })
    }
}

impl Exchange {
    pub(crate) fn place(&self) -> Option<Place> {
        Place::of(self.path())
    }

    pub(crate) fn path(&self) -> &str {
        let uri = &*self.request.uri;
        uri.split_once('?').map_or(uri, |(path, _)| path)
    }

    /// Returns the first value of a parameter. As in Go, a form body goes before
    /// the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let media_type = self.request.headers.get("content-type");
        let form = match media_type {
            Some("application/x-www-form-urlencoded") => &*self.request.body,
            _ => &[],
        };
        let query = self
            .request
            .uri
            .split_once('?')
            .map_or("", |(_, query)| query);
        let pairs = form_urlencoded::parse(form).chain(form_urlencoded::parse(query.as_bytes()));
        let mut values = pairs.filter(|(key, _)| key == name);
        values.next().map(|(_, value)| value.into_owned())
    }

    pub(crate) fn succeeded(&self) -> bool {
        (200..300).contains(&self.response.status)
    }

    pub(crate) fn request(&self) -> Request<Recorded> {
        let mut request = Request::builder()
            .method(&*self.request.method)
            .uri(&self.request.uri);
        for (name, value) in &self.request.headers.0 {
            request = request.header(name, value);
        }
        let body = Recorded::new(self.request.body.clone(), None);
        request.body(body).unwrap()
    }

    pub(crate) fn response(&self) -> Response<Recorded> {
        let mut response = Response::builder().status(self.response.status);
        for (name, value) in &self.response.headers.0 {
            response = response.header(name, value);
        }
        // Every second response has trailers, and a body without an exact length.
        let trailers = self.n.is_multiple_of(2).then(|| {
            let trailer = ("x-n".parse().unwrap(), self.n.into());
            HeaderMap::from_iter([trailer])
        });
        let body = Recorded::new(self.response.body.clone(), trailers);
        response.body(body).unwrap()
    }
}

/// A file of a corpus: its name and its exchanges.
pub(crate) type File = (String, Vec<Exchange>);

/// Returns the files of the corpus in `REPLAY_CORPUS`, or else of the
/// project's own; read once.
pub(crate) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(read)
}

/// Whether the corpus is another than the project's own.
pub(crate) fn is_foreign() -> bool {
    std::env::var_os("REPLAY_CORPUS").is_some()
}

fn read() -> Vec<File> {
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
        let file = std::fs::File::open(&path).unwrap();
        let mut text = Vec::new();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(file).unwrap();
        decoder.read_to_end(&mut text).unwrap();
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
    pub(crate) fn new(content: Bytes, trailers: Option<HeaderMap>) -> Self {
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

/// Sends a request to a service once it is ready.
pub(crate) async fn send<S, R>(service: &mut S, request: Request<Recorded>) -> Response<R>
where
    S: Service<Request<Recorded>, Response = Response<R>, Error = Infallible>,
{
    std::future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .unwrap();
    service.call(request).await.unwrap()
}
