//! When an event fires, and what its target is.

use tower_registry_notifications::event::{Event, Kind};
use tower_registry_notifications::layer::ResponseFacts;

use crate::stage::{
    BLOB, Case, D, IMAGE, MANIFEST, OCI, OTHER, always, frames, full, request, response,
};

#[tokio::test]
async fn a_head_is_a_pull_unless_turned_off() {
    let head = || request("HEAD", BLOB, &[], "");
    let case = always!(200, &[("content-length", "7")], full(""));
    assert_eq!(case.event(head()).await.target.length, 7);
    let case = case.set(|layer| layer.head_pulls(false));
    assert!(case.events(head()).await.is_empty());
}

#[tokio::test]
async fn a_pull_ends_with_its_last_byte() {
    let get = || request("GET", BLOB, &[], "");
    for sized in [true, false] {
        let case = Case::new(move |_: &http::request::Parts| match sized {
            true => response(200, &[("content-length", "4")], frames(["ab", "cd"])),
            false => response(200, &[], frames(["ab", "cd"])),
        });
        let complete = case.set(|layer| layer.aborted_pulls(false));
        assert!(complete.read(get(), 1).await.is_empty());
        assert_eq!(complete.read(get(), 2).await.len(), 1);
        assert_eq!(complete.event(get()).await.target.length, 4);
        let case = complete.set(|layer| layer);
        for read in [0, 1, 2, 3] {
            assert_eq!(case.read(get(), read).await.len(), 1, "{read} frames");
        }
        assert_eq!(case.event(get()).await.target.length, 4);
    }
    let empty = always!(200, &[("content-length", "0")], full(""));
    assert_eq!(empty.read(get(), 0).await.len(), 1);
}

#[tokio::test]
async fn which_responses_with_a_blob_are_pulls() {
    let get = |status, headers: &'static [(&str, &str)]| async move {
        let case = Case::new(move |parts: &http::request::Parts| {
            match parts.headers.contains_key("user-agent") {
                // The stat, which knows more.
                true => response(200, &[("content-length", "9")], full("")),
                false => response(status, headers, full("xx")),
            }
        });
        let events = case.events(request("GET", BLOB, &[], "")).await;
        events.first().map(|event| event.target.length)
    };
    assert_eq!(get(200, &[]).await, Some(2));
    let part = &[("content-range", "bytes 0-1/1234"), ("content-type", "a/b")];
    assert_eq!(get(206, part).await, Some(1234));
    for status in [302, 303, 307] {
        assert_eq!(get(status, &[("content-length", "2")]).await, Some(9));
    }
    let encoded = &[("content-encoding", "gzip"), ("content-length", "2")];
    assert_eq!(get(200, encoded).await, Some(9));
    for status in [204, 301, 304, 308, 401, 403, 404, 416, 500] {
        assert_eq!(get(status, &[]).await, None, "{status}");
    }
}

