//! The operator's view: a page for browsers, `/metrics` for Prometheus, and the status as
//! JSON under `/debug/notifications`.

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

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_registry_notifications::{Notifier, NotifierBuilder, NotifierStatus};

use self::feed::Feed;
use self::guard::Guard;
use self::journal::JournalLetters;
use self::letters::{Letters, Selection, Store};

/// The page with its script and style. Browsers load nothing else.
const PAGE: &str = include_str!("page.html");

/// Collects what the page and `/metrics` show.
#[derive(Clone, Default)]
pub struct Admin {
    /// Renders the metrics, if they are recorded.
    metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    feed: Feed,
    /// Whether the feed receives events. The worker has none.
    sees_events: bool,
    letters: Letters,
    sections: Vec<Section>,
}

/// A named part of the status that does not come from the notifier.
#[derive(Clone)]
pub struct Section {
    name: &'static str,
    status: Arc<dyn Fn() -> Value + Send + Sync>,
}

impl Section {
    pub fn new(name: &'static str, status: impl Fn() -> Value + Send + Sync + 'static) -> Self {
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
    /// Serves what `metrics` renders under `/metrics`.
    pub fn with_metrics(mut self, metrics: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.metrics = Some(Arc::new(metrics));
        self
    }

    /// Adds the page to a notifier's sinks, and shows its dead letters like
    /// [`keep_letters`](Self::keep_letters).
    pub fn watch(&mut self, notifier: NotifierBuilder) -> NotifierBuilder {
        self.sees_events = true;
        self.keep_letters(notifier.sink(self.feed.clone()))
    }

    /// Shows the dead letters of endpoints without a dead-letter sink of their own. They are
    /// kept in the journal if there is one, and otherwise in memory.
    pub fn keep_letters(&self, notifier: NotifierBuilder) -> NotifierBuilder {
        notifier.dead_letters(self.letters.clone())
    }

    /// Adds a section to the status.
    pub fn show(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Serves until the task is aborted.
    ///
    /// The page shows no secrets, but it shows who pushes and pulls what. Listen on an
    /// address that only operators can reach. `name` is a host name, besides `localhost`,
    /// under which browsers may open the page. Dead letters can be sent again and purged
    /// only if `writable` is true.
    pub fn serve(
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
        const NONE: &str = "no metrics are recorded: run the example with --features prometheus\n";
        let rendered = self.metrics.clone();
        let metrics = async move || match &rendered {
            Some(render) => ([(CONTENT_TYPE, TEXT)], render()).into_response(),
            None => (StatusCode::NOT_FOUND, NONE).into_response(),
        };
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
    match shared.act(Selection::One(id), &what).await {
        Some(Ok(0)) => (StatusCode::NOT_FOUND, "this letter is gone").into_response(),
        acted => response(acted),
    }
}

/// Sends or purges all letters that exist now.
async fn all_letters(State(shared): State<Shared>, Path(what): Path<String>) -> Response {
    response(shared.act(Selection::All, &what).await)
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
    async fn act(&self, which: Selection, what: &str) -> Option<Result<u64, String>> {
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
