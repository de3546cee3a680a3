//! Every change and every pull has its event, however it is asked for.

use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::layer::ResponseFacts;

use crate::stage::{BLOB, Body, Case, D, IMAGE, MANIFEST, OCI, OTHER, full, request, response};

type Parts = http::request::Parts;

fn names(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| event.target.repository.clone();
    events.iter().map(name).collect()
}

#[tokio::test]
async fn names_and_tags_outside_of_the_grammar_make_events() {
    let long = "x".repeat(300);
    let tag = "t".repeat(129);
    for (path, name, reference) in [
        ("FOO/app/manifests/v1", "FOO/app", "v1"),
        (
            "Reg.Example.COM/team/app/manifests/v1",
            "Reg.Example.COM/team/app",
            "v1",
        ),
        ("X/steal/manifests/v1", "X/steal", "v1"),
        ("_x/manifests/-x", "_x", "-x"),
        ("a..b/manifests/v1", "a..b", "v1"),
        ("a%20b/manifests/v1", "a b", "v1"),
        ("%C3%A9/manifests/v1%2Fx", "é", "v1/x"),
        (&format!("{long}/manifests/{tag}"), &long, &tag),
    ] {
        let case = Case::new(|_: &Parts| response(201, &[("docker-content-digest", D)], full("")));
        for (method, body, action) in [("PUT", IMAGE, Action::Push), ("DELETE", "", Action::Delete)]
        {
            let uri = format!("/v2/{path}");
            let event = case.event(request(method, &uri, &[], body)).await;
            assert_eq!(event.action, action, "{path}");
            assert_eq!(event.target.repository, name);
            assert_eq!(event.target.tag, reference);
        }
        let case = Case::new(|_: &Parts| response(200, &[("content-type", OCI)], full(IMAGE)));
        for method in ["GET", "HEAD"] {
            let event = case
                .event(request(method, &format!("/v2/{path}"), &[], ""))
                .await;
            assert_eq!(
                (event.action, &*event.target.repository),
                (Action::Pull, name)
            );
        }
    }
}

#[tokio::test]
async fn a_mount_from_a_name_outside_of_the_grammar_has_its_source() {
    let case = Case::new(|_: &Parts| response(201, &[("docker-content-digest", OTHER)], full("")));
    let uri = format!("/v2/Team/App/blobs/uploads?mount={OTHER}&from=Reg.Example.COM/X");
    let event = case.event(request("POST", &uri, &[], "")).await;
    assert_eq!(event.action, Action::Mount);
    assert_eq!(event.target.repository, "Team/App");
    assert_eq!(event.target.from_repository, "Reg.Example.COM/X");
}

#[tokio::test]
async fn a_name_cannot_be_forged_with_encoded_slashes() {
    let uri = "/v2/evil%2F..%2Fvictim/manifests/v1";
    for (location, name) in [
        ("", "evil/../victim"),
        ("/v2/evil%2F..%2Fvictim/manifests/v1", "evil/../victim"),
        ("/v2/evil/manifests/v1", "evil"),
        (
            "https://r.example.com/v2/victim/manifests/sha256:1",
            "victim",
        ),
        (
            "https://r.example.com/other/v2/evil/manifests/v1",
            "evil/../victim",
        ),
    ] {
        let headers = [("location", location)];
        let case = Case::new(move |_: &Parts| response(201, &headers, full("")));
        let events = case.events(request("PUT", uri, &[], IMAGE)).await;
        assert_eq!(names(&events), [name], "{location}");
    }
    // A redirect only says where to go.
    let case = Case::new(|_: &Parts| {
        response(307, &[("location", "/v2/victim/blobs/sha256:01")], full(""))
    });
    let event = case
        .event(request("GET", "/v2/evil/blobs/sha256:01", &[], ""))
        .await;
    assert_eq!(event.target.repository, "evil");
    // What the registry itself states counts before everything.
    let case = Case::new(|_: &Parts| {
        let mut response = response(201, &[("location", "/v2/b/manifests/v1")], full(""));
        let facts = ResponseFacts::new().repository("c");
        response.extensions_mut().insert(facts);
        response
    });
    let events = case
        .events(request("PUT", "/v2/a/manifests/v1", &[], IMAGE))
        .await;
    assert_eq!(names(&events), ["c"]);
}

#[tokio::test]
async fn a_name_with_two_readings_is_left_out() {
    let case = Case::new(|_: &Parts| response(201, &[("docker-content-digest", D)], full("")));
    let uri = "/v2/a/manifests/b%2Fmanifests%2Fc";
    let event = case.event(request("PUT", uri, &[], IMAGE)).await;
    assert_eq!((&*event.target.repository, &*event.target.tag), ("", ""));
    assert_eq!(event.target.descriptor.digest, D);
}

#[tokio::test]
async fn a_manifest_in_ranges_is_pulled() {
    let length = IMAGE.len();
    let last = length - 1;
    for (range, sent) in [
        (format!("bytes 0-{last}/{length}"), IMAGE),
        (format!("bytes 0-4/{length}"), &IMAGE[..5]),
    ] {
        let case = Case::new(move |_: &Parts| {
            let headers = [
                ("content-type", OCI),
                ("content-range", &*range),
                ("docker-content-digest", D),
            ];
            response(206, &headers, full(sent))
        });
        let get = request("GET", MANIFEST, &[("range", "bytes=0-")], "");
        let event = case.without_stat().event(get).await;
        assert_eq!((event.action, &*event.target.tag), (Action::Pull, "t"));
        assert_eq!(event.target.length, length as u64);
        assert_eq!(event.target.descriptor.media_type, OCI);
    }
    let case = Case::new(|_: &Parts| response(203, &[("content-type", OCI)], full(IMAGE)));
    assert_eq!(
        case.events(request("GET", MANIFEST, &[], "")).await.len(),
        1
    );
}