#[tokio::test]
async fn error_responses_make_no_events_whatever_they_name() {
    let by_digest = format!("/v2/a/manifests/{D}?tag=a");
    let requests = [
        ("PUT", MANIFEST),
        ("PUT", &by_digest),
        ("DELETE", MANIFEST),
        ("GET", MANIFEST),
        ("HEAD", MANIFEST),
        ("DELETE", BLOB),
        ("HEAD", BLOB),
        ("POST", "/v2/a/blobs/uploads/?digest=sha256:01"),
        ("POST", "/v2/a/blobs/uploads/?mount=sha256:01&from=b"),
        ("PUT", "/v2/a/blobs/uploads/id?digest=sha256:01"),
    ];
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let named = &[("docker-content-digest", D), ("oci-tag", "a")];
        let case = always!(status, named, full("")).references();
        for (method, uri) in requests {
            let request = request(method, uri, &[("content-type", OCI)], IMAGE);
            let events = case.events(request).await;
            assert!(events.is_empty(), "{method} {uri} {status}: {events:?}");
        }
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

#[tokio::test]
async fn which_responses_to_an_upload_are_pushes_and_mounts() {
    let told = |status, query: &'static str, header, body: &'static str| async move {
        let case = Case::new(move |parts: &http::request::Parts| match &parts.method {
            // The stat.
            &http::Method::HEAD => {
                let headers = [("content-length", "9"), OCTETS];
                response(200, &headers, full(""))
            }
            _ => response(status, &[("docker-content-digest", OTHER)], full("")),
        });
        let uri = format!("/v2/a/blobs/uploads/{query}");
        let events = case.events(request("POST", &uri, &[header], body)).await;
        let tell = |event: &Event| {
            let target = &event.target;
            let kind = &target.descriptor.media_type;
            let size = target.length;
            format!(
                "{} {} {size} {kind} {}",
                event.action, target.descriptor.digest, target.from_repository
            )
        };
        events.first().map_or_else(String::new, tell)
    };
    let push = "push sha256:01 4 application/octet-stream ";
    let by_stat = "push sha256:01 9 application/octet-stream ";
    let mount = "mount sha256:01 9 application/octet-stream ";
    assert_eq!(told(201, "?digest=sha256:02", OCTETS, "blob").await, push);
    // curl calls every body a form, and Go reads it as one before the blob.
    let told_form = told(201, "?digest=sha256:02", FORM, "blob").await;
    assert_eq!(told_form, by_stat);
    assert_eq!(told(202, "?digest=sha256:02", OCTETS, "blob").await, "");
    assert_eq!(told(201, "", FORM, "digest=sha256%3A02").await, by_stat);
    assert_eq!(told(201, "", OCTETS, "").await, by_stat);
    assert_eq!(told(202, "", OCTETS, "").await, "");
    assert_eq!(told(201, "?mount=sha256:02", OCTETS, "").await, mount);
    let from = format!("{mount}b/c");
    assert_eq!(
        told(201, "?mount=sha256:02&from=b/c", OCTETS, "").await,
        from
    );
    assert_eq!(
        told(201, "", FORM, "from=b%2Fc&mount=sha256:02").await,
        from
    );
    assert_eq!(told(202, "?mount=sha256:02&from=b/c", OCTETS, "").await, "");
}

#[tokio::test]
async fn tags_in_a_push_by_digest_count_if_the_registry_set_them() {
    let put = |uri: String| request("PUT", &uri, &[("content-type", OCI)], IMAGE);
    let uri = format!("/v2/a/manifests/{D}?tag=a&tag=b&tag=c");
    let case = always!(
        201,
        &[("oci-tag", "a"), ("oci-tag", "c"), ("oci-tag", "z")],
        full("")
    );
    let events = case.events(put(uri.clone())).await;
    let tags: Vec<_> = events.iter().map(|event| &*event.target.tag).collect();
    assert_eq!(tags, ["a", "c"]);
    assert_eq!(events[0].request, events[1].request);
    assert_ne!(events[0].id, events[1].id);
    // A registry that does not know the parameter has pushed, and tagged nothing.
    assert_eq!(
        always!(201, &[], full("")).event(put(uri)).await.target.tag,
        ""
    );
}

#[tokio::test]
async fn a_deletion_has_nothing_but_repository_and_tag_or_digest() {
    let delete = |uri: &str| request("DELETE", uri, &[], "");
    let case = Case::new(|parts: &http::request::Parts| {
        let mut response = response(202, &[], full(""));
        let facts = match parts.uri.path() {
            "/api/repositories/a/b" => ResponseFacts::new().repository_deleted("a/b"),
            path if path.contains(D) => ResponseFacts::new().untagged(["x", "y"]),
            _ => return response,
        };
        response.extensions_mut().insert(facts);
        response
    });
    let told = |events: Vec<Event>| -> Vec<String> {
        let tell = |event: &Event| {
            let target = &event.target;
            assert!(target.url.is_empty() && target.length == 0);
            let digest = &target.descriptor.digest;
            format!(
                "{} {} {digest} {}",
                event.action, target.repository, target.tag
            )
        };
        events.iter().map(tell).collect()
    };
    assert_eq!(told(case.events(delete(MANIFEST)).await), ["delete a  t"]);
    assert_eq!(
        told(case.events(delete(BLOB)).await),
        ["delete a sha256:01 "]
    );
    let kind = case.events(delete(BLOB)).await[0].kind();
    assert_eq!(kind, Kind::Blob, "though it looks like a manifest's");
    let events = case.events(delete(&format!("/v2/a/manifests/{D}"))).await;
    assert_eq!(
        told(events),
        [&*format!("delete a {D} "), "delete a  x", "delete a  y"]
    );
    let repository = case.events(delete("/api/repositories/a/b")).await;
    assert_eq!(told(repository), ["delete a/b  "]);
    assert!(case.events(delete("/api/users/a")).await.is_empty());
}
