//! Puts an endpoint together: filter → queue → batch → retry → timeout → layers
//! → HTTP POST.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use http::Uri;
use http::header::PROXY_AUTHORIZATION;

use super::dead_letter::{DeadLetterSink, DeadLetterWriter, Reason};
use super::delivery::{
    BodySigner, Poster, Secrets, Sequence, Signer, Transport, client, headers, proxy_authorization,
    target,
};
use super::endpoint::Endpoint;
use super::running::{Leftover, Running};
use super::status::Counts;
use super::switch::Switch;
use super::worker::{InFlight, Worker};
use crate::error::{BuildError, Mistakes};
use crate::event::{Encoding, Format, is_event_type};
use crate::queue::{Limits, Queue, Store};
use crate::redact::{shown_name, without_user_info};

/// The parts of an endpoint that the notifier provides: the store of its events, and the
/// place for its dead letters.
pub(crate) struct EndpointContext {
    /// The store of the endpoint's events. `None` if they are in memory only.
    pub(crate) store: Option<Box<dyn Store>>,
    /// Keeps the dead letters of an endpoint without a dead-letter sink of its own.
    pub(crate) dead_letters: Option<Arc<dyn DeadLetterSink>>,
    /// The wall clock.
    pub(crate) clock: fn() -> SystemTime,
}

/// The largest number of events whose numbers fit into a header that every receiver
/// accepts (8 KiB).
const MOST_NUMBERS: usize = 100;

/// An endpoint whose configuration is valid.
pub(crate) struct Checked {
    endpoint: Endpoint,
    poster: Poster,
    client: Transport,
}

impl Endpoint {
    /// Checks everything, and reads the certificates.
    ///
    /// # Errors
    ///
    /// If a setting is invalid. The error has all mistakes, not only the first.
    pub(crate) fn checked(self) -> Result<Checked, BuildError> {
        let mut mistakes = Mistakes::default();
        mistakes.take(self.check());
        let Some((poster, client)) = mistakes.take(self.delivery()) else {
            return mistakes.failed();
        };
        mistakes.or(Checked {
            endpoint: self,
            poster,
            client,
        })
    }

