//! What attackers and old programs do, request by request.

use http::{Method, StatusCode};

use crate::registry_client::{DOCKER, DOCKER_LIST, OCI, TestClient, digest};

/// Begins the user agents of requests whose manifest the registry rewrites.
pub(crate) const OLD: &str = "old";
/// Begins those of mounts whose query and form name different sources.
pub(crate) const TWOFOLD: &str = "twofold";

/// Everything odd that can be asked; `blob` is in `team/app`.
pub(crate) async fn use_registry(client: &TestClient, blob: &str) {
    names(client).await;
    ranges(client, blob).await;
    forms(client, blob).await;
    manifests(client).await;
    rewritten(&client.named(OLD)).await;
}

/// Names that are no names in the specification, but are to this registry.
async fn names(client: &TestClient) {
    for repository in ["FOO/app", "Reg.Example.COM/team/app", "X/steal"] {
        let (digest, _) = client.push_image(repository, "V1", OCI, "").await;
        for reference in ["V1", &digest] {
            let path = format!("/v2/{repository}/manifests/{reference}");
            client.get(&path, 200, &[("accept", OCI)]).await;
        }
        let blob = client.push_blob(repository, "to be mounted", 2).await;
        let mount = format!("/v2/{repository}/copy/blobs/uploads/?mount={blob}&from={repository}");
        let answer = client.send(Method::POST, &mount, &[], "").await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        for path in [
            format!("/v2/{repository}/manifests/{digest}"),
            format!("/v2/{repository}/blobs/{blob}"),
        ] {
            let answer = client.send(Method::DELETE, &path, &[], "").await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
        }
    }
}

async fn ranges(client: &TestClient, blob: &str) {
    let path = format!("/v2/team/app/blobs/{blob}");
    for range in [
        "bytes=0-",
        "bytes=2-5",
        "bytes=-3",
        "bytes=0-1,4-5",
        "bytes=0-0,1-",
    ] {
        for method in [Method::GET, Method::HEAD] {
            client.send(method, &path, &[("range", range)], "").await;
        }
    }
    for header in [
        ("range", "bytes=99-"),
        ("range", "items=0-1"),
        ("if-match", "\"another\""),
        ("if-none-match", "*"),
    ] {
        client.get_broken(&path, header).await;
    }
    let path = "/v2/team/app/manifests/v1";
    for range in ["bytes=0-", "bytes=2-5", "bytes=0-1,4-5"] {
        let headers = [("range", range), ("accept", OCI)];
        client.send(Method::GET, path, &headers, "").await;
    }
}