/// Frames that end without saying so before.
fn frames(frames: &'static [&'static str], error: bool) -> Body {
    let frames = frames.iter().map(|it| Ok(Frame::data((*it).into())));
    let error = error.then(|| Err(tower::BoxError::from("cut off")));
    StreamBody::new(futures_util::stream::iter(frames.chain(error))).boxed()
}

#[tokio::test]
async fn a_client_with_all_bytes_has_its_event_even_if_it_never_asks_for_the_end() {
    for content in [&["hello"][..], &["he", "llo"], &["", "hel", "", "lo", ""]] {
        let case = Case::new(move |_: &Parts| response(200, &[], frames(content, false)));
        let complete = case.set(|layer| layer.aborted_pulls(false));
        let mut started = complete.start();
        let data = content.iter().filter(|it| !it.is_empty()).count();
        let mut read = 0;
        // Reads until the last byte is there, and not one frame more.
        let mut body = started
            .response(request("GET", BLOB, &[], ""))
            .await
            .into_body();
        while read < data {
            assert!(started.events().is_empty(), "the pull is not complete");
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            read += usize::from(!frame.is_empty());
        }
        drop(body);
        let events = started.events();
        assert_eq!(events.len(), 1, "{content:?}");
        assert_eq!(events[0].target.length, 5);
    }
}

#[tokio::test]
async fn a_pull_that_is_cut_off_has_an_event_unless_only_complete_ones_count() {
    for error in [false, true] {
        let case = Case::new(move |_: &Parts| {
            let headers: &[_] = if error {
                &[("content-length", "9")]
            } else {
                &[]
            };
            response(200, headers, frames(&["hel", "lo"], error))
        });
        let mut started = case.start();
        let mut body = started
            .response(request("GET", BLOB, &[], ""))
            .await
            .into_body();
        let mut got = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            got.extend(frame.into_data().unwrap());
        }
        // What was held back comes before the error.
        assert_eq!(got, b"hello");
        assert_eq!(started.events().len(), 1);
    }
    let parts = |first, last| {
        Case::new(move |_: &Parts| {
            let range = format!("bytes {first}-{last}/10");
            let headers = [("content-range", &*range), ("content-length", "5")];
            response(206, &headers, full("01234"))
        })
    };
    for (first, last) in [(0, 4), (5, 9)] {
        for frames in [0, 1] {
            let events = parts(first, last)
                .read(request("GET", BLOB, &[], ""), frames)
                .await;
            assert_eq!(events.len(), 1);
            assert_eq!(events[0].target.length, 10, "the size is that of the blob");
        }
    }
}

#[tokio::test]
async fn a_redirected_pull_has_its_event_before_the_client_sees_where_to_go() {
    for status in [302, 303, 307] {
        let case = Case::new(move |_: &Parts| {
            let headers = [("location", "https://storage/x"), ("content-length", "99")];
            response(status, &headers, full("see there"))
        });
        let events = case.read(request("GET", BLOB, &[], ""), 0).await;
        assert_eq!(events.len(), 1, "{status}");
    }
}

#[tokio::test]
async fn all_tags_of_one_push_have_events() {
    let tags: Vec<_> = (0..150).map(|n| format!("t{n}")).collect();
    let query: Vec<_> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let uri = format!("/v2/a/manifests/{D}?{}", query.join("&"));
    let set = tags.clone();
    let case = Case::new(move |_: &Parts| {
        let headers: Vec<_> = set.iter().map(|tag| ("oci-tag", &**tag)).collect();
        response(201, &headers, full(""))
    });
    let events = case.events(request("PUT", &uri, &[], IMAGE)).await;
    let told: Vec<_> = events
        .iter()
        .map(|event| event.target.tag.clone())
        .collect();
    assert_eq!(told, tags);
}

#[tokio::test]
async fn a_deleted_repository_is_reported_with_any_delete() {
    for (uri, more) in [
        ("/v2/a", 0),
        ("/api/repositories/a", 0),
        ("/v2/a/blobs/uploads/1", 0),
        (MANIFEST, 1),
        (BLOB, 1),
    ] {
        let case = Case::new(|_: &Parts| {
            let mut response = response(202, &[], full(""));
            let facts = ResponseFacts::new().repository_deleted("a");
            response.extensions_mut().insert(facts);
            response
        });
        let events = case.events(request("DELETE", uri, &[], "")).await;
        assert_eq!(events.len(), more + 1, "{uri}");
        let last = &events[more];
        assert_eq!(
            last.kind(),
            tower_registry_notifications::event::Kind::Repository
        );
        assert_eq!(
            (last.action, &*last.target.repository),
            (Action::Delete, "a")
        );
        // Other methods delete nothing.
        let events = case.events(request("GET", uri, &[], "")).await;
        assert!(events.iter().all(|event| event.action == Action::Pull));
    }
}
