//! Estimates when messages came: [`Clock`].

use std::time::Duration;

use tokio::time::Instant;

/// Estimates when a message came: never later than it did.
///
/// A process that was stopped for a while finds messages in its sockets that came long
/// before it reads them. They are not older than the last time that it looked and found
/// none. Right after a stop a look that finds nothing is not trusted, because other
/// tasks of this process have yet to read the sockets.
#[derive(Debug)]
pub(super) struct Clock {
    /// When the last trusted look found nothing.
    idle: Instant,
    /// When this process was last known to run.
    ran: Instant,
    /// Since when it has run without a stop.
    steady: Instant,
}

/// After a gap of this length the process must have been stopped: it looks every 100 ms.
const STOP: Duration = Duration::from_millis(700);

/// How long after a stop it takes at most to read what is in the sockets.
const SETTLE: Duration = Duration::from_millis(500);

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            idle: now,
            ran: now,
            steady: now,
        }
    }

    /// Notes that the process runs. Returns when the messages that have been read came, or
    /// an earlier time.
    pub(super) fn wakes(&mut self, now: Instant) -> Instant {
        if now >= self.ran + STOP {
            self.steady = now;
        }
        self.ran = now;
        self.idle
    }

    /// Notes that there are no more messages to read.
    pub(super) fn idle(&mut self, now: Instant) {
        self.wakes(now);
        if now >= self.steady + SETTLE || self.idle >= self.steady {
            self.idle = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_old_as_the_last_look_that_found_nothing() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let at = |millis| start + Duration::from_millis(millis);
        clock.idle(at(100));
        assert_eq!(clock.wakes(at(150)), at(100));
        clock.idle(at(150));
        clock.idle(at(250));
        // Stopped for 20 s: what is found then came at any time since.
        assert_eq!(clock.wakes(at(20_000)), at(250));
        clock.idle(at(20_000));
        assert_eq!(clock.wakes(at(20_100)), at(250));
        clock.idle(at(20_100));
        clock.idle(at(20_499));
        assert_eq!(clock.wakes(at(20_499)), at(250));
        clock.idle(at(20_500));
        assert_eq!(clock.wakes(at(20_550)), at(20_500));
        clock.idle(at(20_600));
        assert_eq!(clock.wakes(at(20_600)), at(20_600));
    }
}
