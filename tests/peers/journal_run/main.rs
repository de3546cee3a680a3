//! The example `journal` as operators run it: in processes of its own.

#![allow(clippy::unwrap_used)]

#[path = "../example.rs"]
mod example;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::journal::Journal;
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| example::built("journal"))
}

fn run(path: &Path, arguments: &str) -> Output {
    let mut command = Command::new(program());
    command.arg(path).args(arguments.split_whitespace());
    command.output().unwrap()
}

/// What a command prints that succeeds.
fn printed(path: &Path, arguments: &str) -> String {
    let output = run(path, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same as JSON, one value a line.
fn values(path: &Path, arguments: &str) -> Vec<Value> {
    let text = printed(path, &format!("{arguments} --json"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(path: &Path, arguments: &str) -> u64 {
    let [value] = &values(path, arguments)[..] else {
        panic!("{arguments} prints not one line");
    };
    value["events"].as_u64().unwrap()
}

/// What a command says that fails.
fn refused(path: &Path, arguments: &str) -> String {
    let output = run(path, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments}");
    assert!(output.stdout.is_empty(), "{arguments}");
    String::from_utf8(output.stderr).unwrap()
}

/// How many events wait for each endpoint.
fn waiting(path: &Path) -> Vec<(String, u64)> {
    let status = values(path, "status").remove(0);
    let endpoints = status["endpoints"].as_array().unwrap();
    let waiting = endpoints.iter().map(|it| {
        let name = it["name"].as_str().unwrap().to_owned();
        (name, it["waiting"].as_u64().unwrap())
    });
    waiting.collect()
}

fn endpoint(name: &'static str) -> Endpoint {
    let client = tower::service_fn(move |request: Request<Bytes>| async move {
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let status = match name {
            "ci" if body.contains("rejected") => 400,
            "ci" => 200,
            _ => 503,
        };
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = status.try_into().unwrap();
        Ok::<_, std::io::Error>(response)
    });
    Endpoint::new(name, "http://receiver.example.com").client(client)
}

/// A journal with four events that `ci` has and one that it has rejected, which all
/// wait for `audit` and `old`.
async fn filled(path: &Path) {
    let options = Journal::options().retention(Duration::from_secs(3600));
    let journal = options.open(path).unwrap();
    let mut builder = Notifier::builder().journal(journal);
    for name in ["ci", "audit", "old"] {
        builder = builder.endpoint(endpoint(name));
    }
    let notifier = builder.build().unwrap();
    for tag in ["v1", "v2", "rejected", "v3", "v4"] {
        let mut event = Event::new(Action::Push);
        event.target.repository = "library/alpine".into();
        event.target.tag = tag.into();
        event.request.host = "registry.example.com".into();
        notifier.sink().write(&event.into()).await.unwrap();
    }
    while notifier.status().endpoints[0].pending > 0 {
        tokio::task::yield_now().await;
    }
    notifier.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_operator_looks_into_a_journal_and_mends_what_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("journal");
    filled(path).await;

    let text = printed(path, "status");
    assert!(text.starts_with("5 events in "), "{text}");
    assert!(text.contains(", 1 dead letters in "), "{text}");
    for line in ["ci: 0 wait", "audit: 5 wait", "old: 5 wait"] {
        assert!(text.lines().any(|it| it == line), "{text}");
    }
    let text = printed(path, "list --endpoint audit");
    assert_eq!(text.lines().count(), 5);
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("audit: ") && first.contains(" push library/alpine v1 "),
        "{text}"
    );
    let listed = values(path, "list");
    assert_eq!(listed.len(), 10);
    assert_eq!(listed[0]["waiting"]["number"], 1);
    let id = |index: usize| {
        listed[index]["waiting"]["event"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    let text = printed(path, "dead list");
    assert!(
        text.starts_with("1 ci: rejected (1 attempt, 400 Bad Request): "),
        "{text}"
    );
    assert!(text.contains(" library/alpine rejected "), "{text}");
    let letters = values(path, "dead list --endpoint ci --reason rejected");
    assert_eq!(letters[0]["letter"]["number"], 3);
    for none in ["--endpoint audit", "--reason gave_up", "--older-than 3600"] {
        assert_eq!(printed(path, &format!("dead list {none}")), "", "{none}");
        assert_eq!(count(path, &format!("dead send {none}")), 0);
        assert_eq!(count(path, &format!("dead purge {none}")), 0);
    }
    assert_eq!(printed(path, "dead send"), "1 events sent again\n");
    assert_eq!(printed(path, "dead list"), "");
    assert_eq!(waiting(path)[0], ("ci".to_owned(), 1));

    // What waits is not sent twice. The event that it has rejected is kept too.
    assert_eq!(count(path, "replay ci"), 5);
    assert_eq!(count(path, &format!("replay ci --id {}", id(3))), 2);
    assert_eq!(count(path, "replay ci --from 2100-01-01T00:00:00Z"), 0);
    assert_eq!(count(path, "replay audit"), 0);
    assert_eq!(waiting(path)[0], ("ci".to_owned(), 8));

    assert_eq!(printed(path, "move old audit"), "5 events moved\n");
    let names = [("ci", 8), ("audit", 10)].map(|(name, events)| (name.to_owned(), events));
    assert_eq!(waiting(path), names);
    assert_eq!(count(path, "purge audit"), 10);
    assert_eq!(waiting(path), names[..1]);

    let text = printed(path, "check");
    assert!(text.starts_with("Intact: "), "{text}");
    let check = values(path, "check").remove(0);
    assert_eq!(check["pages_intact"], true);
    assert_eq!(
        (&check["damaged"], &check["missing"]),
        (&0.into(), &0.into())
    );
    // It is rejected as a new event, as one that was sent again and as a replayed one.
    filled(path).await;
    assert_eq!(printed(path, "dead purge"), "3 events removed\n");
}

#[tokio::test]
async fn the_tool_says_why_it_cannot_do_something() {
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("journal");
    let shown = path.display().to_string();
    let missing = refused(path, "status");
    assert!(
        missing.contains(&format!("there is no file {shown}")),
        "{missing}"
    );
    assert!(!path.exists());
    let folder_itself = refused(folder.path(), "status");
    assert!(
        folder_itself.contains("there is no file"),
        "{folder_itself}"
    );

    filled(path).await;
    for (arguments, part) in [
        ("", "a command is needed"),
        ("dead", "no such command: dead"),
        ("status now", "no such command: status now"),
        ("replay nobody", "knows no endpoint \"nobody\""),
        ("purge nobody", "knows no endpoint \"nobody\""),
        ("move old nobody", "knows no endpoint \"nobody\""),
        ("move old old", "cannot be moved to itself"),
        ("replay ci --id none", "no event \"none\" is kept"),
        ("replay ci --from yesterday", "not a time"),
        ("dead list --reason sad", "no such reason: sad"),
        ("dead list --older-than old", "not a number of seconds: old"),
        ("list --since", "--since needs a value"),
        ("list --since 1", "no such option: --since"),
        ("list --endpoint nobody", "the journal knows no endpoint"),
        // An option that is ignored would make more of them go than the user meant.
        ("dead purge --id x", "dead takes no --id"),
        (
            "dead purge --from 2026-11-26T08:00:00Z",
            "dead takes no --from",
        ),
        ("purge old --older-than 5", "purge takes no --older-than"),
        ("list --reason rejected", "list takes no --reason"),
        (
            "replay ci --id x --from 2026-11-26T08:00:00Z",
            "one of --from and --id",
        ),
    ] {
        let error = refused(path, arguments);
        assert!(error.contains(part), "{arguments}: {error}");
    }
    let open = Journal::open(path).unwrap();
    let locked = refused(path, "status");
    assert!(
        locked.contains(&shown) && locked.contains("stop the registry first"),
        "{locked}"
    );
    drop(open);

    // The version of the storage, in both of its headers.
    let intact = std::fs::read(path).unwrap();
    let mut later = intact.clone();
    (later[64], later[192]) = (200, 200);
    std::fs::write(path, &later).unwrap();
    let newer = refused(path, "status");
    assert!(newer.contains("was written by a later release"), "{newer}");
    assert_eq!(std::fs::read(path).unwrap(), later);
    std::fs::write(path, &intact[..intact.len() / 3]).unwrap();
    let cut = refused(path, "check");
    assert!(cut.contains(&shown), "{cut}");
    std::fs::write(path, "something else").unwrap();
    let other = refused(path, "check");
    assert!(other.contains("is not a journal"), "{other}");
}

#[tokio::test]
async fn a_check_of_a_damaged_journal_ends_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("journal");
    filled(path).await;
    let mut bytes = std::fs::read(path).unwrap();
    // Within an event of every chunk, as it is on the disk.
    let name = b"library/alpine";
    let found: Vec<_> = { 0..bytes.len() - name.len() }
        .filter(|it| bytes[*it..].starts_with(name))
        .collect();
    assert!(!found.is_empty());
    found.iter().for_each(|it| bytes[*it] ^= 1);
    std::fs::write(path, bytes).unwrap();
    let output = run(path, "check");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("is damaged"), "{errors}");
    assert!(errors.contains(&path.display().to_string()), "{errors}");
}
