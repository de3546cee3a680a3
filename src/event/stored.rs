//! The form in which events outlive the process: lossless JSON on one line.
//!
//! ```json
//! {"version":1,"acceptedAt":"2026-11-23T17:59:04.65Z","kind":"blob","traceParent":"00-…","event":{…}}
//! ```
//!
//! `event` is the event in format v2, which lacks the other fields; `kind` is
//! left out if it follows from the event, and `traceParent` if there is none. Version
//! 2 adds `publicHost` before `event`.
//! A version never changes. A new field needs a new version, and every version that
//! was ever written can be read (`tests/event/golden`).

use std::fmt;
use std::time::SystemTime;

use ::serde::Deserialize;

use super::format::{key, start, write_distribution};
use super::{Event, Format, Kind, SharedEvent, timestamp};

/// The latest version. It is written only if the one before lacks a field that the
/// event has, so that earlier releases can read as many events as possible.
const VERSION: u64 = 2;

/// The size in bytes of the largest stored event that is read. The events of the
/// layer and the bridge are smaller, because their references are bounded.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// Writes an event without losing anything, and without a line end.
pub(crate) fn to_bytes(event: &SharedEvent) -> Vec<u8> {
    let mut json = start(event, 0, true);
    json.object(|json| {
        let public_host = &*event.source().public_host;
        json.number(key!("version"), if public_host.is_empty() { 1 } else { 2 });
        json.bytes(key!("acceptedAt"), |out| {
            timestamp::write(out, event.accepted_at());
        });
        if let Some(kind) = event.known_kind() {
            json.string(key!("kind"), kind.as_str());
        }
        json.non_empty(key!("traceParent"), event.trace_parent());
        json.non_empty(key!("publicHost"), public_host);
        json.key(key!("event"));
        write_distribution(json, event, Format::V2);
    });
    json.into_bytes()
}

/// Reads what [`to_bytes`] of this version or an earlier one has written.
///
/// # Errors
///
/// If the bytes are too many, not such an event, or of a later version.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<SharedEvent, StoredError> {
    if bytes.len() > MOST_BYTES {
        return Err(StoredError::TooLarge);
    }
    // The version is read first, because a later one may have other fields.
    let Version { version } = serde_json::from_slice(bytes).map_err(StoredError::Json)?;
    if !(1..=VERSION).contains(&version) {
        return Err(StoredError::Version(version));
    }
    let stored: Stored = serde_json::from_slice(bytes).map_err(StoredError::Json)?;
    Ok(stored.into())
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    #[serde(with = "timestamp")]
    accepted_at: SystemTime,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    trace_parent: String,
    #[serde(default)]
    public_host: String,
    event: Event,
}

impl From<Stored> for SharedEvent {
    fn from(stored: Stored) -> Self {
        let mut event = stored.event;
        event.kind = stored.kind;
        event.request.trace_parent = stored.trace_parent;
        let mut source = std::mem::take(&mut event.source);
        source.public_host = stored.public_host;
        Self::accepted(&event, source, stored.accepted_at)
    }
}

/// The same form, as a field of another value that is serialized as JSON.
pub(crate) mod serde {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use serde_json::value::RawValue;

    use super::{SharedEvent, from_bytes, to_bytes};

    pub(crate) fn serialize<S: Serializer>(
        event: &SharedEvent,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8(to_bytes(event)).map_err(ser::Error::custom)?;
        let stored = RawValue::from_string(text).map_err(ser::Error::custom)?;
        stored.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SharedEvent, D::Error> {
        let stored = Box::<RawValue>::deserialize(deserializer)?;
        from_bytes(stored.get().as_bytes()).map_err(de::Error::custom)
    }
}

/// The reason why stored bytes are not an event.
#[derive(Debug)]
pub(crate) enum StoredError {
    TooLarge,
    Version(u64),
    Json(serde_json::Error),
}

impl fmt::Display for StoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "stored event is larger than {MOST_BYTES} bytes"),
            Self::Version(version) => write!(
                f,
                "stored event has version {version}, this release reads up to {VERSION}"
            ),
            Self::Json(error) => write!(f, "not a stored event: {error}"),
        }
    }
}

impl std::error::Error for StoredError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::TooLarge | Self::Version(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