    /// Reports invalid settings, except for URLs, certificates and secrets.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let mut mistakes = Mistakes::default();
        mistakes.take(self.check_name());
        if self.timeout.is_zero() {
            mistakes.add(self.wrong("timeout", 0, "must be more than 0"));
        }
        for (field, number) in [
            ("queue_events", self.limits.events),
            ("queue_bytes", self.limits.bytes),
            ("concurrency", self.concurrency),
            ("batch events", self.batch.events),
            ("batch bytes", self.batch.bytes),
        ] {
            if number == 0 {
                mistakes.add(self.wrong(field, number, "must be at least 1"));
            }
        }
        mistakes.take(self.check_format());
        mistakes.take(self.filter.check(self.of().trim_end_matches(": ")));
        mistakes.take(self.retry.check(&self.of()));
        mistakes.or(())
    }

    /// Reports a name that cannot be shown in logs, metrics and the status.
    fn check_name(&self) -> Result<(), BuildError> {
        let name = shown_name(&self.name);
        let remedy = if self.name.is_empty() {
            "give each endpoint a name of its own"
        } else if name != self.name {
            "it is a URL with a password, and names are shown: give the endpoint another name"
        } else if self.name.contains(char::is_control) {
            "leave out line breaks and control characters"
        } else {
            return Ok(());
        };
        Err(self.wrong("name", name, remedy))
    }

    /// Reports settings that do not fit the format.
    fn check_format(&self) -> Result<(), BuildError> {
        let mut mistakes = Mistakes::default();
        let Encoding {
            format, event_type, ..
        } = &self.encoding;
        if self.batch.events > 1 && !format.takes_batches() {
            let remedy = "the format carries one event in a request: remove the batch";
            mistakes.add(self.wrong("batch events", self.batch.events, remedy));
        }
        if self.sequence && !format.is_cloud_events() && self.batch.events > MOST_NUMBERS {
            let remedy = "with sequence, at most 100: their numbers are in a header";
            mistakes.add(self.wrong("batch events", self.batch.events, remedy));
        }
        if let Some(event_type) = event_type {
            if *format != Format::ImageUpdater {
                let remedy = "only the format ImageUpdater has one: remove it";
                mistakes.add(self.wrong("event type", event_type, remedy));
            } else if !is_event_type(event_type) {
                let remedy = "write one like com.example.image.pushed, with image or container";
                mistakes.add(self.wrong("event type", event_type, remedy));
            }
        }
        let mut actions = format.actions().into_iter().flatten().peekable();
        if actions.peek().is_some() && !actions.any(|action| self.filter.wants_action(action)) {
            let remedy = "the format carries no action that the filter wants";
            mistakes.add(self.wrong("format", format!("{format:?}"), remedy));
        }
        mistakes.or(())
    }

    /// Checks everything but the client. The certificates of a disabled endpoint need
    /// not exist yet.
    pub(crate) fn check_disabled(&self) -> Result<(), BuildError> {
        let mut mistakes = Mistakes::default();
        mistakes.take(self.check());
        mistakes.take(self.poster());
        mistakes.or(())
    }

    /// Returns what makes the requests, and the client that sends them.
    fn delivery(&self) -> Result<(Poster, Transport), BuildError> {
        let mut mistakes = Mistakes::default();
        let poster = mistakes.take(self.poster());
        let client = match &self.client {
            Some(own) => {
                mistakes.take(self.connection.check_unused(&self.of()));
                Some(Transport::Own(own.delivery()))
            }
            None => {
                // The client of an endpoint whose URL is not valid is checked as for
                // this one, so that its mistakes are reported at once.
                let any = || Uri::from_static("https://receiver.example.com/");
                let url = target(&self.url).map_or_else(|_| any(), |(url, _)| url);
                mistakes.take(client(&self.connection, &self.of(), &url, self.timeout))
            }
        };
        let (Some(poster), Some(client)) = (poster, client) else {
            return mistakes.failed();
        };
        mistakes.or((poster, client))
    }

    /// Returns what makes the requests.
    fn poster(&self) -> Result<Poster, BuildError> {
        let mut mistakes = Mistakes::default();
        let shown_url = without_user_info(&self.url);
        let target = target(&self.url).map_err(|remedy| self.wrong("url", &shown_url, remedy));
        let (url, user_info) = mistakes.take(target).unzip();
        let headers = headers(&self.of(), &self.headers, user_info.flatten());
        let headers = mistakes.take(headers);
        let signer = mistakes.take(Signer::new(&self.of(), &self.signing_secrets));
        let body_signers = mistakes.take(BodySigner::all(&self.of(), &self.hmac_signatures));
        let (Some(url), Some(headers)) = (url, headers) else {
            return mistakes.failed();
        };
        let (Some(signer), Some(body_signers)) = (signer, body_signers) else {
            return mistakes.failed();
        };
        let keys = self.signing_secrets.iter();
        let keys = keys.chain(self.hmac_signatures.iter().map(|(_, secret)| secret));
        // Responses and errors may repeat what was sent, including the proxy's credentials.
        let mut sent = headers.clone();
        sent.extend(
            proxy_authorization(&self.connection, &url).map(|it| (PROXY_AUTHORIZATION, it)),
        );
        mistakes.or(Poster {
            timeout: self.timeout,
            encoding: self.encoding.clone(),
            url,
            shown_url,
            secrets: Secrets::of(&sent, &self.url, keys.map(String::as_str)),
            headers: Poster::headers(&headers, self.encoding.format),
            signer,
            body_signers,
            sequence: self.sequence.then(|| Sequence::new(&self.name)),
            retry: self.retry.clone(),
        })
    }

    /// Returns what is written before the name of a setting.
    fn of(&self) -> String {
        format!("endpoint {:?}: ", shown_name(&self.name))
    }

    fn wrong(&self, field: &str, value: impl fmt::Display, remedy: &str) -> BuildError {
        BuildError::new(&format!("{}{field}", self.of()), value, remedy)
    }
}

