//! No event states anything false: media types, digests, references and mounts.

use sha2::{Digest as _, Sha256};
use tower_registry_notifications::event::{Action, Descriptor};

use crate::stage::{BLOB, Case, D, IMAGE, MANIFEST, OCI, OTHER, full, request, response};

type Parts = http::request::Parts;

const OCTETS: &str = "application/octet-stream";

#[tokio::test]
async fn the_media_type_of_a_blob_is_always_the_same() {
    for content_type in ["text/html", "multipart/byteranges; boundary=x", ""] {
        let sent = [("content-type", content_type)];
        let case = Case::new(move |parts: &Parts| match parts.method.as_str() {
            "GET" => response(206, &sent, full("--x--")),
            _ => response(201, &[("docker-content-digest", OTHER)], full("")),
        });
        for (method, uri) in [
            ("GET", BLOB),
            ("PUT", "/v2/a/blobs/uploads/1?digest=sha256:01"),
            ("POST", "/v2/a/blobs/uploads/?digest=sha256:01"),
        ] {
            let event = case.event(request(method, uri, &sent, "blob")).await;
            assert_eq!(event.target.descriptor.media_type, OCTETS, "{method}");
        }
    }
}

#[tokio::test]
async fn the_type_of_a_manifest_is_the_one_that_its_body_names_if_the_header_is_generic() {
    const NAMED: &str = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"c","digest":"sha256:c","size":1},"layers":[]}"#;
    let references = [Descriptor::new("c", "sha256:c", 1)];
    for content_type in [
        "application/json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "text/plain; charset=utf-8",
        "",
        "Application/VND.oci.Image.Manifest.v1+JSON; x=y",
    ] {
        let sent = [("content-type", content_type)];
        let case = Case::new(move |parts: &Parts| match parts.method.as_str() {
            "PUT" => response(201, &[("docker-content-digest", D)], full("")),
            "HEAD" => response(200, &sent, full("")),
            _ => response(200, &sent, full(NAMED)),
        });
        let case = case.references();
        for (method, body) in [("PUT", NAMED), ("GET", ""), ("HEAD", "")] {
            let headers = if content_type.is_empty() {
                &[][..]
            } else {
                &sent
            };
            let event = case.event(request(method, MANIFEST, headers, body)).await;
            let target = &event.target;
            assert_eq!(target.descriptor.media_type, OCI, "{method} {content_type}");
            assert_eq!(target.references, references, "{method} {content_type}");
        }
    }
    // What nothing names is not guessed.
    let generic = [("content-type", "application/json")];
    let case = Case::new(move |_: &Parts| response(200, &generic, full(IMAGE))).references();
    let event = case.event(request("GET", MANIFEST, &[], "")).await;
    assert_eq!(event.target.descriptor.media_type, "application/json");
    assert!(event.target.references.is_empty());
}

#[tokio::test]
async fn a_registry_that_compresses_is_asked_for_the_content_as_it_is() {
    let case = Case::new(|parts: &Parts| {
        if parts
            .headers
            .get("accept-encoding")
            .is_some_and(|it| it == "identity")
        {
            return response(200, &[("content-type", OCI)], full(IMAGE));
        }
        let headers = [("content-type", OCI), ("content-encoding", "gzip")];
        response(200, &headers, full("not the bytes"))
    });
    let case = case.references();
    let event = case.event(request("GET", MANIFEST, &[], "")).await;
    let target = &event.target;
    let digest = format!("sha256:{:x}", Sha256::digest(IMAGE));
    assert_eq!(
        (&*target.descriptor.digest, target.length),
        (&*digest, IMAGE.len() as u64)
    );
    assert_eq!(target.references.len(), 1);
}

