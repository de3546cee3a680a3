//! An entry of the index, which says what is not settled of a chunk: [`Row`].
//!
//! With the index, settling, freeing and skipping need not read the chunks themselves,
//! which are a hundred times as large. A damaged row is rebuilt from its chunk, which
//! states who wanted its events: they are delivered again then, and none is lost.

use std::time::{Duration, SystemTime};

use super::bits::{Bits, EndpointId};
use super::codec::{self, Damage, Decoder, Table};

const VERSION: u8 = 1;

/// The state of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Number of events in the chunk.
    pub(super) count: u32,
    /// Bytes that the chunk takes in the file.
    pub(super) bytes: u64,
    /// When the first and the last of its events were accepted, or sent again, in
    /// milliseconds since 1970.
    pub(super) oldest: u64,
    pub(super) newest: u64,
    /// When the last of its events was settled, in milliseconds since 1970. 0 while some are
    /// not settled.
    pub(super) settled: u64,
    /// The endpoints that wanted any of its events, each with those that it has not settled.
    pub(super) left: Vec<(EndpointId, Bits)>,
}

impl Row {
    pub(super) fn encode(&self, first: u64) -> Vec<u8> {
        let mut out = vec![VERSION];
        codec::put(&mut out, self.count.into());
        codec::put(&mut out, self.bytes);
        codec::put(&mut out, self.oldest);
        codec::put(&mut out, self.newest.saturating_sub(self.oldest));
        codec::put(&mut out, self.settled);
        codec::put(&mut out, self.left.len() as u64);
        for (endpoint, left) in &self.left {
            codec::put(&mut out, endpoint.0.into());
            left.put(&mut out, self.count);
        }
        codec::seal(Table::Index, first, out)
    }

    pub(super) fn decode(first: u64, value: &[u8]) -> Result<Self, Damage> {
        let mut input = Decoder(codec::unseal(Table::Index, first, value)?);
        if input.byte()? != VERSION {
            return Err(Damage::Content);
        }
        let count = input.small()?;
        let bytes = input.number()?;
        let oldest = input.number()?;
        let newest = oldest.saturating_add(input.number()?);
        let settled = input.number()?;
        let mut left = Vec::new();
        for _ in 0..input.size()? {
            let endpoint = EndpointId(input.small()?);
            left.push((endpoint, Bits::read(&mut input, count)?));
        }
        input.end()?;
        Ok(Self {
            count,
            bytes,
            oldest,
            newest,
            settled,
            left,
        })
    }

    /// Returns the start of the age of an event that was accepted at `time`. An event that
    /// was sent again is as old as its chunk.
    pub(super) fn since(&self, time: SystemTime) -> SystemTime {
        time.max(SystemTime::UNIX_EPOCH + Duration::from_millis(self.oldest))
    }

    /// Returns the position after its last event.
    pub(super) fn end(&self, first: u64) -> u64 {
        first + u64::from(self.count)
    }

    /// Returns what is not settled at an endpoint. `None` if the row does not mention it.
    pub(super) fn left_for(&self, endpoint: EndpointId) -> Option<&Bits> {
        let mut left = self.left.iter();
        left.find(|(id, _)| *id == endpoint).map(|(_, left)| left)
    }

    pub(super) fn left_for_mut(&mut self, endpoint: EndpointId) -> Option<&mut Bits> {
        let mut left = self.left.iter_mut();
        left.find(|(id, _)| *id == endpoint).map(|(_, left)| left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back() {
        let row = Row {
            count: 100,
            bytes: 20_000,
            oldest: 1_790_000_000_000,
            newest: 1_790_000_000_005,
            settled: 0,
            left: vec![
                (EndpointId(0), Bits::All),
                (EndpointId(7), Bits::None),
                (EndpointId(900), Bits::of(100, |index| index % 3 == 0)),
            ],
        };
        let value = row.encode(5);
        assert_eq!(Row::decode(5, &value), Ok(row.clone()));
        assert_eq!(Row::decode(6, &value), Err(Damage::Checksum));
        assert_eq!(row.end(5), 105);
        assert_eq!(row.left_for(EndpointId(7)), Some(&Bits::None));
        assert_eq!(row.left_for(EndpointId(8)), None);
    }
}
