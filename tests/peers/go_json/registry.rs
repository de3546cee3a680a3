//! Debian's docker-registry (distribution 2.8), which posts the references of
//! manifests.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

use crate::common::logged_address;

/// A docker-registry process, which ends with the test.
pub(crate) struct Registry {
    process: Child,
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one that posts to the port `webhook`.
    pub(crate) async fn start(webhook: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("storage");
        let config = format!(
            "version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: '{}'}}}}
http: {{addr: '127.0.0.1:0'}}
notifications:
  events: {{includereferences: true}}
  endpoints:
  - {{name: a, url: 'http://127.0.0.1:{webhook}/', timeout: 5s, threshold: 10, backoff: 1s}}
",
            storage.display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs docker-registry: apt-get install docker-registry");
        let log = BufReader::new(process.stderr.take().unwrap());
        let address = tokio::task::spawn_blocking(|| logged_address(log))
            .await
            .unwrap();
        Self {
            process,
            base: format!("http://{address}"),
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            _folder: folder,
        }
    }

    /// What `docker-registry --version` prints.
    pub(crate) fn version() -> String {
        let output = Command::new("docker-registry").arg("--version").output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Response<Bytes> {
        let uri = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.base),
        };
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("content-type", kind).body(Full::from(body));
        let response = self.client.request(request.unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    pub(crate) async fn push_blob(&self, repository: &str, digest: &str, content: &str) {
        let octets = "application/octet-stream";
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.send(Method::POST, &path, octets, Vec::new()).await;
        assert_eq!(begun.status(), StatusCode::ACCEPTED);
        let location = begun.headers()["location"].to_str().unwrap();
        let end = format!("{location}&digest={digest}");
        let ended = self.send(Method::PUT, &end, octets, content.into()).await;
        assert_eq!(ended.status(), StatusCode::CREATED);
    }

    /// Whether the registry takes the manifest.
    pub(crate) async fn push_manifest(
        &self,
        repository: &str,
        tag: &str,
        kind: &str,
        content: Vec<u8>,
    ) -> bool {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let answer = self.send(Method::PUT, &path, kind, content).await;
        answer.status() == StatusCode::CREATED
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
