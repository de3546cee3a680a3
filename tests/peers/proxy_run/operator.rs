//! What an operator of the proxy sees and sets.

use http::header::{AUTHORIZATION, HeaderValue};
use tokio::sync::Semaphore;
use tower_registry_notifications::event::Event;

use super::*;

const ANY: &str = "127.0.0.1:0";

/// A registry that answers all requests.
async fn ready() -> String {
    let (arrived, _arrival) = mpsc::channel(1);
    registry(arrived, Arc::new(Semaphore::new(0))).await
}

/// A port of this machine that nobody listens on.
pub(crate) async fn closed() -> u16 {
    let listener = TcpListener::bind(ANY).await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks for a blob below `prefix`, with this token.
async fn pull(address: &str, prefix: &str, token: Option<&str>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{address}{prefix}/v2/team/app/blobs/{DIGEST}");
    let mut request = Request::head(uri).body(Full::<Bytes>::default()).unwrap();
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let answer = tokio::time::timeout(MINUTE, client.request(request)).await;
    assert_eq!(answer.expect("no answer").unwrap().status(), 200);
}

/// Runs what blocks until the program has said something.
pub(crate) async fn blocking<T: Send + 'static>(
    program: Program,
    wait: impl FnOnce(&mut Program) -> T + Send + 'static,
) -> (Program, T) {
    let waited = tokio::task::spawn_blocking(move || {
        let mut program = program;
        let result = wait(&mut program);
        (program, result)
    });
    let waited = tokio::time::timeout(MINUTE, waited).await;
    waited.expect("the program says nothing").unwrap()
}

