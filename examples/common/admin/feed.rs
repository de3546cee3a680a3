//! The live events of the page: [`Feed`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};
use http::header::CONNECTION;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower_registry_notifications::event::SharedEvent;
use tower_registry_notifications::sink::{Acceptance, Sink};

use crate::time::utc;

/// The most events that are kept for pages that are opened later.
const ROWS: usize = 500;
/// The most bytes that their rows take.
const BYTES: usize = 1 << 20;
/// The most bytes of one text in a row. Clients choose names and user agents, so these
/// may be long.
const TEXT: usize = 512;
/// The most streams that may be open at the same time.
const STREAMS: usize = 64;
/// The most rows that a stream takes from the feed at a time.
const CHUNK: usize = 64;

/// A sink that keeps the latest events, in bounded memory, and streams them.
#[derive(Clone, Debug)]
pub(crate) struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The time of the start in microseconds. Part of each message's id, so that ids of an
    /// earlier process are recognized.
    start: u128,
    recent: Mutex<Recent>,
    /// The number of the newest event, or `None` once the feed is closed.
    newest: watch::Sender<Option<u64>>,
    streams: AtomicUsize,
}

#[derive(Debug, Default)]
struct Recent {
    rows: VecDeque<(u64, Arc<str>)>,
    bytes: usize,
    last: u64,
}

impl Default for Feed {
    fn default() -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(Arc::new(Inner {
            start: start.unwrap_or_default().as_micros(),
            recent: Mutex::default(),
            newest: watch::Sender::new(Some(0)),
            streams: AtomicUsize::new(0),
        }))
    }
}

impl Feed {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns up to [`CHUNK`] rows that follow event number `after`, and how many events
    /// between `after` and the first row were dropped.
    fn after(&self, after: u64) -> (Vec<(u64, Arc<str>)>, u64) {
        let recent = self.recent();
        let first = recent.rows.front().map_or(after + 1, |row| row.0);
        let gap = first.saturating_sub(after + 1);
        let skip = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let rows = recent.rows.iter().skip(skip).take(CHUNK);
        (rows.cloned().collect(), gap)
    }

    /// Streams the latest events and all that follow. With a `Last-Event-ID`, which browsers
    /// send when they reconnect, the stream continues after that event.
    pub(crate) fn stream(&self, headers: &HeaderMap) -> Response {
        let Some(slot) = StreamPermit::take(self) else {
            let message = "too many pages are open";
            // Connections are limited too, so do not keep this one.
            let close = [(CONNECTION, "close")];
            return (StatusCode::SERVICE_UNAVAILABLE, close, message).into_response();
        };
        let after = headers.get("last-event-id").and_then(|id| {
            let (start, number) = id.to_str().ok()?.split_once('-')?;
            let number = number.parse().ok()?;
            // Clients may send any number, so one beyond the newest event is ignored.
            let is_ours = start.parse() == Ok(self.0.start) && number <= self.recent().last;
            is_ours.then_some(number)
        });
        let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
        let messages = self.messages(after, slot);
        Sse::new(messages).keep_alive(keep_alive).into_response()
    }

    fn messages(
        &self,
        after: Option<u64>,
        slot: StreamPermit,
    ) -> impl Stream<Item = Result<Message, Infallible>> + use<> {
        let reader = Reader {
            newest: self.0.newest.subscribe(),
            feed: self.clone(),
            // A page that connects for the first time has missed nothing.
            tells_gaps: after.is_some(),
            after: after.unwrap_or_default(),
            chunk: VecDeque::new(),
            _slot: slot,
        };
        stream::unfold(reader, |mut reader| async {
            let message = reader.next().await?;
            Some((Ok(message), reader))
        })
    }
}

impl Sink for Feed {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let row: Arc<str> = row(event).to_string().into();
        let mut recent = self.recent();
        recent.last += 1;
        recent.bytes += row.len();
        let number = recent.last;
        recent.rows.push_back((number, row));
        while recent.rows.len() > ROWS || recent.bytes > BYTES {
            let Some((_, dropped)) = recent.rows.pop_front() else {
                break;
            };
            recent.bytes -= dropped.len();
        }
        drop(recent);
        self.0.newest.send_modify(|newest| {
            if let Some(newest) = newest {
                *newest = number.max(*newest);
            }
        });
        Acceptance::accepted()
    }

    /// Ends all streams, so that the server can shut down.
    fn close(&self) {
        self.0.newest.send_replace(None);
    }
}

/// The position of one stream in the feed. It holds at most one chunk of rows, which the
/// feed shares, so that a client that does not read costs little more than its connection.
struct Reader {
    feed: Feed,
    newest: watch::Receiver<Option<u64>>,
    after: u64,
    tells_gaps: bool,
    chunk: VecDeque<(u64, Arc<str>)>,
    _slot: StreamPermit,
}

impl Reader {
    /// Returns the next message, or `None` once the feed is closed.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((number, row)) = self.chunk.pop_front() {
                self.after = number;
                let id = format!("{}-{number}", self.feed.0.start);
                return Some(Message::default().id(id).data(row));
            }
            let (rows, gap) = self.feed.after(self.after);
            self.chunk = rows.into();
            if gap > 0 {
                self.after += gap;
                if std::mem::replace(&mut self.tells_gaps, true) {
                    return Some(Message::default().event("gap").data(gap.to_string()));
                }
            }
            if self.chunk.is_empty() {
                let after = self.after;
                let more = |newest: &Option<u64>| newest.is_none_or(|newest| newest > after);
                let newest = *self.newest.wait_for(more).await.ok()?;
                newest?;
            }
        }
    }
}

/// A permit for one open stream, which is returned when it is dropped.
struct StreamPermit(Feed);

impl StreamPermit {
    fn take(feed: &Feed) -> Option<Self> {
        let slot = Self(feed.clone());
        let open = feed.0.streams.fetch_add(1, Ordering::Relaxed);
        // If there are too many, the permit is dropped here and so returned.
        (open < STREAMS).then_some(slot)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns what the page shows of an event.
pub(crate) fn row(event: &SharedEvent) -> Value {
    let event_kind = event.kind();
    let event = event.to_event();
    let target = &event.target;
    json!({
        "id": event.id.to_string(),
        "timestamp": utc(event.timestamp),
        "action": event.action.as_str(),
        "kind": event_kind.as_str(),
        "repository": short(&target.repository),
        "from_repository": short(&target.from_repository),
        "tag": short(&target.tag),
        "digest": short(&target.descriptor.digest),
        "media_type": short(&target.descriptor.media_type),
        "size": target.descriptor.size,
        "references": target.references.len(),
        "actor": short(&event.actor.name),
        "addr": short(&event.request.addr),
        "method": short(&event.request.method),
        "user_agent": short(&event.request.user_agent),
    })
}

/// Returns `text`, cut after [`TEXT`] bytes.
fn short(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_owned();
    }
    let starts = text.char_indices().map(|(start, _)| start);
    let end = starts.take_while(|start| *start <= TEXT).last();
    format!("{}…", &text[..end.unwrap_or_default()])
}
