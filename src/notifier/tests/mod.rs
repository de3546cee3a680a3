//! A notifier with a journal, without threads and on paused time.

mod dropped;
mod life;
mod limits;
mod oldest;
mod receiver;
mod simulation;
mod sink;
mod stage;
