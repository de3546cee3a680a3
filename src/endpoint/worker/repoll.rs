//! Answers wakes that come from a future's own poll at once: [`repolling`].

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Runs a future, and polls it again at once if it was woken while it was
/// polled.
///
/// A task that wakes itself is put at the end of its runtime's line, and a
/// runtime with several threads wakes another thread to help with the line: two
/// system calls, and 40 µs on a core that sleeps. A worker would do so with each
/// attempt. `FuturesUnordered` wakes its task whenever it has polled all of its
/// futures, and a connection of hyper's wakes the task that polls it with each
/// request that the same task sends on it.
///
/// After [`ROUNDS`] polls in a row the task is woken after all, so that others
/// have their turn.
pub(super) async fn repolling<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let wakes = Arc::new(PollWaker::default());
    let waker = Waker::from(wakes.clone());
    std::future::poll_fn(move |outer| {
        wakes.task.register(outer.waker());
        for _ in 0..ROUNDS {
            // Wakes that came before this are answered by the poll that follows.
            wakes.state.store(POLLING, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            // If nothing woke the future during the poll, wakes go to the task from here
            // on. A wake that came first, from this thread or another, makes the exchange
            // fail and is answered by another round, so that no wake is lost in between.
            let unwoken = { &wakes.state }.compare_exchange(
                POLLING,
                WAITING,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            if unwoken.is_ok() {
                return Poll::Pending;
            }
        }
        wakes.state.store(WAITING, Ordering::SeqCst);
        outer.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Polls in a row. A worker needs two for an attempt that begins, and two for
/// one that ends.
const ROUNDS: usize = 32;

const WAITING: u8 = 0;
const POLLING: u8 = 1;
/// Woken since the last poll began.
const WOKEN: u8 = 2;

#[derive(Default)]
struct PollWaker {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for PollWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == WAITING {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct CountingWaker(AtomicUsize);

    impl Wake for CountingWaker {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_future_that_wakes_itself_wakes_no_task() {
        let task = Arc::new(CountingWaker::default());
        let waker = Waker::from(task.clone());
        let mut polls = 0;
        let mut future = pin!(repolling(poll_fn(|cx| {
            polls += 1;
            match polls {
                3 => Poll::Ready(polls),
                _ => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Ready(3));
        assert_eq!(task.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_wake_between_polls_wakes_the_task_once() {
        let task = Arc::new(CountingWaker::default());
        let waker = Waker::from(task.clone());
        let mut inner = None;
        let mut polls = 0;
        {
            let mut future = pin!(repolling(poll_fn(|cx| {
                polls += 1;
                inner = Some(cx.waker().clone());
                Poll::<()>::Pending
            })));
            let mut poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(poll().is_pending());
            assert!(poll().is_pending());
        }
        assert_eq!(polls, 2);
        let inner = inner.unwrap();
        (0..3).for_each(|_| inner.wake_by_ref());
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_future_that_always_wakes_itself_lets_others_have_their_turn() {
        let task = Arc::new(CountingWaker::default());
        let waker = Waker::from(task.clone());
        let mut polls = 0;
        let mut future = Box::pin(repolling(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(future);
        assert_eq!((polls, task.0.load(Ordering::SeqCst)), (ROUNDS, 1));
    }
}
