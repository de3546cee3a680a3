//! Blobs and manifests that refer to nothing else, and the requests that push them.

// No test uses all of it.
#![allow(dead_code)]

use sha2::Digest as _;

use crate::common::raw::{RawConnection, RawRequest, RawResponse};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `silly` with the password `secret`.
const BASIC: &str = "Basic c2lsbHk6c2VjcmV0";

pub(crate) fn digest(content: impl AsRef<[u8]>) -> String {
    format!("sha256:{:x}", sha2::Sha256::digest(content))
}

/// An index that refers to nothing, so that it can be pushed anywhere.
pub(crate) fn index(mark: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"mark":"{mark}"}}}}"#
    )
}

/// Adds the credentials that all registries of the tests accept.
pub(crate) fn with_token(request: RawRequest, agent: &str) -> RawRequest {
    let request = request.header("User-Agent", agent);
    request.header("Authorization", BASIC)
}

async fn send(connection: &mut RawConnection, request: RawRequest) -> RawResponse {
    connection.send(&with_token(request, "prepare")).await
}

fn assert_success(answer: &RawResponse) {
    let (status, text) = (answer.status, String::from_utf8_lossy(&answer.body));
    assert!((200..300).contains(&status), "{status}: {text}");
}

/// Begins an upload. Returns the path and query of its next request.
pub(crate) async fn begin_upload(connection: &mut RawConnection, repository: &str) -> String {
    let begin = RawRequest::new("POST", format!("/v2/{repository}/blobs/uploads/"));
    let answer = send(connection, begin).await;
    assert_success(&answer);
    answer.location()
}

/// Returns the URL that ends an upload.
pub(crate) fn end_of_upload(location: &str, digest: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// Begins an upload and sends the content. Returns the path and query that end it.
pub(crate) async fn upload(
    connection: &mut RawConnection,
    repository: &str,
    content: &str,
) -> String {
    let begun = begin_upload(connection, repository).await;
    let patch = RawRequest::new("PATCH", begun).header("Content-Type", "application/octet-stream");
    let answer = send(connection, patch.body(content.to_owned())).await;
    assert_success(&answer);
    end_of_upload(&answer.location(), &digest(content))
}

/// Pushes a blob and returns its digest.
pub(crate) async fn push_blob(
    connection: &mut RawConnection,
    repository: &str,
    content: &str,
) -> String {
    let end = upload(connection, repository, content).await;
    assert_success(&send(connection, RawRequest::new("PUT", end)).await);
    digest(content)
}

/// Pushes a manifest. Returns whether the registry has accepted it.
#[must_use]
pub(crate) async fn push_manifest(
    connection: &mut RawConnection,
    repository: &str,
    reference: &str,
    kind: &str,
    content: String,
) -> bool {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let push = RawRequest::new("PUT", path).header("Content-Type", kind);
    send(connection, push.body(content)).await.status == 201
}
