//! Processor time of a process, as Linux reports it.

use std::time::Duration;

/// The time that the threads of a process have run so far.
pub(crate) fn used(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("Linux");
    let time = |thread: std::io::Result<std::fs::DirEntry>| {
        // In nanoseconds, and first in the line. A thread may have ended.
        let line = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(time).sum())
}
