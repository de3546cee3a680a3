//! The operator's view: a page for browsers, `/metrics` for Prometheus, and the status as
//! JSON under `/debug/notifications`.

#![allow(dead_code, reason = "no example uses all of it")]

mod feed;
mod guard;
#[cfg_attr(not(feature = "journal"), path = "no_journal.rs")]
mod journal;
mod letters;
mod serve;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_registry_notifications::{Notifier, NotifierBuilder, NotifierStatus};

use self::feed::Feed;
use self::guard::Guard;
use self::journal::JournalLetters;
use self::letters::{Letters, Store, Which};

/// The page with its script and style. Browsers load nothing else.
const PAGE: &str = include_str!("page.html");

/// How often the recorder aggregates histogram samples, so that they do not pile up if
/// nothing scrapes `/metrics`.
const UPKEEP: Duration = Duration::from_secs(5);

/// Buckets of durations, in seconds. Deliveries take milliseconds, and events may wait for
/// hours while a receiver is down.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
];
/// Buckets of batch sizes, in events.
const EVENTS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 1000.0];

/// Collects what the page and `/metrics` show.
#[derive(Clone)]
pub(crate) struct Admin {
    metrics: PrometheusHandle,
    feed: Feed,
    /// Whether the feed receives events. The worker has none.
    sees_events: bool,
    letters: Letters,
    sections: Vec<Section>,
}

/// A named part of the status that does not come from the notifier.
#[derive(Clone)]
pub(crate) struct Section {
    name: &'static str,
    status: Arc<dyn Fn() -> Value + Send + Sync>,
}

impl Section {
    pub(crate) fn new(
        name: &'static str,
        status: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Self {
        let status = Arc::new(status);
        Self { name, status }
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Section").field(&self.name).finish()
    }
}

impl Admin {
    /// Installs a recorder for all metrics of the process. Call this before the notifier is
    /// built: its counters are registered with the recorder that is installed at that time.
    ///
    /// # Errors
    ///
    /// If another recorder is installed already.
    pub(crate) fn new() -> Result<Self, BuildError> {
        record().map(Self::of)
    }

    /// Uses a recorder that is installed already.
    pub(crate) fn of(metrics: PrometheusHandle) -> Self {
        Self {
            metrics,
            feed: Feed::new(),
            sees_events: false,
            letters: Letters::default(),
            sections: Vec::new(),
        }
    }

    /// Adds the page to a notifier's sinks, and shows its dead letters like
    /// [`keep_letters`](Self::keep_letters).
    pub(crate) fn watch(&mut self, notifier: NotifierBuilder) -> NotifierBuilder {
        self.sees_events = true;
        self.keep_letters(notifier.sink(self.feed.clone()))
    }

    /// Shows the dead letters of endpoints without a dead-letter sink of their own. They are
    /// kept in the journal if there is one, and otherwise in memory.
    pub(crate) fn keep_letters(&self, notifier: NotifierBuilder) -> NotifierBuilder {
        notifier.dead_letters(self.letters.clone())
    }

    /// Adds a section to the status.
    pub(crate) fn show(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Serves until the task is aborted.
    ///
    /// The page shows no secrets, but it shows who pushes and pulls what. Listen on an
    /// address that only operators can reach. `name` is a host name, besides `localhost`,
    /// under which browsers may open the page. Dead letters can be sent again and purged
    /// only if `writable` is true.
    pub(crate) fn serve(
        self,
        listener: TcpListener,
        notifier: Notifier,
        name: Option<&str>,
        writable: bool,
    ) -> JoinHandle<io::Result<()>> {
        let router = self.router(notifier, name, writable);
        tokio::spawn(serve::serve(listener, router))
    }

    fn router(self, notifier: Notifier, name: Option<&str>, writable: bool) -> Router {
        const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
        let recorded = self.metrics.clone();
        let metrics = async move || ([(CONTENT_TYPE, TEXT)], recorded.render());
        let guard = Guard {
            writable,
            name: name.map(str::to_owned),
            policy: policy(),
        };
        let letters = match JournalLetters::of(&notifier) {
            Some(journal) => Store::Journal(journal),
            None => Store::Memory(self.letters.clone()),
        };
        let shared = Shared {
            admin: self,
            letters,
            notifier,
            writable,
        };
        Router::new()
            .route("/", get(async || Html(PAGE)))
            .route("/debug/notifications", get(status))
            .route("/debug/events", get(events))
            .route("/debug/letters", get(letters_shown))
            .route("/admin/letters/{what}", post(all_letters))
            .route("/admin/letters/{id}/{what}", post(one_letter))
            .route("/admin/endpoints/{name}/enable", post(enable))
            .with_state(shared)
            .layer(axum::middleware::from_fn_with_state(guard, guard::guard))
            // Not guarded, because scrapers use any host name, and metrics do not say who
            // pushes what.
            .route("/metrics", get(metrics))
    }
}

/// Installs a recorder for all metrics of the process.
///
/// # Errors
///
/// If another recorder is installed already.
pub(crate) fn record() -> Result<PrometheusHandle, BuildError> {
    // Without buckets, these would be summaries, which cannot be aggregated across nodes.
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_events".into()), &EVENTS)?
        .install_recorder()?;
    let recorder = handle.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            recorder.run_upkeep();
        }
    });
    Ok(handle)
}

