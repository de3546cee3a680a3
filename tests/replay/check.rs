//! Compares the deliveries of a recording with what the layer made of it.
//!
//! Everything that a request, a response or an earlier exchange determines is
//! compared to the byte. The rest (ids, times, the registry's name for itself and
//! for its clients' connections) is taken from the recording and held against
//! rules; what no rule can tell goes into a digest.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_registry_notifications::event::{Action, Envelope, Event};
use tower_registry_notifications::{Format, SourceRecord};
use uuid::Uuid;

use crate::corpus::Exchange;
use crate::reference::{Difference, PEER};
use crate::registry::sha256;

/// Longest time between an event and the `Date` of its response.
const AROUND_THE_RESPONSE: Duration = Duration::from_secs(60);
/// Longest time between making an id and taking the time of its event.
const BETWEEN_ID_AND_TIME: Duration = Duration::from_secs(1);

/// What an exchange was replayed to.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The events of the layer.
    pub(crate) ours: Vec<Event>,
    /// Those that the reference posts after them, and why.
    pub(crate) only_there: Option<(Difference, Vec<Event>)>,
}

/// An exchange whose deliveries are as they must be.
#[derive(Debug)]
pub(crate) struct Compared {
    n: u64,
    identical: usize,
    difference: Option<Difference>,
    taken: Vec<Taken>,
}

/// What differs from run to run.
#[derive(Debug)]
struct Taken {
    id: String,
    timestamp: SystemTime,
    request_id: String,
    /// `None` if the request determines it.
    connection: Option<String>,
    source: SourceRecord,
}

impl Taken {
    /// Checks what two events in a row have in common.
    fn follows(&self, before: Option<&Self>) -> Result<(), String> {
        let before = before.unwrap_or(self);
        if before.source != self.source {
            return Err(format!("from {:?}", self.source));
        }
        if before.timestamp > self.timestamp {
            return Err(format!("out of order: {:?}", self.timestamp));
        }
        // The version of a UUID is its 15th character.
        let version = |id: &str| id.as_bytes().get(14).copied();
        let versions = [&before.id, &self.id, &self.request_id].map(|id| version(id));
        if versions.iter().any(|it| *it != versions[0]) {
            return Err("ids of two versions".into());
        }
        Ok(())
    }

    fn line(&self) -> String {
        let time = self.timestamp.duration_since(UNIX_EPOCH).unwrap();
        let (id, request, source) = (&self.id, &self.request_id, &self.source);
        let connection = self.connection.as_deref().unwrap_or_default();
        let (addr, instance) = (&source.addr, &source.instance_id);
        let time = time.as_nanos();
        format!("{id} {time} {request} {connection} {addr} {instance}\n")
    }
}

/// A recording that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) exchanges: usize,
    pub(crate) deliveries: usize,
    pub(crate) identical: usize,
    pub(crate) differences: BTreeMap<Difference, usize>,
    /// The clients' connections, and how many deliveries in a row name each.
    pub(crate) connections: Vec<(String, usize)>,
    /// Digest of all that was taken from the recording.
    pub(crate) taken: String,
}

/// Why a recording does not fit.
#[derive(Debug)]
pub(crate) struct Mismatch {
    n: u64,
    why: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exchange {}: {}", self.n, self.why)
    }
}

/// Returns the wire format of a file.
pub(crate) fn format(file: &str) -> Format {
    match file.contains("v2.8") {
        true => Format::V1,
        false => Format::V2,
    }
}

/// Encodes one event as its delivery.
pub(crate) fn encode(event: &Event, format: Format) -> String {
    String::from_utf8(Envelope::new([event.clone()]).encode(format)).unwrap()
}

/// Reads a delivery.
pub(crate) fn read(delivery: &str) -> Result<Event, String> {
    let envelope: Envelope = serde_json::from_str(delivery).map_err(|e| e.to_string())?;
    let [event] = <[Event; 1]>::try_from(envelope.events)
        .map_err(|events| format!("{} events in a delivery", events.len()))?;
    Ok(event)
}

/// Checks a whole recording.
pub(crate) fn check(
    exchanges: &[Exchange],
    replayed: &[Replayed],
    format: Format,
) -> Result<Summary, Mismatch> {
    conclude(&compare_all(exchanges, replayed, format)?)
}

pub(crate) fn compare_all(
    exchanges: &[Exchange],
    replayed: &[Replayed],
    format: Format,
) -> Result<Vec<Compared>, Mismatch> {
    assert_eq!(exchanges.len(), replayed.len());
    let pairs = exchanges.iter().zip(replayed);
    let compared =
        pairs.map(|(exchange, replayed)| compare(exchange, &exchange.deliveries, replayed, format));
    compared.collect()
}

