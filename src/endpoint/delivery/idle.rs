//! Connections that wait for the next request: [`Idle`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::http1::OwnedConnection;
use super::origin::Origin;

/// How long an idle connection stays open.
pub(super) const IDLE: Duration = Duration::from_secs(90);

/// The connections of one client that wait for the next request, and the one of
/// HTTP/2 that all requests share.
///
/// Only [`poll`](Self::poll), which the endpoint's worker calls, polls an idle
/// connection of HTTP/1.1. A connection that another task puts back, as a layer's task
/// may, is polled when the worker runs next.
pub(super) struct Idle<T>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    state: Mutex<State<T>>,
    /// The task that polls idle connections.
    watcher: Arc<AtomicWaker>,
}

struct State<T>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    /// The most recently used connection is the last one and is taken first, so that
    /// surplus ones stay idle and expire.
    waiting: Vec<Waiting<T>>,
    shared: Option<Shared>,
    /// Number of the connection of HTTP/2 that was shared last.
    last: u64,
    /// When to look for connections that have been idle for too long.
    timer: Option<Pin<Box<Sleep>>>,
}

struct Waiting<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    held: Box<OwnedConnection<T>>,
    /// When it became idle, or `None` until the first poll: most connections are taken
    /// again before, and reading the clock for each would be wasted.
    since: Option<Instant>,
}

/// A connection of HTTP/2.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) origin: Origin,
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// Identifies the connection among those that were shared before and after it.
    pub(super) number: u64,
    used: Instant,
}

/// A connection for the next request.
pub(super) enum Next<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    Http1(Box<OwnedConnection<T>>),
    Http2(Shared),
}

impl<T> Idle<T>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Vec::new(),
                shared: None,
                last: 0,
                timer: None,
            }),
            watcher: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what idle connections wake.
    pub(super) fn watcher(&self) -> Arc<AtomicWaker> {
        self.watcher.clone()
    }

    /// Returns a connection to the origin of `url`, if there is one.
    pub(super) fn take(&self, url: &Uri) -> Option<Next<T>> {
        let mut state = self.state();
        if let Some(shared) = state.shared(|it| it.origin.is_of(url)) {
            return Some(Next::Http2(shared));
        }
        let found = state
            .waiting
            .iter()
            .rposition(|it| it.held.origin.is_of(url));
        Some(Next::Http1(state.waiting.remove(found?).held))
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, held: Box<OwnedConnection<T>>) {
        self.state().waiting.push(Waiting { held, since: None });
    }

    /// Shares a connection of HTTP/2. Returns the one to use: another may have
    /// been shared meanwhile.
    pub(super) fn share(&self, origin: Origin, sender: SendRequest<Full<Bytes>>) -> Shared {
        let mut state = self.state();
        let url = origin.url();
        if let Some(shared) = state.shared(|it| it.origin.is_of(&url)) {
            return shared;
        }
        state.last += 1;
        let shared = Shared {
            origin,
            sender,
            number: state.last,
            used: Instant::now(),
        };
        state.shared = Some(shared.clone());
        shared
    }

    /// Stops sharing a connection of HTTP/2, unless another has taken its place.
    pub(super) fn stop_sharing(&self, number: u64) {
        let mut state = self.state();
        if state.shared.as_ref().is_some_and(|it| it.number == number) {
            state.shared = None;
        }
    }

    /// Closes connections that the receiver has closed, or that have been idle
    /// for too long.
    pub(super) fn poll(&self, cx: &mut Context<'_>) {
        self.watcher.register(cx.waker());
        let mut state = self.state();
        if state.waiting.is_empty() && state.shared.is_none() {
            return;
        }
        let mut now = None;
        state.waiting.retain_mut(|it| {
            it.since
                .get_or_insert_with(|| *now.get_or_insert_with(Instant::now));
            !it.held.is_closed()
        });
        state.expire(cx);
    }
}

impl<T> State<T>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn shared(&mut self, fits: impl Fn(&Shared) -> bool) -> Option<Shared> {
        let is_open = |it: &Shared| !it.sender.is_closed();
        let shared = self.shared.as_mut().filter(|it| is_open(it) && fits(it))?;
        shared.used = Instant::now();
        Some(shared.clone())
    }

    fn expire(&mut self, cx: &mut Context<'_>) {
        loop {
            let timer = match &mut self.timer {
                Some(timer) => timer,
                none => {
                    let since = self.waiting.iter().filter_map(|it| it.since);
                    let used = self.shared.as_ref().map(|it| it.used);
                    let Some(oldest) = since.chain(used).min() else {
                        return;
                    };
                    // One timer serves all connections. If the oldest one is used
                    // meanwhile, the timer fires early and is set again.
                    none.insert(Box::pin(sleep_until(oldest + IDLE)))
                }
            };
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.timer = None;
            let now = Instant::now();
            let expired = |since: Instant| since + IDLE <= now;
            let old = |it: &mut Waiting<T>| it.since.is_some_and(expired);
            let closing: Vec<_> = self.waiting.extract_if(.., old).collect();
            closing.into_iter().for_each(|it| it.held.close());
            self.shared.take_if(|it| expired(it.used));
        }
    }
}

impl<T> Drop for Idle<T>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.waiting.drain(..).for_each(|it| it.held.close());
    }
}
