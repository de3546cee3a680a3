//! A client that speaks the distribution API by hand.

// No test uses all of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use sha2::Digest as _;

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Sends requests by hand, each with a user agent of its own.
#[derive(Clone)]
pub(crate) struct TestClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    name: &'static str,
    redirects: bool,
    count: Arc<AtomicUsize>,
}

pub(crate) type Answer = Response<Bytes>;

impl TestClient {
    /// Trusts `authority` only, if there is one.
    pub(crate) fn new(base: &str, authority: Option<&Path>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = examples::tls::connector(authority, tcp).unwrap();
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: base.into(),
            name: "test",
            redirects: false,
            count: Arc::default(),
        }
    }

    /// Returns the same client with another prefix for user agents.
    pub(crate) fn named(&self, name: &'static str) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }

    /// Returns the same client for a registry that redirects pulls of blobs.
    pub(crate) fn redirected(&self, redirects: bool) -> Self {
        Self {
            redirects,
            ..self.clone()
        }
    }

    /// Returns the status of the response to a pull of an existing blob.
    pub(crate) fn blob_status(&self, status: u16) -> u16 {
        if self.redirects { 307 } else { status }
    }

    /// Returns the same client for another port, without TLS.
    pub(crate) fn at(&self, port: u16) -> Self {
        Self {
            base: format!("http://127.0.0.1:{port}"),
            ..self.clone()
        }
    }

    /// With a token; other headers may come on top.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let token = [("authorization", "Bearer a.token.of-the-test")];
        let headers = [&token[..], headers].concat();
        self.send_as_it_is(method, path, &headers, body).await
    }

    pub(crate) async fn send_as_it_is(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let answer = self.try_send(method, path, headers, body.into()).await;
        answer.unwrap()
    }

    /// Sends a GET with a token. The registry announces the length of the blob
    /// where it refuses a range or a condition, so that the answer breaks off.
    pub(crate) async fn get_broken(&self, path: &str, header: (&str, &str)) {
        let headers = [("authorization", "Bearer a.token.of-the-test"), header];
        let _ = self
            .try_send(Method::GET, path, &headers, Bytes::new())
            .await;
    }

    async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, tower::BoxError> {
        let uri = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.base),
        };
        let n = self.count.fetch_add(1, Ordering::SeqCst);
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("user-agent", format!("{}/{n}", self.name));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.request(request.body(Full::new(body))?).await?;
        let (head, body) = answer.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// Returns where the upload continues, which must lead back through the proxy.
    pub(crate) fn location(&self, answer: &Answer) -> String {
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(
            location.starts_with(&self.base),
            "{location} leads around the proxy"
        );
        location.into()
    }

    pub(crate) async fn begin(&self, repository: &str) -> String {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let answer = self.send(Method::POST, &path, &[], "").await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        self.location(&answer)
    }

    /// Pushes a blob in this many chunks, and a last part with the PUT.
    pub(crate) async fn push_blob(&self, repository: &str, content: &str, chunks: usize) -> String {
        let mut location = self.begin(repository).await;
        let size = content.len() / (chunks + 1);
        let octets = ("content-type", "application/octet-stream");
        for n in 0..chunks {
            let part = content[n * size..(n + 1) * size].to_owned();
            let range = format!("{}-{}", n * size, (n + 1) * size - 1);
            let headers = [octets, ("content-range", &*range)];
            let answer = self.send(Method::PATCH, &location, &headers, part).await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
            location = self.location(&answer);
        }
        let digest = digest(content);
        let uri = format!("{location}&digest={}", digest.replace(':', "%3A"));
        let rest = content[chunks * size..].to_owned();
        let answer = self.send(Method::PUT, &uri, &[octets], rest).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        digest
    }

    pub(crate) async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        kind: &str,
        content: &str,
    ) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("content-type", kind)];
        let answer = self
            .send(Method::PUT, &path, &headers, content.to_owned())
            .await;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.status(), StatusCode::CREATED, "{text}");
    }

    pub(crate) async fn get(&self, path: &str, status: u16, headers: &[(&str, &str)]) {
        let status = match status {
            200 if path.contains("/blobs/") => self.blob_status(status),
            status => status,
        };
        for method in [Method::HEAD, Method::GET] {
            let answer = self.send(method, path, headers, "").await;
            assert_eq!(answer.status(), status, "{path}");
        }
    }

    /// Pushes an image. Returns its digest and manifest.
    pub(crate) async fn push_image(
        &self,
        repository: &str,
        tag: &str,
        kind: &str,
        more: &str,
    ) -> (String, String) {
        let (config_kind, layer_kind) = match kind {
            DOCKER => (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
            _ => (
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar",
            ),
        };
        let config =
            format!(r#"{{"architecture":"amd64","os":"linux","name":"{repository}:{tag}"}}"#);
        let layer = format!("layer of {repository}:{tag} <&> {}", "x".repeat(3000));
        let config_digest = self.push_blob(repository, &config, 0).await;
        let layer_digest = self.push_blob(repository, &layer, 3).await;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}",{more}"config":{{"mediaType":"{config_kind}","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"{layer_kind}","digest":"{layer_digest}","size":{}}}]}}"#,
            config.len(),
            layer.len()
        );
        self.push_manifest(repository, tag, kind, &manifest).await;
        (digest(&manifest), manifest)
    }
}

pub(crate) fn digest(content: &str) -> String {
    format!("sha256:{:x}", sha2::Sha256::digest(content))
}
