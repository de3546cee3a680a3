//! When messages came: [`Clock`].

use std::time::Duration;

use tokio::time::Instant;

/// Tells when a message came, or rather how long ago at most.
///
/// A process that is stopped for a while finds messages in its sockets that came
/// long before it looks at them. They are not older than the last look that found
/// nothing. After a stop that look is not trusted at first: other tasks of this
/// process have yet to read the sockets.
#[derive(Debug)]
pub(super) struct Clock {
    /// The last look that found nothing, and is trusted.
    idle: Instant,
    /// The last sign that this process runs.
    ran: Instant,
    /// Since when it runs without a stop.
    steady: Instant,
}

/// Without a sign for so long, the process was stopped: it looks every 100 ms.
const STOP: Duration = Duration::from_millis(700);

/// How long it takes to read what is in the sockets.
const SETTLE: Duration = Duration::from_millis(500);

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            idle: now,
            ran: now,
            steady: now,
        }
    }

    /// The process runs. Returns when the messages that are here came, or earlier.
    pub(super) fn wakes(&mut self, now: Instant) -> Instant {
        if now >= self.ran + STOP {
            self.steady = now;
        }
        self.ran = now;
        self.idle
    }

    /// There are no more messages.
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
