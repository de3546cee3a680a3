//! A notifier with a journal, without threads and on paused time.

mod life;
mod receiver;
mod simulation;
mod sink;
