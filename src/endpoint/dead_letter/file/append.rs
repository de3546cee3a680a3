//! Appends lines to a file so that each is there as a whole or not at all.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use super::super::DeadLetter;

/// A file that lines are appended to. Tests have one that fails.
pub(super) trait Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Appends `lines`, each of which ends at one of `ends`, and syncs them. Returns
/// how many are kept, and the error that the others met.
///
/// `length` is the length of the file, or `None` if it is a pipe or a device,
/// which cannot be synced or cut. After an error, what is not kept is cut off: a
/// part of a line would swallow the next letter.
pub(super) fn append(
    disk: &mut impl Disk,
    length: Option<u64>,
    lines: &[u8],
    ends: &[usize],
) -> (usize, io::Result<()>) {
    let (written, mut result) = write_all(disk, lines);
    let mut kept = ends.partition_point(|end| *end <= written);
    let Some(length) = length else {
        return (kept, result);
    };
    // After a sync that failed, the kernel may have dropped the pages, and a second
    // sync would succeed without them. So none of the lines counts as kept.
    if kept > 0
        && let Err(error) = disk.sync()
    {
        (kept, result) = (0, Err(error));
    }
    if result.is_err() {
        let whole = kept.checked_sub(1).map_or(0, |last| ends[last]);
        // If this fails, the next writer repairs the file when it opens it.
        let _cut = disk.truncate(length + whole as u64);
    }
    (kept, result)
}

/// Writes as much as it can, and returns how much that is.
fn write_all(disk: &mut impl Disk, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match disk.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Makes the file end with a whole line, and returns its length.
///
/// A last line without a newline is completed if it is a letter, because an editor
/// may have left it so. Anything else was cut off by a crash or a full disk before it
/// was reported as kept, and is removed.
pub(super) fn repair(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let start = last_line(file, length)?;
    if start == length {
        return Ok(length);
    }
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut line)?;
    if serde_json::from_slice::<DeadLetter>(&line).is_ok() {
        file.write_all(b"\n")?;
        return Ok(length + 1);
    }
    tracing::warn!(
        bytes = line.len(),
        "a dead letter that was cut off is removed"
    );
    file.set_len(start)?;
    Ok(start)
}

/// Returns where a last line without a newline begins, or the end of the file if there
/// is none. Reads backwards block by block, because the file may be large.
fn last_line(file: &mut File, length: u64) -> io::Result<u64> {
    let mut block = [0; 8 << 10];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        // At most the size of the block.
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many more bytes, or whose sync fails.
    struct SmallDisk {
        content: Vec<u8>,
        room: usize,
        syncs: bool,
    }

    impl Disk for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            // A few at a time, as disks may.
            let most = bytes.len().min(self.room).min(3);
            self.content.extend_from_slice(&bytes[..most]);
            self.room -= most;
            Ok(most)
        }

        fn truncate(&mut self, length: u64) -> io::Result<()> {
            self.content.truncate(length as usize);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            match self.syncs {
                true => Ok(()),
                false => Err(io::Error::other("sync failed")),
            }
        }
    }

    const LINES: &[u8] = b"one\ntwo\nthree\n";
    const ENDS: [usize; 3] = [4, 8, 14];

    #[test]
    fn a_full_disk_leaves_no_partial_line() {
        for room in 0..=LINES.len() {
            let mut disk = SmallDisk {
                content: b"zero\n".to_vec(),
                room,
                syncs: true,
            };
            let (kept, result) = append(&mut disk, Some(5), LINES, &ENDS);
            assert_eq!(kept, ENDS.iter().filter(|end| **end <= room).count());
            assert_eq!(result.is_ok(), room == LINES.len());
            let whole = kept.checked_sub(1).map_or(0, |last| ENDS[last]);
            let expected = [b"zero\n", &LINES[..whole]].concat();
            assert_eq!(disk.content, expected, "{room}");
            // The next letter is on a line of its own.
            disk.room = 100;
            let length = disk.content.len() as u64;
            let (kept, result) = append(&mut disk, Some(length), b"next\n", &[5]);
            assert!(kept == 1 && result.is_ok());
            assert!(disk.content.ends_with(b"\nnext\n"));
        }
    }

    #[test]
    fn lines_that_cannot_be_synced_are_not_kept() {
        let mut disk = SmallDisk {
            content: Vec::new(),
            room: 100,
            syncs: false,
        };
        let (kept, result) = append(&mut disk, Some(0), LINES, &ENDS);
        assert_eq!((kept, result.is_err()), (0, true));
        assert!(disk.content.is_empty());
    }
}
