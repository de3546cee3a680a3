use std::time::Duration;

use tokio::time::Instant;

/// When to try again.
pub(crate) trait Retry: Send + 'static {
    /// How long to wait before the next attempt.
    fn wait(&self, now: Instant) -> Duration;
    /// The attempt failed.
    fn failed(&mut self, now: Instant);
    /// The attempt succeeded.
    fn succeeded(&mut self);
}

/// The reference's breaker: retries at once, until so many attempts in a row
/// have failed that it is open; then once in every `backoff`. It never drops.
#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u32,
    backoff: Duration,
    failures: u32,
    last: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(threshold: u32, backoff: Duration) -> Self {
        Self {
            threshold,
            backoff,
            failures: 0,
            last: None,
        }
    }
}

impl Retry for Breaker {
    fn wait(&self, now: Instant) -> Duration {
        let open = self.last.filter(|_| self.failures >= self.threshold);
        open.map_or(Duration::ZERO, |last| {
            self.backoff
                .saturating_sub(now.saturating_duration_since(last))
        })
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_at_the_threshold_and_closes_on_success() {
        let second = Duration::from_secs(1);
        let mut breaker = Breaker::new(2, second);
        let start = Instant::now();
        breaker.failed(start);
        assert_eq!(breaker.wait(start), Duration::ZERO);
        breaker.failed(start);
        assert_eq!(breaker.wait(start), second);
        assert_eq!(breaker.wait(start + second / 4), second * 3 / 4);
        assert_eq!(breaker.wait(start + second), Duration::ZERO);
        breaker.failed(start + second);
        assert_eq!(breaker.wait(start + second), second, "open at once");
        breaker.succeeded();
        assert_eq!(breaker.wait(start + second), Duration::ZERO);
    }
}
