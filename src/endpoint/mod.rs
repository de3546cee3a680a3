//! A named webhook target: [`Endpoint`].
//!
//! This is the place that assembles: filter → queue → batch → retry → timeout
//! → HTTP POST. Each part can be read without knowing the others.

mod batch;
mod dead_letter;
mod delivery;
mod endpoint;
mod gate;
mod retry;
mod running;
mod status;
mod switch;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::batch::Batch;
use self::dead_letter::Grave;
pub use self::dead_letter::{
    DeadLetter, DeadLetterChannel, DeadLetterFile, DeadLetterSink, DeadLetters, Reason,
};
pub use self::delivery::{AddressPolicy, Delivery};
use self::delivery::{Poster, Secrets, headers};
pub(crate) use self::delivery::{Signer, target};
pub use self::endpoint::EndpointBuilder;
pub use self::retry::{Backoff, Breaker, RetryPolicy};
pub(crate) use self::running::Running;
use self::status::Counts;
pub use self::status::{EndpointState, EndpointStatus};
use self::switch::Switch;
use self::worker::{Desk, Worker};
use crate::notifier::{BuildError, without_user_info};
use crate::queue::MemoryQueue;

/// A named webhook target with its own filter, queue, retry policy and delivery.
///
/// Events are posted one at a time and one in each request, in the order of
/// their acceptance, and tried again until the receiver accepts or rejects
/// them. What a [`Backoff`], the default, makes of each answer stands there;
/// with a [`Breaker`] everything but success is tried again.
///
/// | the receiver | what it means with a [`Backoff`] |
/// | --- | --- |
/// | refuses connections, resets them, or has a certificate that is not trusted | tried again |
/// | hangs, before the status or while sending it | tried again after the [timeout](EndpointBuilder::timeout) |
/// | answers 2xx, and its body hangs, breaks or never ends | accepted: the status alone decides |
/// | answers 5xx for a while | tried again; events of other repositories go on, unless they fail too |
/// | answers 429 or 503 with `Retry-After` | left alone for so long |
/// | answers 400 for one event of many | a dead letter; all others go on |
/// | answers 410 | the endpoint is disabled, its events wait |
/// | answers 3xx | tried again; a redirect is not followed |
/// | answers something that is not HTTP | tried again |
#[derive(Debug)]
pub enum Endpoint {}

impl Endpoint {
    /// Begins to configure an endpoint. Its name stands in status and metrics;
    /// the URL is `http` or `https`, and its user info is sent as Basic
    /// authorization. The URL is shown in the status, but for the user info: a
    /// secret in its path or query belongs into a
    /// [header](EndpointBuilder::header) if the receiver takes one.
    pub fn builder(name: impl Into<String>, url: impl Into<String>) -> EndpointBuilder {
        EndpointBuilder::new(name.into(), url.into())
    }
}

impl EndpointBuilder {
    /// The endpoint's own part of a notifier, and its worker to be spawned.
    pub(crate) fn build(
        mut self,
    ) -> Result<(Arc<Running>, impl Future<Output = ()> + Send + 'static), BuildError> {
        self.check()?;
        let shown = without_user_info(&self.url);
        let settings = self.settings();
        let (poster, delivery) = self.poster(&shown)?;
        let name: Arc<str> = self.name.as_str().into();
        let queue = Arc::new(MemoryQueue::new(self.limits));
        let counts = Arc::new(Counts::new(&name));
        let dead_letters = self.dead_letters.map(Arc::from);
        let grave = Arc::new(Grave::new(name.clone(), dead_letters, counts.clone()));
        let switch = Arc::new(Switch::default());
        let worker = Worker {
            name: name.clone(),
            queue: queue.clone(),
            counts: counts.clone(),
            grave: grave.clone(),
            switch: switch.clone(),
            poster: Arc::new(poster),
            delivery,
            retry: self.retry,
            concurrency: self.concurrency,
            batch: self.batch,
            random: fastrand::Rng::new(),
            desk: Desk::default(),
        };
        let running = Running {
            name,
            url: shown,
            settings,
            filter: self.filter,
            overflow: self.overflow,
            queue,
            counts,
            grave,
            switch,
        };
        Ok((Arc::new(running), worker.run()))
    }