/// Mounts whose parameters are in a form.
async fn forms(client: &TestClient, blob: &str) {
    let (mount, from) = (format!("mount={blob}"), "from=team/app");
    let both = format!("{mount}&{from}");
    let padded = format!("pad={}&{both}", "x".repeat(17 << 10));
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts = part("mount", blob) + &part("from", "team/app") + "--b--\r\n";
    let urlencoded = "application/x-www-form-urlencoded";
    let upper = urlencoded.to_uppercase();
    let charset = format!("{urlencoded}; charset=utf-8");
    let multipart = "multipart/form-data; boundary=b";
    let gzip = ("content-encoding", "gzip");
    for (n, (query, kind, encoding, body)) in [
        ("", urlencoded, None, &both),
        ("", &upper, None, &both),
        ("", &charset, None, &both),
        ("", urlencoded, None, &padded),
        ("", multipart, None, &parts),
        ("", urlencoded, Some(gzip), &both),
        ("", multipart, Some(gzip), &parts),
        (&*mount, urlencoded, None, &from.to_owned()),
        (from, urlencoded, None, &mount),
        (
            &format!("mount=%zz&{mount}"),
            urlencoded,
            None,
            &from.to_owned(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/v2/form/f{n}/blobs/uploads/?{query}");
        let headers = std::iter::once(("content-type", kind)).chain(encoding);
        let headers: Vec<_> = headers.collect();
        let answer = client
            .send(Method::POST, &path, &headers, body.clone())
            .await;
        assert_eq!(
            answer.status(),
            StatusCode::CREATED,
            "{query} {kind} {body}"
        );
    }
    // The registry takes what the form says.
    let path = format!("/v2/form/twofold/blobs/uploads/?{mount}&from=team/docker");
    let headers = [("content-type", urlencoded)];
    let twofold = client.named(TWOFOLD);
    let answer = twofold.send(Method::POST, &path, &headers, both).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
}

/// JSON that registries read each in their own way.
async fn manifests(client: &TestClient) {
    let repository = "odd/json";
    let config = client.push_blob(repository, "{}", 0).await;
    let layers = ["one", "three"];
    let mut described = Vec::new();
    for layer in layers {
        let digest = client.push_blob(repository, layer, 0).await;
        let size = layer.len();
        described.push(format!(
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":{size}}}"#
        ));
    }
    let config = format!(
        r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}}"#
    );
    let (one, three) = (&described[0], &described[1]);
    let null = one.replace(r#""size""#, r#""annotations":null,"urls":null,"size""#);
    let shouted = one.replace(r#""digest""#, r#""DIGEST""#);
    let twice = one.replace(r#""digest""#, r#""digest":"sha256:00","Digest""#);
    let annotated = |value: &str| {
        let annotations = format!(r#""annotations":{{"a":"{value}"}},"size""#);
        one.replace(r#""size""#, &annotations)
    };
    for (n, layers) in [
        format!(r#""Layers":[{one}]"#),
        format!(r#""layers":[{one}],"LAYERS":[{three}]"#),
        format!(r#""layers":[{one},{three}],"layers":[{three}]"#),
        format!(r#""layer\u017f":[{one}]"#),
        format!(r#""layers":[{null}]"#),
        format!(r#""layers":[{shouted}]"#),
        format!(r#""layers":[{twice}]"#),
        format!(r#""layers":[{}]"#, annotated(r"\ud800")),
        format!(r#""layers":[{}]"#, annotated(r"<\u2028&>")),
        format!(r#""layers":[{one}],"annotations":null,"subject":null"#),
    ]
    .into_iter()
    .enumerate()
    {
        let manifest =
            format!(r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{config},{layers}}}"#);
        let tag = format!("t{n}");
        client.push_manifest(repository, &tag, OCI, &manifest).await;
        let path = format!("/v2/{repository}/manifests/{tag}");
        client.get(&path, 200, &[("accept", OCI)]).await;
    }
}

/// Manifests that the registry makes of others, as old programs need them: of a
/// list its image, and of an image the format before.
async fn rewritten(client: &TestClient) {
    let repository = "old/app";
    let blobs = client.named("test");
    let config = r#"{"architecture":"amd64","os":"linux","config":{},"history":[{"created":"2020-01-01T00:00:00Z","created_by":"a"}],"rootfs":{"type":"layers","diff_ids":["sha256:00"]}}"#;
    let config_digest = blobs.push_blob(repository, config, 0).await;
    let layer_digest = blobs.push_blob(repository, "layer", 0).await;
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"{DOCKER}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"{layer_digest}","size":5}}]}}"#,
        config.len()
    );
    blobs
        .push_manifest(repository, "image", DOCKER, &image)
        .await;
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}","manifests":[{{"mediaType":"{DOCKER}","digest":"{}","size":{},"platform":{{"architecture":"amd64","os":"linux"}}}}]}}"#,
        digest(&image),
        image.len()
    );
    blobs
        .push_manifest(repository, "list", DOCKER_LIST, &list)
        .await;
    for (tag, accept) in [("list", Some(DOCKER)), ("list", None), ("image", None)] {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let headers: Vec<_> = accept.map(|it| ("accept", it)).into_iter().collect();
        let answer = client.send(Method::GET, &path, &headers, "").await;
        assert_eq!(answer.status(), StatusCode::OK, "{tag} for {accept:?}");
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert_ne!(kind, DOCKER_LIST);
    }
    // Of this kind it makes no other.
    let path = "/v2/team/app/manifests/v1";
    let answer = blobs.send(Method::GET, path, &[], "").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

/// What clients say of themselves, and proxies of clients. The address is in
/// `X-Forwarded-For` each time, since the proxy adds that for the registry, to
/// which it counts more than the others.
pub(crate) async fn forwarded(client: &TestClient) {
    let path = "/v2/team/app/manifests/v1";
    let address = ("x-forwarded-for", "203.0.113.9");
    for headers in [
        &[address][..],
        &[("x-forwarded-for", "203.0.113.9, 10.0.0.1")],
        &[address, ("x-real-ip", "203.0.113.8")],
        &[("x-forwarded-host", "reg.example.com")],
        &[
            ("x-forwarded-host", "reg.example.com"),
            ("x-forwarded-proto", "https"),
        ],
        &[("x-forwarded-host", "reg.example.com:5000, b.example.com")],
        &[
            address,
            (
                "forwarded",
                "for=203.0.113.9;host=fwd.example.com;proto=https",
            ),
        ],
        &[
            ("forwarded", "host=fwd.example.com"),
            ("x-forwarded-host", "reg.example.com"),
        ],
    ] {
        let headers = [headers, &[("accept", OCI)]].concat();
        let answer = client.send(Method::GET, path, &headers, "").await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
