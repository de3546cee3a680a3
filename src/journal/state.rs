//! The counts and endpoints of the journal: [`State`], one small value that is written with
//! each commit.

use std::sync::Arc;

use super::bits::EndpointId;
use super::chunk;
use super::codec::{self, Damage, Decoder, Table};
use super::error::{ErrorKind, JournalError};

/// The version of the file's format. A later one may have other tables.
pub(super) const FORMAT: u64 = 1;

/// The key of the state.
pub(super) const KEY: u64 = 0;

/// Counts and endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The position of the next event. A position is never given twice, even if all events
    /// are gone.
    pub(super) next: u64,
    /// Chunks in the file, their events and bytes.
    pub(super) chunks: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// Number of chunks that are settled and kept for replay.
    pub(super) retained: u64,
    /// Approximately when the oldest event that an endpoint waits for was accepted, in
    /// milliseconds since 1970. 0 if there is none.
    pub(super) oldest: u64,
    /// The id of the next dead letter; the letters and their bytes.
    pub(super) next_letter: u64,
    pub(super) letters: u64,
    pub(super) letter_bytes: u64,
    /// Events lost to damage, counted once for each endpoint that wanted them.
    pub(super) damaged: u64,
    /// Dead letters that were removed because of the limit.
    pub(super) letters_dropped: u64,
    /// The id of the next endpoint. An id is never given twice: rows mention the ids of
    /// endpoints that were removed.
    pub(super) next_endpoint: u32,
    pub(super) endpoints: Vec<EndpointState>,
    /// The number of bytes up to which chunks are filled. Not stored.
    pub(super) fitting: usize,
    /// Where the small chunks begin that were stored since some were packed. Not
    /// stored.
    pub(super) small: Vec<u64>,
}

/// One endpoint, whether it is configured or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndpointState {
    pub(super) id: EndpointId,
    pub(super) name: Arc<str>,
    /// The endpoint has settled every chunk that begins before this.
    pub(super) cursor: u64,
    /// Number of its events that are not settled.
    pub(super) waiting: u64,
    /// The number of the next event that it wants.
    pub(super) next_number: u64,
    /// The source instance that gives these numbers.
    pub(super) instance: Arc<str>,
    /// The positions of chunks that are older than the endpoint and that it gets as a whole,
    /// unless their row says what it has not settled. Empty unless the endpoint was to start
    /// from the oldest event.
    pub(super) adopted: (u64, u64),
}

impl EndpointState {
    pub(super) fn adopts(&self, first: u64) -> bool {
        (self.adopted.0..self.adopted.1).contains(&first)
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            // 0 is before all events.
            next: 1,
            chunks: 0,
            events: 0,
            bytes: 0,
            retained: 0,
            oldest: 0,
            next_letter: 1,
            letters: 0,
            letter_bytes: 0,
            damaged: 0,
            letters_dropped: 0,
            next_endpoint: 0,
            endpoints: Vec::new(),
            fitting: chunk::MOST_BYTES,
            small: Vec::new(),
        }
    }
}

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let numbers = [
            FORMAT,
            self.next,
            self.chunks,
            self.events,
            self.bytes,
            self.retained,
            self.oldest,
            self.next_letter,
            self.letters,
            self.letter_bytes,
            self.damaged,
            self.letters_dropped,
            self.next_endpoint.into(),
            self.endpoints.len() as u64,
        ];
        numbers.into_iter().for_each(|it| codec::put(&mut out, it));
        for endpoint in &self.endpoints {
            codec::put(&mut out, endpoint.id.0.into());
            codec::put_bytes(&mut out, endpoint.name.as_bytes());
            codec::put(&mut out, endpoint.cursor);
            codec::put(&mut out, endpoint.waiting);
            codec::put(&mut out, endpoint.next_number);
            codec::put_bytes(&mut out, endpoint.instance.as_bytes());
            codec::put(&mut out, endpoint.adopted.0);
            codec::put(&mut out, endpoint.adopted.1);
        }
        codec::seal(Table::State, KEY, out)
    }

    /// Reads the state.
    ///
    /// # Errors
    ///
    /// If the state is damaged or of a later format.
    pub(super) fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let mut input = Decoder(codec::unseal(Table::State, KEY, value)?);
        let format = input.number()?;
        if format != FORMAT {
            let message = format!("has format {format}, this release reads {FORMAT}");
            return Err(JournalError::new(ErrorKind::NewerFormat, message));
        }
        Ok(Self::read(&mut input)?)
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Damage> {
        let mut state = Self {
            next: input.number()?,
            chunks: input.number()?,
            events: input.number()?,
            bytes: input.number()?,
            retained: input.number()?,
            oldest: input.number()?,
            next_letter: input.number()?,
            letters: input.number()?,
            letter_bytes: input.number()?,
            damaged: input.number()?,
            letters_dropped: input.number()?,
            next_endpoint: input.small()?,
            endpoints: Vec::new(),
            fitting: chunk::MOST_BYTES,
            small: Vec::new(),
        };
        for _ in 0..input.size()? {
            state.endpoints.push(EndpointState {
                id: EndpointId(input.small()?),
                name: input.text()?.into(),
                cursor: input.number()?,
                waiting: input.number()?,
                next_number: input.number()?,
                instance: input.text()?.into(),
                adopted: (input.number()?, input.number()?),
            });
        }
        input.end()?;
        Ok(state)
    }

    pub(super) fn endpoint(&self, id: EndpointId) -> Option<&EndpointState> {
        self.endpoints.iter().find(|it| it.id == id)
    }

    pub(super) fn endpoint_mut(&mut self, id: EndpointId) -> Option<&mut EndpointState> {
        self.endpoints.iter_mut().find(|it| it.id == id)
    }

    pub(super) fn named(&self, name: &str) -> Option<&EndpointState> {
        self.endpoints.iter().find(|it| &*it.name == name)
    }

    /// Adds an endpoint that has no events yet.
    pub(super) fn add(&mut self, name: &str) -> &mut EndpointState {
        let id = EndpointId(self.next_endpoint);
        self.next_endpoint += 1;
        self.endpoints.push(EndpointState {
            id,
            name: name.into(),
            cursor: self.next,
            waiting: 0,
            next_number: 1,
            instance: "".into(),
            adopted: (0, 0),
        });
        let last = self.endpoints.len() - 1;
        &mut self.endpoints[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_comes_back() {
        let mut state = State {
            next: 1 << 40,
            letters: 3,
            ..State::default()
        };
        state.add("ci").waiting = 17;
        let other = state.add("audit");
        other.instance = "0192".into();
        other.adopted = (1, 99);
        assert!(!other.adopts(0) && other.adopts(98) && !other.adopts(99));
        assert_eq!(State::decode(&state.encode()).unwrap(), state);
        let ids: Vec<_> = state.endpoints.iter().map(|it| it.id.0).collect();
        assert_eq!(ids, [0, 1]);
        state.endpoints.remove(0);
        assert_eq!(state.add("third").id, EndpointId(2));
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let mut later = Vec::new();
        codec::put(&mut later, FORMAT + 1);
        later.extend_from_slice(b"whatever comes then");
        let later = codec::seal(Table::State, KEY, later);
        assert!(State::decode(&later).unwrap_err().is_newer_format());
        let mut damaged = State::default().encode();
        damaged[1] ^= 1;
        assert!(State::decode(&damaged).unwrap_err().is_damaged());
    }
}
