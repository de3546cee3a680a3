//! Blobs and manifests that belong to nothing else, and requests that bring
//! them to a registry.

// Each test uses a part of it.
#![allow(dead_code)]

use sha2::Digest as _;

use crate::common::raw::{RawConnection, RawRequest};

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

/// With the credentials that all registries of the tests take.
pub(crate) fn with_token(request: RawRequest, agent: &str) -> RawRequest {
    let request = request.header("User-Agent", agent);
    request.header("Authorization", BASIC)
}

async fn send(connection: &mut RawConnection, request: RawRequest) -> Option<String> {
    let answer = connection.send(&with_token(request, "prepare")).await;
    let text = String::from_utf8_lossy(&answer.body);
    assert!(
        (200..300).contains(&answer.status),
        "{}: {text}",
        answer.status
    );
    answer
        .header("location")
        .is_some()
        .then(|| answer.location())
}

/// Begins an upload; path and query to go on with.
pub(crate) async fn begin_upload(connection: &mut RawConnection, repository: &str) -> String {
    let begin = RawRequest::new("POST", format!("/v2/{repository}/blobs/uploads/"));
    send(connection, begin).await.unwrap()
}

/// The URL that ends an upload.
pub(crate) fn end_of_upload(location: &str, digest: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// Begins an upload and sends the content; the path and query that end it.
pub(crate) async fn upload(
    connection: &mut RawConnection,
    repository: &str,
    content: &str,
) -> String {
    let begun = begin_upload(connection, repository).await;
    let patch = RawRequest::new("PATCH", begun).header("Content-Type", "application/octet-stream");
    let location = send(connection, patch.body(content.to_owned()))
        .await
        .unwrap();
    end_of_upload(&location, &digest(content))
}

/// The digest of the blob that was pushed.
pub(crate) async fn push_blob(
    connection: &mut RawConnection,
    repository: &str,
    content: &str,
) -> String {
    let end = upload(connection, repository, content).await;
    send(connection, RawRequest::new("PUT", end)).await;
    digest(content)
}

/// Pushes an index by its tag, or by its digest; the digest.
pub(crate) async fn push_index(
    connection: &mut RawConnection,
    repository: &str,
    tag: Option<&str>,
    mark: &str,
) -> String {
    let content = index(mark);
    let digest = digest(&content);
    let path = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&digest));
    let push = RawRequest::new("PUT", path).header("Content-Type", INDEX);
    send(connection, push.body(content)).await;
    digest
}
