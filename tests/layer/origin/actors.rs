//! Actors.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Response;
use tower_registry_notifications::event::ActorRecord;

use super::{BASIC, HOST, Made, PLAIN, head, made, made_by};
use crate::stage::Set;

#[track_caller]
fn assert_actor(made: &Made, name: &str, missing: &[&str]) {
    assert_eq!(made.event.actor.name, name);
    assert_eq!(made.missing, missing);
    assert!(!format!("{:?}", made.event).contains("secret"));
}

#[test]
fn authorization_that_connection_names_is_no_actor() {
    assert_actor(&made(PLAIN, head(&[HOST, BASIC])), "me", &[]);
    for connection in [
        "Authorization",
        "close, authorization",
        "x,AUTHORIZATION ,y",
    ] {
        let request = head(&[HOST, BASIC, ("connection", connection)]);
        assert_actor(&made(PLAIN, request), "", &["actor"]);
    }
    let request = head(&[HOST, BASIC, ("connection", "keep-alive")]);
    assert_actor(&made(PLAIN, request), "me", &[]);
}

#[test]
fn several_authorization_headers_are_no_actor() {
    for second in [BASIC, ("authorization", "Bearer x"), ("authorization", "")] {
        for request in [head(&[HOST, BASIC, second]), head(&[HOST, second, BASIC])] {
            assert_actor(&made(PLAIN, request), "", &["actor"]);
        }
    }
}

#[test]
fn an_actor_from_another_source_is_not_missing() {
    let twice = || head(&[HOST, BASIC, BASIC]);
    let mut answer = Response::new(());
    answer.extensions_mut().insert(ActorRecord::new("alice"));
    assert_actor(&made_by(PLAIN, answer, twice()), "alice", &[]);
    let closure: Set = |layer| layer.actor(|_| Some(ActorRecord::new("bob")));
    assert_actor(&made(closure, twice()), "bob", &[]);
    let mut request = twice();
    request.extensions_mut().insert(ActorRecord::new("carol"));
    assert_actor(&made(PLAIN, request), "carol", &[]);
}

#[test]
fn malformed_credentials_are_no_actor() {
    let basic = |pair: &[u8]| format!("Basic {}", STANDARD.encode(pair));
    for odd in [
        "Basic  bWU6c2VjcmV0".into(),
        "Basic bWU6c2VjcmV0, Basic bWU6c2VjcmV0".into(),
        "Basic \u{e9}".into(),
        "Basic bWU".into(),
        basic(b"me\n:secret"),
        basic(b"m\xe9:secret"),
        basic(&[b"n".repeat(2000), b":secret".to_vec()].concat()),
        basic(&[b"me:".to_vec(), b"secret".repeat(100_000)].concat()),
    ] {
        let made = made(PLAIN, head(&[HOST, ("authorization", &odd)]));
        assert_actor(&made, "", &["actor"]);
    }
    let empty = head(&[HOST, ("authorization", &basic(b":secret"))]);
    assert_actor(&made(PLAIN, empty), "", &[]);
}

#[test]
fn the_subject_of_a_bearer_token_is_an_actor_on_request() {
    let token = |claims: &str| format!("Bearer e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let on: Set = |layer| layer.bearer_actor(true);
    let bearer = |token: &str| head(&[HOST, ("authorization", token)]);
    let valid = token(r#"{"iss":"secret","sub":"alice"}"#);
    assert_actor(&made(PLAIN, bearer(&valid)), "", &[]);
    assert_actor(&made(on, bearer(&valid)), "alice", &[]);
    for odd in [
        token(r#"{"sub":"alice","sub":"bob"}"#),
        token(r#"{"sub":["alice"]}"#),
        token("[]"),
        "Bearer opaque".into(),
    ] {
        assert_actor(&made(on, bearer(&odd)), "", &["actor"]);
    }
}
