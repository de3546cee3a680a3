//! How a stream is created, and compared with the settings.

use std::time::Duration;

use tower_registry_notifications::jetstream::JetStream;

use crate::contents::context;
use crate::server::{Server, Version, free_port};

#[tokio::test]
async fn a_stream_is_created_and_a_later_one_must_fit() {
    for version in Version::ALL {
        let server = Server::start(version);
        let settings = JetStream::new(server.url());
        let sink = settings.sink().await.unwrap();
        let name = match version {
            Version::Old => "REGISTRY_NOTIFICATIONS_16",
            Version::New => "REGISTRY_NOTIFICATIONS",
        };
        assert_eq!(sink.status().stream, name);
        // What the server returns never equals what was asked for: it must fit all
        // the same.
        let again = settings.sink().await.unwrap();
        assert_eq!(again.status().stream, name);

        let hour = Duration::from_secs(3600);
        for (other, word) in [
            (
                settings.clone().partitions(8),
                "it has 16 partitions, not 8",
            ),
            (settings.clone().max_age(hour), "max_age"),
            (settings.clone().max_bytes(5000), "max_bytes"),
            (settings.clone().duplicate_window(hour), "duplicate_window"),
            (
                settings.clone().partitions(8).stream("OTHER"),
                "it has 16 partitions, not 8",
            ),
        ] {
            let error = other.sink().await.unwrap_err();
            assert!(error.is_mismatch(), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
        let names = context(&server.url()).await;
        let stream = names.get_stream(name).await.unwrap();
        assert_eq!(stream.cached_info().state.messages, 0);
        assert_eq!(stream.cached_info().config.max_age, 7 * 24 * hour);
    }
}

/// A stream of another purpose that has the subjects, or the name.
#[tokio::test]
async fn a_stream_of_somebody_else_is_left_alone() {
    for version in Version::ALL {
        let server = Server::start(version);
        let context = context(&server.url()).await;
        let name = match version {
            Version::Old => "REGISTRY_NOTIFICATIONS_16",
            Version::New => "REGISTRY_NOTIFICATIONS",
        };
        for (name, subject, word) in [
            ("OTHERS", "registry.notifications.>", "how many partitions"),
            (name, "x.y", "subjects is [\"x.y\"]"),
        ] {
            let config = async_nats::jetstream::stream::Config {
                name: name.into(),
                subjects: vec![subject.into()],
                ..Default::default()
            };
            context.create_stream(config).await.unwrap();
            let error = JetStream::new(server.url()).sink().await.unwrap_err();
            assert!(error.is_mismatch(), "{error}");
            assert!(error.to_string().contains(word), "{error}");
            context.delete_stream(name).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_stream_of_an_old_server_is_used_after_its_update() {
    let mut server = Server::start(Version::Old);
    let settings = JetStream::new(server.url());
    settings.sink().await.unwrap();
    server.update(Version::New);
    let sink = settings.sink().await.unwrap();
    assert_eq!(sink.status().stream, "REGISTRY_NOTIFICATIONS_16");
    let error = settings.partitions(8).sink().await.unwrap_err();
    assert!(error.is_mismatch(), "{error}");
}

#[tokio::test]
async fn what_keeps_a_sink_from_starting_is_told_apart() {
    let timeout = Duration::from_millis(500);
    let settings = |url: &str| JetStream::new(url).connect_timeout(timeout);
    let nobody = format!("nats://127.0.0.1:{}", free_port());
    let error = settings(&nobody).sink().await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    assert!(error.to_string().contains("start one there"), "{error}");

    for version in Version::ALL {
        let plain = Server::start_with(version, &[]);
        let error = settings(&plain.url()).sink().await.unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        assert!(error.to_string().contains("--jetstream"), "{error}");

        let options = ["--jetstream", "--user", "me", "--pass", "right"];
        let guarded = Server::start_with(version, &options);
        let error = settings(&guarded.url());
        let error = error
            .user_and_password("me", "hush")
            .sink()
            .await
            .unwrap_err();
        assert!(error.is_refused(), "{error}");
        assert!(error.to_string().contains("credentials file"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        let url = guarded.url().replace("//", "//me:right@");
        let sink = settings(&url).sink().await.unwrap();
        assert!(!format!("{sink:?}").contains("right"), "{sink:?}");
    }

    for wrong in [
        "",
        "ftp://me:hush@h",
        "nats://me:hush@h:x",
        "nats://me:hush@",
    ] {
        let error = settings(wrong).sink().await.unwrap_err();
        assert!(error.is_setting() || error.is_unreachable(), "{error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}