impl Checked {
    pub(crate) fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// Returns the side of the endpoint that events are written to, and its worker to
    /// be spawned. Applies the layers, which may need a runtime.
    pub(crate) fn start(
        self,
        context: EndpointContext,
    ) -> (Arc<Running>, impl Future<Output = ()> + Send + 'static) {
        let Self {
            endpoint,
            poster,
            client,
        } = self;
        let layers = endpoint.layers.iter();
        let transport = layers.fold(client, |transport, wrap| transport.layered(|it| wrap(it)));
        let settings = endpoint.settings();
        let name: Arc<str> = endpoint.name.as_str().into();
        let counts = Arc::new(Counts::new(&name));
        let sink = endpoint.dead_letters.or(context.dead_letters);
        let dead_letters = DeadLetterWriter::new(name.clone(), sink, counts.clone());
        let (store, clock) = (context.store, context.clock);
        let queue = queue(endpoint.limits, store, clock, &counts, &dead_letters);
        let switch = Arc::new(Switch::default());
        let leftover = Arc::new(Mutex::new(Leftover::default()));
        let url = match endpoint.destination {
            Some(_) => String::new(),
            None => poster.shown_url.clone(),
        };
        let worker = Worker {
            name: name.clone(),
            queue: queue.clone(),
            counts: counts.clone(),
            dead_letters: dead_letters.clone(),
            switch: switch.clone(),
            poster: Arc::new(poster),
            transport,
            destination: endpoint.destination,
            retry: endpoint.retry,
            concurrency: endpoint.concurrency,
            batch: endpoint.batch,
            random: fastrand::Rng::new(),
            in_flight: InFlight::default(),
            leftover: leftover.clone(),
        };
        let running = Running {
            name,
            url,
            settings,
            format: endpoint.encoding.format,
            filter: endpoint.filter,
            overflow: endpoint.overflow,
            queue,
            counts,
            dead_letters,
            switch,
            leftover,
        };
        (Arc::new(running), worker.run())
    }
}

/// Returns a queue that counts the events it accepts, and those that its store has lost.
fn queue(
    limits: Limits,
    store: Option<Box<dyn Store>>,
    clock: fn() -> SystemTime,
    counts: &Arc<Counts>,
    dead_letters: &Arc<DeadLetterWriter>,
) -> Arc<Queue> {
    let (counts, dead_letters) = (counts.clone(), dead_letters.clone());
    let accepted = move |events| counts.written(events);
    let why = "the store of the queue cannot read them any more";
    let missing = move |events| dead_letters.lose(events, Reason::Damaged, why);
    Queue::of(limits, store, clock, accepted, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for wrong in [
            "",
            "h/p",
            "ftp://me:hush@h",
            "http://",
            "http://me:hush@",
            "http://me:a/hush@h",
            "me:hush@h",
            "http://a b",
            "https://me:hush@bücher.example",
        ] {
            let Err(error) = Endpoint::new("e", wrong).checked() else {
                panic!("{wrong:?} was taken");
            };
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_shown_is_refused() {
        for (name, remedy) in [
            ("https://me:hush@h/p", "with a password"),
            ("ci url: https://me:hush@h", "with a password"),
            ("http://me:hush", "with a password"),
            ("c\ni", "control characters"),
            ("c\u{9b}2Ji", "control characters"),
        ] {
            let endpoint = Endpoint::new(name, "http://h").timeout(std::time::Duration::ZERO);
            let shown = format!("{endpoint:?}");
            let Err(error) = endpoint.checked() else {
                panic!("{name:?} was taken");
            };
            let shown = format!("{shown} {error} {error:?}");
            assert!(shown.contains(remedy) && !shown.contains("hush"), "{shown}");
        }
        for name in ["team@ci", "équipe", "https://h/p"] {
            assert!(Endpoint::new(name, "http://h").checked().is_ok(), "{name}");
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let endpoint = Endpoint::new("", "ftp://h")
            .timeout(std::time::Duration::ZERO)
            .queue_events(0)
            .queue_bytes(0)
            .header("a b", "v")
            .header("c", "v\n")
            .sign(["short", "whsec_short"])
            .sign_hmac("x-signature", "")
            .on_status(3, crate::endpoint::StatusMeaning::Retry)
            .retry(crate::endpoint::Backoff::new().attempts(0));
        let Err(error) = endpoint.checked() else {
            panic!("taken");
        };
        let fields: Vec<_> = error.mistakes().iter().map(|it| it.field()).collect();
        let names = [
            "name",
            "timeout",
            "queue_events",
            "queue_bytes",
            "retry attempts",
            "on_status",
            "url",
            "header 1",
            "header 2",
            "signing secret 1",
            "signing secret 2",
            "HMAC signature 1",
        ];
        let expected: Vec<_> = names.map(|it| format!("endpoint \"\": {it}")).into();
        assert_eq!(fields, expected);
        assert_eq!(error.to_string().lines().count(), names.len());
    }
}