/// Returns a Content-Security-Policy that allows the page's own script and style, by their
/// hashes, and nothing else: no inline handlers, and no HTML made of strings (trusted types).
fn policy() -> HeaderValue {
    let hash = |tag: &str| {
        let (_, rest) = PAGE.split_once(&format!("<{tag}>")).unwrap_or_default();
        let (content, _) = rest.split_once(&format!("</{tag}>")).unwrap_or_default();
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content)))
    };
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash("script"),
        hash("style"),
    );
    // Base64 and fixed words are always valid. If they were not, nothing would be allowed.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[derive(Clone)]
struct Shared {
    admin: Admin,
    letters: Store,
    notifier: Notifier,
    writable: bool,
}

/// Returns the status of the notifier and the other sections.
async fn status(State(shared): State<Shared>) -> Response {
    let sections = shared.admin.sections.iter();
    Json(Status {
        notifier: shared.notifier.status(),
        sections: sections.map(|it| (it.name, (it.status)())).collect(),
    })
    .into_response()
}

#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    notifier: NotifierStatus,
    #[serde(flatten)]
    sections: BTreeMap<&'static str, Value>,
}

async fn events(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    match shared.admin.sees_events {
        true => shared.admin.feed.stream(&headers),
        // After this status, browsers do not reconnect.
        false => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Returns the dead letters, and whether they can be sent again and purged.
async fn letters_shown(State(shared): State<Shared>) -> Json<Value> {
    let shown = shared.letters.shown().await;
    Json(json!({
        "writable": shared.writable,
        "sees_events": shared.admin.sees_events,
        "letters": shown.letters,
        "total": shown.total,
        "error": shown.error,
    }))
}

async fn one_letter(
    State(shared): State<Shared>,
    Path((id, what)): Path<(u64, String)>,
) -> Response {
    match shared.act(Which::One(id), &what).await {
        Some(Ok(0)) => (StatusCode::NOT_FOUND, "this letter is gone").into_response(),
        acted => response(acted),
    }
}

/// Sends or purges all letters that exist now.
async fn all_letters(State(shared): State<Shared>, Path(what): Path<String>) -> Response {
    response(shared.act(Which::All, &what).await)
}

async fn enable(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    match shared.notifier.enable(&name) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => (StatusCode::NOT_FOUND, "no such disabled endpoint").into_response(),
    }
}

/// Turns the result of an action into a response. `None` means that there is no such
/// action.
fn response(acted: Option<Result<u64, String>>) -> Response {
    match acted {
        Some(Ok(_)) => StatusCode::NO_CONTENT.into_response(),
        Some(Err(error)) => (StatusCode::CONFLICT, error).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Shared {
    /// Sends letters again or purges them, and returns their number. Returns `None` if `what`
    /// is neither `send` nor `purge`.
    async fn act(&self, which: Which, what: &str) -> Option<Result<u64, String>> {
        match what {
            "send" => {
                let sent = self.letters.send_again(&self.notifier, which).await;
                Some(sent.map_err(|error| format!("not sent: {error}")))
            }
            "purge" => {
                let purged = self.letters.purge(which).await;
                Some(purged.map_err(|error| format!("not purged: {error}")))
            }
            _ => None,
        }
    }
}