async fn event(received: &mut mpsc::UnboundedReceiver<common::Received>) -> Event {
    let received = tokio::time::timeout(MINUTE, received.recv()).await;
    let body = received.expect("no event").unwrap().body;
    let mut envelope: Envelope = serde_json::from_slice(&body).unwrap();
    envelope.events.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_checked_before_success_is_announced() {
    let upstream = format!("http://127.0.0.1:{}", closed().await);
    let program = Program::start(&["--upstream", &upstream, "--listen", ANY]);
    let (_, lines) = blocking(program, |it| [it.line(), it.line(), it.line(), it.line()]).await;
    assert!(
        lines[0].contains("WARN the upstream does not answer"),
        "{lines:?}"
    );
    let wanted = format!("{upstream} does not answer yet: clients get 502 until it does.\n");
    assert_eq!(lines[1], wanted);
    assert!(lines[2].starts_with("No endpoint is configured"));
    assert!(lines[3].starts_with("Listening on 127.0.0.1:"));

    // Something that is no registry.
    let listener = TcpListener::bind(ANY).await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(async |_: Request<Incoming>| {
                let response = Response::builder().status(404);
                Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
            });
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        }
    });
    let program = Program::start(&["--upstream", &upstream, "--listen", ANY]);
    let (_, lines) = blocking(program, |it| [it.line(), it.line(), it.line()]).await;
    assert!(lines[0].contains("answers 404 Not Found to /v2/"));
    assert!(lines[0].contains("--prefix"), "{lines:?}");
    assert!(lines[2].starts_with("Listening on "), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_events_are_printed() {
    let upstream = ready().await;
    let program = Program::start(&["--upstream", &upstream, "--listen", ANY, "--json"]);
    let (program, address) = blocking(program, |it| {
        assert!(
            it.line()
                .starts_with("No endpoint is configured: events are printed here")
        );
        it.address("Listening on ")
    })
    .await;
    pull(&address, "", None).await;
    let (program, line) = blocking(program, Program::printed).await;
    let event: Event = serde_json::from_str(&line).unwrap();
    assert_eq!(event.source.addr, address);
    assert!(!event.source.instance_id.is_empty());
    program.signal("-INT");
    let (_, ended) = blocking(program, Program::end).await;
    assert_eq!(ended, (true, "All events were delivered.\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_source_has_the_address_and_an_instance_id() {
    let upstream = ready().await;
    let (port, mut received) = common::receiver(Box::new(|_| Response::builder())).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    let text = format!(
        "notifications: {{endpoints: [{{name: a, url: 'http://127.0.0.1:{port}/', timeout: 1m}}]}}"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--upstream", &upstream, "--listen", ANY, "--config", file];
    let program = Program::start(&arguments);
    let (_program, address) = blocking(program, |it| it.address("Listening on ")).await;
    pull(&address, "", None).await;
    let source = event(&mut received).await.source;
    assert_eq!(source.addr, address);
    assert!(!source.instance_id.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_used_without_a_file() {
    let upstream = ready().await;
    let (port, mut received) = common::receiver(Box::new(|_| Response::builder())).await;
    let endpoints = format!("[{{name: a, url: 'http://127.0.0.1:{port}/', timeout: 1m}}]");
    let environment = [
        ("REGISTRY_NOTIFICATIONS_ENDPOINTS", &*endpoints),
        ("REGISTRY_NOTIFICATIONS_SOURCE_ADDR", "registry.example.com"),
        // Of a service called registry-notifications-listener.
        ("REGISTRY_NOTIFICATIONS_LISTENER_SERVICE_HOST", "10.0.0.1"),
    ];
    let program = Program::with(&environment, &["--upstream", &upstream, "--listen", ANY]);
    let (_program, address) = blocking(program, |it| it.address("Listening on ")).await;
    pull(&address, "", None).await;
    assert_eq!(
        event(&mut received).await.source.addr,
        "registry.example.com"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_what_a_dead_receiver_holds_up() {
    let upstream = ready().await;
    let receiver = format!("http://me:hush@127.0.0.1:{}/", closed().await);
    // Without the second signal it would wait for an hour.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    std::fs::write(&file, "notifications: {fanouttimeout: 1h}").unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--upstream", &upstream, "--listen", ANY, "--config", file];
    let arguments = [&arguments[..], &["--endpoint", &receiver]].concat();
    let program = Program::start(&arguments);
    let (program, address) = blocking(program, |it| it.address("Listening on ")).await;
    pull(&address, "", None).await;
    let (program, failed) = blocking(program, Program::line).await;
    assert!(failed.contains("deliveries fail"), "{failed}");
    program.signal("-INT");
    let (program, waiting) = blocking(program, Program::line).await;
    assert_eq!(waiting, "Waiting for 1 event, Ctrl-C again to stop now.\n");
    program.signal("-INT");
    let (_, (success, said)) = blocking(program, Program::end).await;
    assert!(
        success && said.contains("endpoint-1") && said.contains("lost"),
        "{said}"
    );
    assert!(!said.contains("hush") && !failed.contains("hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_and_the_subject_of_a_token_are_options() {
    // {"sub":"alice"}
    const TOKEN: &str = "e30.eyJzdWIiOiJhbGljZSJ9.c2ln";
    let upstream = ready().await;
    let (port, mut received) = common::receiver(Box::new(|_| Response::builder())).await;
    let endpoint = format!("http://127.0.0.1:{port}/");
    let common = [
        "--upstream",
        &upstream,
        "--listen",
        ANY,
        "--endpoint",
        &endpoint,
    ];
    let program =
        Program::start(&[&common[..], &["--prefix", "/registry/", "--bearer-actor"]].concat());
    let (_program, address) = blocking(program, |it| it.address("Listening on ")).await;
    pull(&address, "/registry", Some(TOKEN)).await;
    let told = event(&mut received).await;
    assert_eq!(
        (&*told.target.repository, &*told.actor.name),
        ("team/app", "alice")
    );
    assert_eq!(
        told.target.url,
        format!("http://{address}/registry/v2/team/app/blobs/{DIGEST}")
    );

    // Neither is the default; a prefix that nobody named is warned of, once.
    let program = Program::start(&common);
    let (program, address) = blocking(program, |it| it.address("Listening on ")).await;
    pull(&address, "/registry", Some(TOKEN)).await;
    pull(&address, "/registry", Some(TOKEN)).await;
    pull(&address, "", Some(TOKEN)).await;
    let told = event(&mut received).await;
    assert_eq!(
        (&*told.target.repository, &*told.actor.name),
        ("team/app", "")
    );
    program.signal("-INT");
    let (_, (_, said)) = blocking(program, Program::end).await;
    let warnings = said.lines().filter(|line| line.contains("prefix"));
    assert_eq!(warnings.count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_go_through_the_proxy_of_the_environment() {
    const RECEIVER: &str = "http://receiver.example/events";
    let upstream = ready().await;
    let (port, mut received) = common::receiver(Box::new(|_| Response::builder())).await;
    let proxy = format!("http://me:hush@127.0.0.1:{port}");
    let common = [
        "--upstream",
        &upstream,
        "--listen",
        ANY,
        "--endpoint",
        RECEIVER,
    ];
    let program = Program::with(&[("HTTP_PROXY", &proxy)], &common);
    let (_program, address) = blocking(program, |it| it.address("Listening on ")).await;
    pull(&address, "", None).await;
    let received_one = tokio::time::timeout(MINUTE, received.recv()).await;
    let received_one = received_one
        .expect("nothing came through the proxy")
        .unwrap();
    assert_eq!(received_one.path, RECEIVER);
    assert_eq!(
        received_one.headers["proxy-authorization"],
        "Basic bWU6aHVzaA=="
    );

    // Not so what is on this machine, what NO_PROXY names, or an endpoint that wants
    // none.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    let text = format!(
        "notifications: {{endpoints: [{{name: a, url: '{RECEIVER}', proxyfromenv: false}}]}}"
    );
    std::fs::write(&file, text).unwrap();
    for (no_proxy, option, endpoint) in [
        ("receiver.example", "--endpoint", RECEIVER),
        (
            "",
            "--endpoint",
            &format!("http://127.0.0.1:{}/", closed().await),
        ),
        ("", "--config", file.to_str().unwrap()),
    ] {
        let environment = [("HTTP_PROXY", &*proxy), ("NO_PROXY", no_proxy)];
        let arguments = ["--upstream", &upstream, "--listen", ANY, option, endpoint];
        let program = Program::with(&environment, &arguments);
        let (program, address) = blocking(program, |it| it.address("Listening on ")).await;
        pull(&address, "", None).await;
        let (_, failed) = blocking(program, Program::line).await;
        assert!(failed.contains("deliveries fail"), "{failed}");
        assert!(
            !failed.contains("proxy") && !failed.contains("hush"),
            "{failed}"
        );
        assert!(received.try_recv().is_err());
    }
}

/// A proxy that repeats what it was sent, also where that is kept.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_a_proxy_repeats_are_hidden() {
    let upstream = ready().await;
    let listener = TcpListener::bind(ANY).await.unwrap();
    let proxy = format!("http://me:hush-hush@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(async |request: Request<Incoming>| {
                let given = request.headers()["proxy-authorization"].as_bytes();
                let body = [b"not me:hush-hush, ", given].concat();
                let response = Response::builder().status(400);
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
            });
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (file, letters) = (
        folder.path().join("config.yml"),
        folder.path().join("letters"),
    );
    let text = format!(
        "notifications: {{endpoints: [{{name: a, url: 'http://receiver.example/', \
         retry: backoff, deadletters: {{file: '{}'}}}}]}}",
        letters.display()
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--upstream", &upstream, "--listen", ANY, "--config", file];
    let program = Program::with(&[("HTTP_PROXY", &proxy)], &arguments);
    let (program, address) = blocking(program, |it| it.address("Listening on ")).await;
    pull(&address, "", None).await;
    program.signal("-INT");
    let (_, (_, said)) = blocking(program, Program::end).await;
    let kept = std::fs::read_to_string(letters).unwrap();
    assert!(kept.contains("not …, …"), "{kept}");
    for text in [said, kept] {
        assert!(
            !text.contains("hush") && !text.contains("bWU6aHVzaC1odXNo"),
            "{text}"
        );
    }
}

#[test]
fn secrets_of_the_command_line_are_not_printed() {
    for (arguments, wanted) in [
        (
            &["--upstream", "http://me:hush@r"][..],
            "proxy: --upstream takes no user",
        ),
        (
            &["--upstrem=http://me:hush@r"],
            "proxy: no such option: --upstrem",
        ),
        (
            &["--upstrem", "http://me:hush@r"],
            "proxy: no such option: --upstrem",
        ),
        (
            &["--upstream", "http://r", "http://me:hush@r"],
            "proxy: unexpected argument",
        ),
        (
            &[
                "--upstream",
                "http://r",
                "--endpoint",
                "unix:/run/hook.sock",
            ],
            "proxy: endpoint",
        ),
    ] {
        let arguments = [&["--listen", ANY][..], arguments].concat();
        let (success, said) = Program::start(&arguments).end();
        let lines: Vec<_> = said
            .lines()
            .filter(|it| !it.starts_with("No endpoint"))
            .collect();
        assert!(!success && lines.len() == 1, "{said}");
        assert!(
            lines[0].starts_with(wanted) && !said.contains("hush"),
            "{said}"
        );
    }
}
