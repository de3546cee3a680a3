//! Events as the examples print them.

use std::future::{pending, ready};
use std::time::{Duration, UNIX_EPOCH};

use examples::print;
use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::sink::{ChannelSink, Sink as _};

/// What is printed of an event whose texts clients have chosen.
async fn printed(text: &str, json: bool) -> String {
    let mut event = Event::new(Action::Push);
    event.target.repository = text.into();
    event.target.tag = text.into();
    event.actor.name = text.into();
    event.request.user_agent = text.into();
    let (sink, events) = ChannelSink::new(1);
    sink.write(&event.into()).await.unwrap();
    drop(sink);
    let mut out = Vec::new();
    let end = pending::<()>();
    print::print_to(&mut out, events, json, end).await.unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn all_that_a_terminal_obeys_is_escaped_in_every_field() {
    let obeyed = (0..0x20).chain(0x7f..0xa0).chain([0x61c, 0x200e, 0x200f]);
    let obeyed = obeyed.chain(0x202a..0x202f).chain(0x2066..0x206a);
    for c in obeyed.map(|code| char::from_u32(code).unwrap()) {
        for json in [false, true] {
            let line = printed(&format!("a{c}b"), json).await;
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains(c), "{c:?} {line:?}");
            assert!(json || line.matches("\\u").count() == 4, "{c:?} {line:?}");
        }
    }
}

#[tokio::test]
async fn what_a_terminal_would_obey_is_escaped() {
    let hostile = "a\u{1b}[2Jb\u{7}c\u{9b}d\u{7f}e\rf\u{202e}g";
    for json in [false, true] {
        let line = printed(hostile, json).await;
        let line = line.strip_suffix('\n').unwrap();
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.contains('\u{202e}'), "{line:?}");
        let escaped = r"a\u001b[2Jb\u0007c\u009bd\u007fe";
        assert!(line.contains(escaped), "{line:?}");
    }
    // JSON is the same when it is read back.
    let json = printed(hostile, true).await;
    let event: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(event["target"]["repository"], hostile);
    // Other texts are as they are.
    assert!(printed("équipe/事件", false).await.contains("équipe/事件"));
}

#[tokio::test]
async fn at_the_end_the_events_that_have_come_are_printed_and_no_others_awaited() {
    let (sink, events) = ChannelSink::new(2);
    for name in ["a", "b"] {
        let mut event = Event::new(Action::Push);
        event.target.repository = name.into();
        sink.write(&event.into()).await.unwrap();
    }
    let mut out = Vec::new();
    print::print_to(&mut out, events, false, ready(()))
        .await
        .unwrap();
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn the_time_is_that_of_the_day_in_utc_if_it_can_be_written() {
    let after = |seconds: u64| UNIX_EPOCH.checked_add(Duration::from_millis(seconds * 1000 + 5));
    let before = UNIX_EPOCH.checked_sub(Duration::from_secs(1));
    for (timestamp, shown) in [
        (after(86_400 + 3_661), "01:01:01.005Z  push"),
        (after(300_000_000_000), "?  push"),
        (before, "?  push"),
    ] {
        let mut event = Event::new(Action::Push);
        event.timestamp = timestamp.unwrap();
        let (sink, events) = ChannelSink::new(1);
        sink.write(&event.into()).await.unwrap();
        drop(sink);
        let mut out = Vec::new();
        let end = pending::<()>();
        print::print_to(&mut out, events, false, end).await.unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.starts_with(shown), "{line}");
    }
}
