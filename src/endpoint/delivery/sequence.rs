//! The numbers of events in requests, by which a receiver notices that one is missing:
//! [`Sequence`].

use std::num::NonZeroU64;

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::event::number_cloud_event;
use crate::queue::Entry;

/// The numbers of the events, in the order of the body.
const SEQUENCE: HeaderName = HeaderName::from_static("notification-sequence");
/// The series that a number belongs to: the events of a source instance at an endpoint.
const PARTITION: HeaderName = HeaderName::from_static("notification-partition");

/// The characters of a partition that are not percent-encoded. They need no escaping in
/// JSON and in headers.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Shows the numbers of one endpoint's events.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    /// The name of the endpoint, percent-encoded.
    endpoint: String,
}

impl Sequence {
    pub(crate) fn new(endpoint: &str) -> Self {
        let endpoint = utf8_percent_encode(endpoint, RESERVED).to_string();
        Self { endpoint }
    }

    /// Returns the number of an event, and its partition. `None` if the event has no
    /// number.
    fn of(&self, entry: &Entry) -> Option<(NonZeroU64, String)> {
        let number = entry.number()?;
        let instance = &*entry.event.source().instance_id;
        if instance.is_empty() {
            return None;
        }
        let instance = utf8_percent_encode(instance, RESERVED);
        Some((number, format!("{instance}/{}", self.endpoint)))
    }

    /// Returns an encoded CloudEvent with its number as attributes.
    pub(crate) fn attributes(&self, event: &[u8], entry: &Entry) -> Vec<u8> {
        match self.of(entry) {
            Some((number, partition)) => number_cloud_event(event, number, &partition),
            None => event.to_vec(),
        }
    }

    /// Returns the headers with the numbers of these events. If their partitions differ,
    /// all are listed, in the same order. `None` if an event has no number.
    pub(crate) fn headers(&self, entries: &[Entry]) -> Option<[(HeaderName, HeaderValue); 2]> {
        let numbered: Option<Vec<_>> = entries.iter().map(|entry| self.of(entry)).collect();
        let (numbers, mut partitions): (Vec<_>, Vec<_>) = numbered?.into_iter().unzip();
        let numbers: Vec<_> = numbers.iter().map(NonZeroU64::to_string).collect();
        if partitions.windows(2).all(|pair| pair[0] == pair[1]) {
            partitions.truncate(1);
        }
        let value = |list: Vec<String>| HeaderValue::try_from(list.join(",")).ok();
        Some([(SEQUENCE, value(numbers)?), (PARTITION, value(partitions)?)])
    }
}