/// Checks the deliveries of one exchange.
pub(crate) fn compare(
    exchange: &Exchange,
    deliveries: &[String],
    replayed: &Replayed,
    format: Format,
) -> Result<Compared, Mismatch> {
    let mismatch = |why| Mismatch { n: exchange.n, why };
    let more = replayed.only_there.iter().flat_map(|(_, events)| events);
    let mut expected: Vec<_> = replayed.ours.iter().chain(more).collect();
    let mut taken = Vec::new();
    for delivery in deliveries {
        let recorded = read(delivery).map_err(|e| mismatch(format!("{e} in {delivery}")))?;
        let fits = |event: &&Event| encode(&with_taken(event, &recorded), format) == *delivery;
        // The tags that went with a manifest may come in any order, but after it.
        let choice = match expected.first() {
            Some(next) if is_tag_deleted(next) => expected.len(),
            Some(_) => 1,
            None => {
                return Err(mismatch(format!(
                    "nothing more was expected than {delivery}"
                )));
            }
        };
        let Some(at) = expected[..choice].iter().position(fits) else {
            let wanted = encode(&with_taken(expected[0], &recorded), format);
            return Err(mismatch(format!("{wanted}\nrecorded as\n{delivery}")));
        };
        let connection = expected.remove(at).request.addr == PEER;
        taken.push(take(exchange, recorded, connection).map_err(mismatch)?);
    }
    if let Some(missing) = expected.first() {
        let missing = encode(missing, format);
        return Err(mismatch(format!("not in the recording: {missing}")));
    }
    let first = taken.first();
    let same = |it: &Taken| {
        first.is_some_and(|first| {
            it.request_id == first.request_id && it.connection == first.connection
        })
    };
    if !taken.iter().all(same) {
        return Err(mismatch("one request, two records of it".into()));
    }
    Ok(Compared {
        n: exchange.n,
        identical: replayed.ours.len(),
        difference: replayed
            .only_there
            .as_ref()
            .map(|(difference, _)| *difference),
        taken,
    })
}

fn is_tag_deleted(event: &Event) -> bool {
    event.action == Action::Delete && event.target.descriptor.digest.is_empty()
}

/// The expected event, with what differs from run to run as recorded.
fn with_taken(expected: &Event, recorded: &Event) -> Event {
    let mut event = expected.clone();
    let mut request = event.request.clone();
    request.id.clone_from(&recorded.request.id);
    if request.addr == PEER {
        request.addr.clone_from(&recorded.request.addr);
    }
    event.id.clone_from(&recorded.id);
    event.timestamp = recorded.timestamp;
    event.source = recorded.source.clone();
    event.request = request;
    event
}

fn take(exchange: &Exchange, recorded: Event, connection: bool) -> Result<Taken, String> {
    let timestamp = recorded.timestamp;
    if let Some(date) = exchange.response.headers.get("date") {
        let date = httpdate::parse_http_date(date).map_err(|e| e.to_string())?;
        if apart(date, timestamp) > AROUND_THE_RESPONSE {
            return Err(format!(
                "the event of {timestamp:?}, the response of {date:?}"
            ));
        }
    }
    if let Some(made) = made(&recorded.id)?
        && apart(made, timestamp) > BETWEEN_ID_AND_TIME
    {
        return Err(format!("{} is not of {timestamp:?}", recorded.id));
    }
    // A request begins before its events, however long it takes.
    if made(&recorded.request.id)?.is_some_and(|made| made > timestamp) {
        return Err(format!("request {} is later", recorded.request.id));
    }
    let addr = &recorded.request.addr;
    if connection && addr.parse::<SocketAddr>().map(|it| it.to_string()).as_ref() != Ok(addr) {
        return Err(format!("{addr} is no peer"));
    }
    Ok(Taken {
        timestamp,
        id: recorded.id,
        request_id: recorded.request.id.clone(),
        connection: connection.then(|| addr.clone()),
        source: recorded.source.clone(),
    })
}

fn apart(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|e| e.duration())
}

/// Returns when a UUID was made, if it says so.
fn made(id: &str) -> Result<Option<SystemTime>, String> {
    let uuid = Uuid::parse_str(id).map_err(|e| format!("{id}: {e}"))?;
    if uuid.hyphenated().to_string() != id || uuid.get_variant() != uuid::Variant::RFC4122 {
        return Err(format!("{id} is spelled oddly"));
    }
    match uuid.get_version_num() {
        4 => Ok(None),
        7 => {
            let milliseconds = (uuid.as_u128() >> 80) as u64;
            Ok(Some(UNIX_EPOCH + Duration::from_millis(milliseconds)))
        }
        version => Err(format!("{id} is of version {version}")),
    }
}

/// Checks what only all exchanges together show.
pub(crate) fn conclude<'a>(
    compared: impl IntoIterator<Item = &'a Compared>,
) -> Result<Summary, Mismatch> {
    let mut summary = Summary {
        exchanges: 0,
        deliveries: 0,
        identical: 0,
        differences: BTreeMap::new(),
        connections: Vec::new(),
        taken: String::new(),
    };
    let (mut ids, mut requests) = (HashSet::new(), HashSet::new());
    let mut before: Option<&Taken> = None;
    let mut all_taken = Vec::new();
    for compared in compared {
        let mismatch = |why| Mismatch { n: compared.n, why };
        summary.exchanges += 1;
        summary.deliveries += compared.taken.len();
        summary.identical += compared.identical;
        if let Some(difference) = compared.difference {
            *summary.differences.entry(difference).or_default() += 1;
        }
        let request = compared.taken.first().map(|taken| &taken.request_id);
        if request.is_some_and(|id| !requests.insert(id)) {
            return Err(mismatch("its request's id is another's".into()));
        }
        for taken in &compared.taken {
            if !ids.insert(&taken.id) {
                return Err(mismatch(format!("{} is another event's id", taken.id)));
            }
            taken.follows(before).map_err(mismatch)?;
            before = Some(taken);
            if let Some(connection) = &taken.connection {
                match summary.connections.last_mut() {
                    Some((last, count)) if last == connection => *count += 1,
                    _ => summary.connections.push((connection.clone(), 1)),
                }
            }
            all_taken.push(taken);
        }
    }
    let all_taken: Vec<_> = all_taken.into_iter().map(Taken::line).collect();
    summary.taken = sha256(all_taken.concat().as_bytes());
    Ok(summary)
}