    fn error(&self, field: &str, value: &dyn fmt::Display, remedy: &str) -> BuildError {
        BuildError::new(&format!("endpoint {:?}: {field}", self.name), value, remedy)
    }

    /// Do the settings make sense?
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.name.is_empty() {
            let remedy = "give each endpoint a name of its own";
            return Err(self.error("name", &"", remedy));
        }
        if self.timeout.is_zero() {
            return Err(self.error("timeout", &"0", "must be longer than nothing"));
        }
        for (field, number) in [
            ("most events", self.limits.events),
            ("most bytes", self.limits.bytes),
            ("concurrency", self.concurrency),
            ("batch events", self.batch.events),
            ("batch bytes", self.batch.bytes),
        ] {
            if number == 0 {
                return Err(self.error(field, &number, "must be at least 1"));
            }
        }
        self.filter.check(&format!("endpoint {:?}", self.name))?;
        let error = |field: &str, value: &dyn fmt::Display, remedy: &str| {
            self.error(&format!("retry {field}"), value, remedy)
        };
        self.retry.policy().check(&error)
    }

    /// Takes what it needs; the URL is shown as `shown`.
    fn poster(&mut self, shown: &str) -> Result<(Poster, Delivery), BuildError> {
        let remedy = "write a URL like https://receiver.example.com/events";
        let (url, user_info) =
            target(&self.url).ok_or_else(|| self.error("url", &shown, remedy))?;
        let headers = headers(&self.headers, user_info).map_err(|number| {
            let remedy = "name or value is no valid HTTP header";
            self.error("header", &number, remedy)
        })?;
        let signer = match &*self.signing_secrets {
            [] => None,
            secrets => Some(Signer::new(secrets).map_err(|number| {
                let remedy = "write whsec_ and the base64 of 24 to 64 bytes";
                self.error("signing secret", &number, remedy)
            })?),
        };
        let client = match self.client.take() {
            Some(client) => self.transport.unused().map(|()| client),
            None => self.transport.client(&url, self.timeout),
        };
        let client = client.map_err(|it| self.error(it.field, &it.value, &it.remedy))?;
        // A layer may need the runtime, which there may not be for no use.
        let layers = self.layers.drain(..).filter(|_| !self.disabled);
        let delivery = layers.fold(client, |it, wrap| wrap(it));
        let poster = Poster {
            timeout: self.timeout,
            encoding: self.encoding,
            batch: self.batch.events > 1,
            url,
            secrets: Secrets::of(&headers, &self.url),
            headers,
            signer,
            accept_redirects: self.accept_redirects,
        };
        Ok((poster, delivery))
    }

    /// What the status tells of the configuration: no secrets.
    fn settings(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("format", format!("{:?}", self.encoding.format)),
            ("compact", self.encoding.compact.to_string()),
            ("headers", self.headers.len().to_string()),
            ("signatures", self.signing_secrets.len().to_string()),
            ("timeout", format!("{:?}", self.timeout)),
            ("retry", format!("{:?}", self.retry.policy())),
            ("accept_redirects", self.accept_redirects.to_string()),
            ("concurrency", self.concurrency.to_string()),
            ("batch", format!("{:?}", self.batch)),
            ("filter", format!("{:?}", self.filter)),
            ("queue_limits", format!("{:?}", self.limits)),
            ("overflow", format!("{:?}", self.overflow)),
            ("transport", format!("{:?}", self.transport)),
            ("dead_letters", self.dead_letters.is_some().to_string()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let builder = Endpoint::builder("e", "http://me:hush@h/p?q").header("x", "hush");
        assert!(!format!("{builder:?}").contains("hush"));
        let (url, authorization) = target("http://me:hu%73h@h/p?q").unwrap();
        assert_eq!(url, "http://h/p?q");
        assert_eq!(authorization.unwrap(), "Basic bWU6aHVzaA==");
        for wrong in [
            "",
            "h/p",
            "ftp://me:hush@h",
            "http://",
            "http://me:hush@",
            "http://me:a/hush@h",
            "me:hush@h",
            "http://a b",
        ] {
            let Err(error) = Endpoint::builder("e", wrong).build() else {
                panic!("{wrong:?} was taken");
            };
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
    }
}
