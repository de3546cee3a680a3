//! What people's programs do, request by request.

use http::{Method, StatusCode};

use crate::registry_client::{DOCKER, DOCKER_LIST, OCI, OCI_INDEX, TestClient, digest};

const ACCEPT: [(&str, &str); 1] = [("accept", OCI)];

/// What is in `team/app` then, for others to use.
pub(crate) struct Pushed {
    digest: String,
    manifest: String,
    pub(crate) blob: String,
}

/// Everything once but deletions, and sixteen clients at once.
pub(crate) async fn use_registry(client: &TestClient) -> Pushed {
    without_credentials(client).await;
    let (digest, manifest) = images(client).await;
    pulls(client, &digest).await;
    let blob = uploads(client).await;
    mounts(client, &blob).await;
    let many = (0..16).map(|n| one_of_many(client, n));
    futures_util::future::join_all(many).await;
    Pushed {
        digest,
        manifest,
        blob,
    }
}

async fn without_credentials(client: &TestClient) {
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
        let path = "/v2/team/app/manifests/v1";
        let answer = client.send_as_it_is(method, path, &[], "").await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let challenge = &answer.headers()["www-authenticate"];
        assert!(challenge.to_str().unwrap().starts_with("Bearer realm="));
    }
}

/// Pushes images, artifacts and indexes of both kinds; digest and manifest of
/// `team/app:v1`.
async fn images(client: &TestClient) -> (String, String) {
    let (oci, manifest) = client.push_image("team/app", "v1", OCI, "").await;
    let (docker, schema2) = client.push_image("team/docker", "v1", DOCKER, "").await;
    // Several tags, by digest, and again.
    for reference in ["v2", &oci, "v1"] {
        client
            .push_manifest("team/app", reference, OCI, &manifest)
            .await;
    }
    // An artifact that belongs to an image.
    let size = manifest.len();
    let subject = format!(
        r#""artifactType":"a/b","subject":{{"mediaType":"{OCI}","digest":"{oci}","size":{size}}},"#
    );
    client
        .push_image("team/app", "signature", OCI, &subject)
        .await;
    for (repository, list, kind, image, size) in [
        ("team/app", OCI_INDEX, OCI, &oci, size),
        ("team/docker", DOCKER_LIST, DOCKER, &docker, schema2.len()),
    ] {
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{list}","manifests":[{{"mediaType":"{kind}","digest":"{image}","size":{size},"platform":{{"architecture":"amd64","os":"linux"}},"annotations":{{"a":"<b>"}}}}]}}"#
        );
        client
            .push_manifest(repository, "multi", list, &index)
            .await;
        let accept = [("accept", list), ("accept", kind)];
        let path = format!("/v2/{repository}/manifests/multi");
        client.get(&path, 200, &accept).await;
    }
    // A manifest whose blobs are not there.
    let path = "/v2/team/none/manifests/v1";
    let headers = [("content-type", OCI)];
    let answer = client.send(Method::PUT, path, &headers, manifest.clone());
    assert_eq!(answer.await.status(), StatusCode::BAD_REQUEST);
    (oci, manifest)
}

/// Repeated, and of what is not there.
async fn pulls(client: &TestClient, digest: &str) {
    for (reference, status) in [("v1", 200), ("v1", 200), (digest, 200), ("none", 404)] {
        let path = format!("/v2/team/app/manifests/{reference}");
        client.get(&path, status, &ACCEPT).await;
    }
    for path in ["/v2/team/app/tags/list", "/v2/_catalog", "/v2/"] {
        let answer = client.send(Method::GET, path, &[], "").await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    // A spelling that the registry takes.
    let path = "/v2/team/app/manifests/%76%31";
    let answer = client.send(Method::GET, path, &ACCEPT, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
}

/// In chunks, in one request, cancelled, refused; and the blob in part.
async fn uploads(client: &TestClient) -> String {
    let blob = client.push_blob("team/app", "0123456789", 0).await;
    client.push_blob("team/app", "in several chunks", 4).await;
    // This version declines a blob in the POST, and begins an upload.
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", digest("at once"));
    let octets = [("content-type", "application/octet-stream")];
    let answer = client.send(Method::POST, &path, &octets, "at once").await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let end = format!("{}&digest={}", client.location(&answer), digest("at once"));
    let answer = client.send(Method::PUT, &end, &octets, "at once").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    // What does not fit its digest, and what is given up.
    let upload = client.begin("team/app").await;
    let wrong = format!("{upload}&digest={}", digest("something else"));
    let answer = client.send(Method::PUT, &wrong, &octets, "content").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let upload = client.begin("team/app").await;
    for (method, status) in [(Method::GET, 204), (Method::DELETE, 204)] {
        let answer = client.send(method, &upload, &[], "").await;
        assert_eq!(answer.status(), status);
    }
    let path = format!("/v2/team/app/blobs/{blob}");
    client.get(&path, 200, &[]).await;
    let range = [("range", "bytes=2-5")];
    let part = client.send(Method::GET, &path, &range, "").await;
    assert_eq!(part.status(), client.blob_status(206));
    if part.status() == StatusCode::PARTIAL_CONTENT {
        assert_eq!(part.body(), "2345");
    }
    blob
}

/// One that succeeds, and some that become uploads.
async fn mounts(client: &TestClient, blob: &str) {
    let none = digest("nothing");
    for (query, status) in [
        (format!("mount={blob}&from=team/app"), 201),
        (format!("mount=%zz&mount={blob}&from=team/app"), 201),
        (format!("mount={none}&from=team/app"), 202),
        (format!("mount={blob}&from=team/none"), 202),
        (format!("mount={blob}"), 202),
    ] {
        let path = format!("/v2/team/copy/blobs/uploads/?{query}");
        let answer = client.send(Method::POST, &path, &[], "").await;
        assert_eq!(answer.status(), status, "{query}");
    }
}

async fn one_of_many(client: &TestClient, n: usize) {
    let repository = format!("many/r{n}");
    client.push_image(&repository, "t", OCI, "").await;
    let path = format!("/v2/{repository}/manifests/t");
    client.get(&path, 200, &ACCEPT).await;
}

/// By tag, which this version cannot; by digest with two tags and what is gone;
/// of a blob; and a push of what was deleted.
pub(crate) async fn delete(client: &TestClient, pushed: Pushed) {
    let Pushed {
        digest,
        manifest,
        blob,
    } = pushed;
    let by_tag = "/v2/team/app/manifests/v1".to_owned();
    let by_digest = format!("/v2/team/app/manifests/{digest}");
    let blob = format!("/v2/team/app/blobs/{blob}");
    for (path, status) in [
        (&by_tag, 400),
        (&by_digest, 202),
        (&by_digest, 404),
        (&blob, 202),
        (&blob, 404),
    ] {
        let answer = client.send(Method::DELETE, path, &[], "").await;
        assert_eq!(answer.status(), status, "{path}");
    }
    client.push_manifest("team/app", "v3", OCI, &manifest).await;
}
