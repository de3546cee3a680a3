//! Keeps the log from repeating itself.

use std::time::Duration;

use tokio::time::Instant;

/// A condition that may last long. It is logged when it begins, and again only after
/// it has ended and [`QUIET`] has passed, so that a receiver that fails now and then
/// does not fill the log.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    on: bool,
    logged: Option<Instant>,
}

/// How long a log line suppresses those after it.
const QUIET: Duration = Duration::from_secs(5 * 60);

impl Throttle {
    /// Notes that the condition holds. Returns whether to log it.
    pub(super) fn happens(&mut self) -> bool {
        let now = Instant::now();
        let recent = self.logged.is_some_and(|logged| now < logged + QUIET);
        if self.on || recent {
            return false;
        }
        self.on = true;
        self.logged = Some(now);
        true
    }

    /// Notes that the condition has ended. Returns whether its beginning was logged.
    pub(super) fn ends(&mut self) -> bool {
        std::mem::take(&mut self.on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ongoing_trouble_is_logged_once_and_again_after_an_interval() {
        let mut throttle = Throttle::default();
        assert!(throttle.happens() && !throttle.happens());
        tokio::time::advance(2 * QUIET).await;
        assert!(!throttle.happens(), "it still goes on");
        assert!(throttle.ends() && !throttle.ends());
        assert!(throttle.happens() && throttle.ends());
        assert!(!throttle.happens() && !throttle.ends(), "too soon");
        tokio::time::advance(QUIET).await;
        assert!(throttle.happens());
    }
}
