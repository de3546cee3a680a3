//! How the proxy is run: options, signals, and what operators see.

use std::time::Duration;

use examples::flags::{self, Flags as _};
use examples::{admin, prometheus, serve, signal};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower_registry_notifications::{Endpoint, Notifier};

use crate::proxy_options::Options;
use crate::stage::*;

/// A proxy whose upstream has got a request and answers when it may.
struct UnderWay {
    answer: mpsc::Sender<()>,
    address: std::net::SocketAddr,
    served: tokio::task::JoinHandle<bool>,
    client: tokio::task::JoinHandle<Response<bytes::Bytes>>,
}

async fn under_way(stop: impl Future + Send + 'static, drain: Duration) -> UnderWay {
    let (arrived, mut arrival) = mpsc::channel(1);
    let (answer, may_answer) = mpsc::channel::<()>(1);
    let may_answer = std::sync::Arc::new(tokio::sync::Mutex::new(may_answer));
    let upstream = upstream(None, move |_: Request<Incoming>| {
        let (arrived, may_answer) = (arrived.clone(), may_answer.clone());
        async move {
            arrived.send(()).await.unwrap();
            may_answer.lock().await.recv().await.unwrap();
            let response = Response::builder().header("content-type", "a/b");
            response.body(full("late")).unwrap()
        }
    });
    let upstream = format!("http://{}", upstream.await);
    let settings = examples::proxy::ProxySettings {
        timeout: FOREVER,
        ..settings(&upstream)
    };
    let (service, _events) = service(&settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let connections = serve::serve(listener, None, service, LIMITS, stop).await;
        connections.end(drain).await
    });
    let client = tokio::spawn(send(get(address, BLOB)));
    arrival.recv().await.unwrap();
    UnderWay {
        answer,
        address,
        served,
        client,
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_lets_requests_under_way_end() {
    for name in ["-TERM", "-INT"] {
        let mut stop = Box::pin(signal::interrupted());
        // From here on the process minds the signal.
        assert!(futures_util::poll!(&mut stop).is_pending());
        let (stopped, mut at_stop) = mpsc::channel(1);
        let stop = async move {
            stop.await.unwrap();
            stopped.send(()).await.unwrap();
        };
        let under_way = under_way(stop, PATIENCE).await;
        let pid = std::process::id().to_string();
        let sent = std::process::Command::new("kill")
            .args([name, &pid])
            .status();
        assert!(sent.unwrap().success());
        at_stop.recv().await.unwrap();
        under_way.answer.send(()).await.unwrap();
        let answer = under_way.client.await.unwrap();
        assert_eq!(
            (answer.status(), &answer.body()[..]),
            (StatusCode::OK, &b"late"[..])
        );
        assert!(under_way.served.await.unwrap(), "{name}");
        let refused = TcpStream::connect(under_way.address).await;
        assert!(refused.is_err(), "still listens after {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_abandoned() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let drain = Duration::from_secs(10);
    let under_way = under_way(stopped, drain).await;
    let start = tokio::time::Instant::now();
    stop.send(()).unwrap();
    assert!(!under_way.served.await.unwrap());
    assert!(start.elapsed() >= drain);
}

#[tokio::test]
async fn metrics_and_status_are_served() {
    let mut admin = admin::Admin::default().with_metrics(prometheus::record().unwrap());
    let refuse = async |_: Request<Incoming>| {
        let response = Response::builder().status(StatusCode::NO_CONTENT);
        response.body(full("")).unwrap()
    };
    let receiver = upstream(None, refuse).await;
    let url = format!("http://user:secret@{receiver}/events");
    let notifier = Notifier::builder().endpoint(Endpoint::new("operators", url));
    let notifier = admin.watch(notifier).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _admin = admin.serve(listener, notifier.clone(), None, false);

    let request = tower_registry_notifications::event::RequestRecord::new("1", "GET");
    let bridge = notifier.bridge(request).actor("alice");
    bridge.repo_deleted("team/app").await.unwrap();
    assert!(notifier.shutdown(PATIENCE).await.is_drained());

    let answer = send(get(address, "/metrics")).await;
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    let mut events = text.lines().filter(|line| {
        line.starts_with("registry_notifications_events_total{")
            && line.contains(r#"endpoint="operators""#)
            && line.contains(r#"type="Successes""#)
    });
    let value = events.next().and_then(|line| line.rsplit(' ').next());
    assert_eq!((value, events.next()), (Some("1"), None), "{text}");

    let answer = send(get(address, "/debug/notifications")).await;
    let status: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(status["endpoints"][0]["name"], "operators");
    assert_eq!(status["endpoints"][0]["successes"], 1);
    for shown in [text, status.to_string()] {
        assert!(!shown.contains("secret"), "{shown}");
    }
}

fn parse(line: &str) -> Result<Options, String> {
    flags::parse(line.split(' ')).map(Option::unwrap_or_default)
}

#[test]
fn every_documented_option_is_accepted() {
    let help = Options::help();
    for line in help.lines().filter(|line| line.starts_with("  --")) {
        let (option, text) = line.trim().split_once(' ').unwrap();
        let value = match text.split_once(' ').unwrap().0 {
            "URL" => "=http://a",
            "FILE" => "=a.pem",
            "SECONDS" => "=5",
            "HOST:PORT" => "=localhost:0",
            "PATH" => "=/registry/",
            "NAME" => "=harbor",
            "HOST" => "=registry.example.com:5000",
            "N" => "=5",
            _ => "",
        };
        // Certificate and key go together, and so do page and admin, and a format and an
        // endpoint.
        let line = format!(
            "--upstream http://r --endpoint http://e --tls-cert=c --tls-key k --page a:0 \
             --nats n {option}{value}"
        );
        parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn an_address_is_a_name_or_an_ip_address_with_a_port() {
    for (address, is_right) in [
        ("127.0.0.1:5000", true),
        ("localhost:0", true),
        ("registry.example.com:443", true),
        ("[::1]:5000", true),
        ("::1:5000", false),
        ("[::1:5000", false),
        (":5000", false),
        ("[]:5000", false),
        ("5000", false),
        ("localhost", false),
        ("localhost:65536", false),
        ("localhost:", false),
        ("", false),
    ] {
        let line = format!("--upstream http://r --listen={address}");
        assert_eq!(parse(&line).is_ok(), is_right, "{address}");
    }
}

#[test]
fn a_prefix_is_that_of_distribution() {
    for (prefix, api) in [
        ("/registry/", "/registry/v2/"),
        ("/registry", "/registry/v2/"),
        ("registry/", "/registry/v2/"),
        ("/registry/v2/", "/registry/v2/"),
        ("/a/b/", "/a/b/v2/"),
        ("//a//b//", "/a/b/v2/"),
        ("/registryv2/", "/registryv2/v2/"),
        ("/v2/registry/", "/v2/registry/v2/"),
        ("/régistre", "/régistre/v2/"),
        ("v2", "/v2/"),
        ("/", "/v2/"),
        ("/v2/", "/v2/"),
    ] {
        let options = parse(&format!("--upstream http://r --prefix {prefix}")).unwrap();
        assert_eq!(options.api(), api, "{prefix}");
    }
    assert_eq!(parse("--upstream http://r").unwrap().api(), "/v2/");
    for prefix in [
        "http://me:hush@r/",
        "/a?b",
        "/a/../b",
        "/a%2Fb",
        "/a:b",
        "/./",
    ] {
        let error = parse(&format!("--upstream http://r --prefix {prefix}")).unwrap_err();
        assert_eq!(error, "--prefix needs a path like /registry/");
    }
}

#[test]
fn secrets_in_wrong_options_are_not_shown() {
    for line in [
        "--upstrem=http://me:hush@r",
        "--upstrem http://me:hush@r",
        "--upstream http://r http://me:hush@r",
        "--upstream http://r --json=hush",
        "--upstream http://r --listen http://me:hush@r",
        "--upstream http://r --page http://me:hush@r:80000",
        "--upstream http://r --timeout http://me:hush@r",
        "--upstream http://r --max-connections me:hush@r",
        "--http://me:hush@r",
        "--Bearer hush",
        "--upstream http://r --format http://me:hush@r",
        "--upstream http://r --partitions nats://me:hush@r",
        "--upstream http://r --max-bytes nats://me:hush@r",
    ] {
        let error = parse(line).expect_err(line);
        assert!(!error.contains("hush"), "{line}: {error}");
    }
    for upstream in [
        "http://me:hush@r:5000",
        "me:hush@r",
        "ftp://me:hush@r",
        "http://me:hush",
        "http://r/?key=hush",
    ] {
        let error = examples::proxy::Proxy::<Incoming>::new(&settings(upstream)).err();
        let error = error.expect(upstream).to_string();
        assert!(
            error.starts_with("--upstream ") && !error.contains("hush"),
            "{error}"
        );
    }
}

/// Why a program does not start is often said by a cause only.
#[test]
fn an_error_at_the_start_tells_its_causes_once() {
    #[derive(Debug)]
    struct Failed(&'static str, Option<Box<Failed>>);
    impl std::fmt::Display for Failed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }
    impl std::error::Error for Failed {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|it| it as _)
        }
    }
    let cause = Failed("no such file", None);
    let error = Failed("cannot be read", Some(cause.into()));
    let error = Failed("cannot start: cannot be read", Some(error.into()));
    let text = examples::causes::with_causes(&error);
    assert_eq!(text, "cannot start: cannot be read: no such file");
}

#[test]
fn wrong_options_are_named() {
    for (line, message) in [
        ("--listen 127.0.0.1:0", "--upstream URL is needed"),
        (
            "--upstream http://r --listen here",
            "--listen needs HOST:PORT",
        ),
        ("--upstream http://r --page=5000", "--page needs HOST:PORT"),
        (
            "--upstream http://r --timeout 0",
            "--timeout needs a number of seconds from 1 to 4294967295",
        ),
        (
            "--upstream http://r --timeout 18446744073709551615",
            "--timeout needs a number of seconds from 1 to 4294967295",
        ),
        ("--upstream http://r --tls-cert c", "must be given together"),
        ("--upstream", "--upstream needs a value"),
        ("--downstream", "no such option: --downstream"),
        ("--upstream http://r registry", "unexpected argument"),
        (
            "--upstream http://r --max-connections 0",
            "--max-connections needs a number of at least 1, not 0",
        ),
        ("--upstream http://r --json=no", "--json takes no value"),
        (
            "--upstream http://r --endpoint http://e --format v3",
            "--format must be one of v2, v1, cloudevents, azure, harbor, imageupdater",
        ),
        (
            "--upstream http://r --format v1",
            "--format applies to --endpoint",
        ),
        (
            "--upstream http://r --admin",
            "--admin needs --page HOST:PORT",
        ),
        (
            "--upstream http://r --replicas 0",
            "--replicas needs a number of at least 1, not 0",
        ),
        (
            "--upstream http://r --nats nats://a --partitions 70000",
            "--partitions needs a number from 1 to 65535, not 70000",
        ),
        (
            "--upstream http://r --partitions 4",
            "--partitions needs --nats URL",
        ),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(message), "{line}: {error}");
    }
    for upstream in [
        "registry:5000",
        "ftp://registry",
        "http://registry/v2",
        "http://",
        "http://:5000",
        "http://registry:99999",
        "http://registry:",
    ] {
        let error = examples::proxy::Proxy::<Incoming>::new(&settings(upstream)).err();
        let error = error.expect(upstream).to_string();
        assert!(error.contains("--upstream needs"), "{error}");
    }
}
