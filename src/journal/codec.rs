//! Encodes numbers, texts and checksums of stored values.
//!
//! Every value ends with a CRC-32 of the table, the key and the content, because redb
//! verifies its pages only when asked for a full check. The table and the key are
//! included so that a value which a flipped bit has moved to another key is noticed too.

use std::fmt;

/// What is wrong with a stored value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The checksum does not match: bytes have changed since they were written.
    Checksum,
    /// The content is too short, although the checksum matches.
    Short,
    /// The content has a value that is never written.
    Content,
    /// A value that another one refers to is missing.
    Missing,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksum => "a stored value does not match its checksum",
            Self::Short => "a stored value is cut off",
            Self::Content => "a stored value is invalid",
            Self::Missing => "a stored value is missing",
        })
    }
}

impl std::error::Error for Damage {}

/// The table that a value belongs to, which is part of its checksum.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Table {
    State = 1,
    Index = 2,
    Chunks = 3,
    Letters = 4,
}

const CHECKSUM: usize = size_of::<u32>();

fn checksum(table: Table, key: u64, content: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[table as u8]);
    hasher.update(&key.to_be_bytes());
    hasher.update(content);
    hasher.finalize().to_le_bytes()
}

/// Appends the checksum.
pub(super) fn seal(table: Table, key: u64, mut content: Vec<u8>) -> Vec<u8> {
    let sum = checksum(table, key, &content);
    content.extend_from_slice(&sum);
    content
}

/// Returns the content, if the checksum matches.
pub(super) fn unseal(table: Table, key: u64, value: &[u8]) -> Result<&[u8], Damage> {
    let (content, sum) = value.split_last_chunk::<CHECKSUM>().ok_or(Damage::Short)?;
    match checksum(table, key, content) == *sum {
        true => Ok(content),
        false => Err(Damage::Checksum),
    }
}

/// Writes `number` in groups of seven bits, lowest first.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The low seven bits, and the mark that more follow.
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes the length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what [`put`] and [`put_bytes`] have written.
pub(super) struct Decoder<'a>(pub(super) &'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        let (first, rest) = self.0.split_first().ok_or(Damage::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, Damage> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Damage::Content);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damage::Content)
    }

    /// Reads a number that counts things. The caller must not reserve memory for that many
    /// before it has read them: the number may be wrong.
    pub(super) fn size(&mut self) -> Result<usize, Damage> {
        usize::try_from(self.number()?).map_err(|_| Damage::Content)
    }

    pub(super) fn small(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.number()?).map_err(|_| Damage::Content)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damage::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.size()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damage> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damage::Content)
    }

    pub(super) fn end(&self) -> Result<(), Damage> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Damage::Content),
        }
    }
}

/// Appends the bytes, compressed with LZ4 if that makes them fewer. The first byte says
/// whether they are compressed.
pub(super) fn put_compressed(out: &mut Vec<u8>, raw: &[u8]) {
    let start = out.len();
    out.push(LZ4);
    put(out, raw.len() as u64);
    let body = out.len();
    out.resize(
        body + lz4_flex::block::get_maximum_output_size(raw.len()),
        0,
    );
    // The output is as large as the documentation asks for, so this never fails.
    let length = lz4_flex::block::compress_into(raw, &mut out[body..]).unwrap_or(usize::MAX);
    if length < raw.len() {
        out.truncate(body + length);
        return;
    }
    out.truncate(start);
    out.push(PLAIN);
    out.extend_from_slice(raw);
}

const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// LZ4 cannot compress by a factor larger than this. A stated size beyond it is wrong and
/// must not be allocated.
const BEST_RATIO: usize = 255;

/// Reads to the end of `input` what [`put_compressed`] has written.
pub(super) fn decompressed(mut input: Decoder<'_>) -> Result<Vec<u8>, Damage> {
    match input.byte()? {
        PLAIN => Ok(input.0.to_vec()),
        LZ4 => {
            let length = input.size()?;
            if length / BEST_RATIO > input.0.len() {
                return Err(Damage::Content);
            }
            let raw = lz4_flex::block::decompress(input.0, length);
            let raw = raw.map_err(|_| Damage::Content)?;
            match raw.len() == length {
                true => Ok(raw),
                false => Err(Damage::Content),
            }
        }
        _ => Err(Damage::Content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_none_is_read_that_is_too_large() {
        let numbers = (0..64).flat_map(|shift| [1_u64 << shift, (1 << shift) - 1]);
        for number in numbers.chain([u64::MAX]) {
            let mut out = Vec::new();
            put(&mut out, number);
            let mut input = Decoder(&out);
            assert_eq!(input.number(), Ok(number));
            assert_eq!(input.end(), Ok(()));
            assert_eq!(Decoder(&out[..out.len() - 1]).number(), Err(Damage::Short));
        }
        assert_eq!(Decoder(&[0xff; 10]).number(), Err(Damage::Content));
        assert_eq!(Decoder(&[0xff; 20]).number(), Err(Damage::Content));
    }

    #[test]
    fn a_value_belongs_to_its_table_and_its_key() {
        let value = seal(Table::Index, 7, b"content".to_vec());
        assert_eq!(unseal(Table::Index, 7, &value), Ok(&b"content"[..]));
        assert_eq!(unseal(Table::Chunks, 7, &value), Err(Damage::Checksum));
        assert_eq!(unseal(Table::Index, 8, &value), Err(Damage::Checksum));
        assert_eq!(unseal(Table::Index, 7, &value[..3]), Err(Damage::Short));
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(Table::Index, 7, &flipped), Err(Damage::Checksum));
        }
    }

    #[test]
    fn bytes_are_compressed_only_if_that_makes_them_fewer() {
        let noise: Vec<u8> = (0..1000_u32).map(|it| (it * it % 251) as u8).collect();
        for (raw, fewer) in [(vec![7; 1000], true), (noise[..50].to_vec(), false)] {
            let mut out = Vec::new();
            put_compressed(&mut out, &raw);
            assert_eq!(out.len() < raw.len(), fewer);
            assert_eq!(decompressed(Decoder(&out)), Ok(raw));
        }
        let mut empty = Vec::new();
        put_compressed(&mut empty, &[]);
        assert_eq!(decompressed(Decoder(&empty)), Ok(Vec::new()));
    }

    #[test]
    fn compressed_bytes_that_are_wrong_allocate_nothing_large() {
        let mut out = vec![LZ4];
        put(&mut out, 1 << 40);
        out.push(0);
        assert_eq!(decompressed(Decoder(&out)), Err(Damage::Content));
        assert_eq!(decompressed(Decoder(&[9, 9])), Err(Damage::Content));
        assert_eq!(decompressed(Decoder(&[])), Err(Damage::Short));
    }
}