/// The digest shows that the bytes are what the registry stores, whatever the
/// client says of them.
#[tokio::test]
async fn a_false_content_encoding_hides_nothing_of_a_push() {
    let digest = format!("sha256:{:x}", Sha256::digest(IMAGE));
    let named = digest.clone();
    let case =
        Case::new(move |_: &Parts| response(201, &[("docker-content-digest", &*named)], full("")));
    let headers = [("content-type", OCI), ("content-encoding", "gzip")];
    let case = case.references().without_stat();
    let event = case.event(request("PUT", MANIFEST, &headers, IMAGE)).await;
    assert_eq!(event.target.length, IMAGE.len() as u64);
    assert_eq!(event.target.references.len(), 1);
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_mount_by_form_is_a_mount() {
    let padding = format!("mount={OTHER}&from=b&x={}", "y".repeat(20 << 10));
    let huge = format!("mount={OTHER}&from=b&x={}", "y".repeat(2 << 20));
    let plain = format!("mount={OTHER}&from=b");
    let parts = |name: &str, value: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = parts("mount", OTHER) + &parts("from", "b") + "--x--\r\n";
    for (query, content_type, encoding, body, from) in [
        ("", FORM, "", &*plain, "b"),
        (
            "",
            "Application/X-WWW-Form-URLEncoded; charset=utf-8",
            "",
            &plain,
            "b",
        ),
        ("", "multipart/form-data; boundary=x", "", &multipart, "b"),
        ("", FORM, "", &padding, "b"),
        ("", FORM, "gzip", &plain, "b"),
        // Larger than what is searched: the kind is clear, the source is not.
        ("", FORM, "", &huge, ""),
        ("?mount=sha256:01", FORM, "", "from=b", "b"),
        ("?from=b", FORM, "", "mount=sha256:01", "b"),
        ("?from=c", FORM, "", &plain, ""),
        ("?mount=sha256:01&from=c", FORM, "", "from=b", ""),
        ("?mount=%zz&mount=sha256:01&from=b", FORM, "", "", "b"),
        // Frameworks disagree about which of two values counts.
        ("?mount=sha256:01&from=b&from=c", FORM, "", "", ""),
        ("?mount=sha256:01&from=b&from=b", FORM, "", "", "b"),
        ("?mount=sha256:01&mount=sha256:02&from=b", FORM, "", "", "b"),
        ("", FORM, "", "mount=sha256:01&from=b&from=c", ""),
        ("?mount=sha256:01&from=b", FORM, "", "from=b&from=c", ""),
    ] {
        let case =
            Case::new(|_: &Parts| response(201, &[("docker-content-digest", OTHER)], full("")));
        let mut headers = vec![("content-type", content_type)];
        if !encoding.is_empty() {
            headers.push(("content-encoding", encoding));
        }
        let uri = format!("/v2/a/blobs/uploads/{query}");
        let event = case.event(request("POST", &uri, &headers, body)).await;
        let shown = (query, content_type, encoding);
        assert_eq!(event.action, Action::Mount, "{shown:?}");
        assert_eq!(event.target.from_repository, from, "{shown:?}");
        assert_eq!(event.target.descriptor.digest, OTHER);
    }
}

#[tokio::test]
async fn a_digest_that_is_given_twice_is_that_of_the_response_or_omitted() {
    let form = [("content-type", FORM)];
    let octets = [("content-type", "application/octet-stream")];
    for (method, uri, headers, body) in [
        ("PUT", "u?digest=sha256:01&digest=sha256:02", octets, ""),
        ("PUT", "u?digest=sha256:01", form, "digest=sha256:02"),
        ("PUT", "u?digest=&digest=sha256:02", octets, ""),
        ("POST", "?digest=sha256:01&digest=sha256:02", octets, "x"),
        ("POST", "?digest=sha256:01", form, "digest=sha256:02"),
        ("POST", "?mount=sha256:01&mount=sha256:02", octets, ""),
        ("POST", "?mount=sha256:01", form, "mount=sha256:02"),
    ] {
        for stated in ["", OTHER] {
            let case = Case::new(move |_: &Parts| match stated {
                "" => response(201, &[], full("")),
                stated => response(201, &[("docker-content-digest", stated)], full("")),
            });
            let uri = format!("/v2/a/blobs/uploads/{uri}");
            let event = case.event(request(method, &uri, &headers, body)).await;
            assert_eq!(event.target.descriptor.digest, stated, "{method} {uri}");
        }
    }
}

#[tokio::test]
async fn a_lookup_of_tags_costs_one_request_if_the_digest_is_not_there() {
    let case = Case::new(|parts: &Parts| match parts.uri.path() {
        "/v2/a/tags/list" => response(200, &[], full(r#"{"tags":["1","2","3"]}"#)),
        path if path.ends_with(OTHER) => response(404, &[], full("")),
        _ => response(200, &[("docker-content-digest", D)], full("")),
    });
    let mut started = case.set(|layer| layer.untag_lookup(true)).start();
    let delete = |digest| request("DELETE", &format!("/v2/a/manifests/{digest}"), &[], "");
    assert_eq!(started.send(delete(OTHER), 0).await, 404);
    assert_eq!(started.asked(), [format!("HEAD /v2/a/manifests/{OTHER}")]);
    assert!(started.events().is_empty());
    started.send(delete(D), 0).await;
    let events = started.events();
    let tags: Vec<_> = events
        .iter()
        .map(|event| event.target.tag.clone())
        .collect();
    assert_eq!(tags, ["", "1", "2", "3"]);
}

#[tokio::test]
async fn a_reference_that_is_no_digest_of_the_content_is_not_reported() {
    let digest = format!("sha256:{:x}", Sha256::digest(IMAGE));
    let case = Case::new(|_: &Parts| response(201, &[], full("")));
    for (reference, told) in [
        (format!("{digest}%00"), &*digest),
        ("sha256:01".into(), &digest),
        ("sha512:01".into(), "sha512:01"),
    ] {
        let uri = format!("/v2/a/manifests/{reference}");
        let event = case
            .event(request("PUT", &uri, &[("content-type", OCI)], IMAGE))
            .await;
        assert_eq!(event.target.descriptor.digest, told, "{reference}");
        assert_eq!(event.target.tag, "");
    }
}

/// Go takes the first of several types, and what `Connection` names; others do
/// not.
#[tokio::test]
async fn a_form_for_some_registries_only_is_a_mount_from_an_unknown_repository() {
    let case = Case::new(|_: &Parts| response(201, &[("docker-content-digest", OTHER)], full("")));
    let case = case.without_stat();
    let form = ("content-type", FORM);
    let mount = format!("mount={OTHER}&from=b");
    for headers in [
        [form, ("content-type", "text/plain")],
        [("content-type", "text/plain"), form],
        [form, form],
        [form, ("connection", "content-type")],
    ] {
        for query in ["", "?mount=sha256:02&from=other"] {
            let uri = format!("/v2/a/blobs/uploads/{query}");
            let event = case.event(request("POST", &uri, &headers, &*mount)).await;
            assert_eq!(event.action, Action::Mount, "{headers:?}");
            assert_eq!(event.target.descriptor.digest, OTHER);
            assert_eq!(event.target.from_repository, "", "{headers:?}");
        }
        let uri = format!("/v2/a/blobs/uploads/?digest={OTHER}");
        let event = case.event(request("POST", &uri, &headers, "x=1")).await;
        assert_eq!(event.target.length, 0, "{headers:?}");
    }
}
