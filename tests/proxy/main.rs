//! The proxy example's parts: how bodies, answers and protocols pass through
//! it, and how it is operated.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../../examples/common/admin/mod.rs"]
mod admin;
mod answers;
mod bodies;
#[path = "../../examples/common/causes.rs"]
mod causes;
#[path = "../common/certificate.rs"]
mod certificate;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../examples/common/flags.rs"]
mod flags;
mod heads;
#[path = "../../examples/common/idle.rs"]
mod idle;
mod limits;
mod lost;
#[path = "../../examples/common/nats.rs"]
mod nats;
mod operation;
#[path = "../../examples/support/pace.rs"]
mod pace;
#[path = "../../examples/support/print.rs"]
#[allow(dead_code, reason = "what is printed is looked at, and not printed")]
mod print;
mod printed;
#[path = "../../examples/common/prometheus.rs"]
mod prometheus;
mod protocols;
#[path = "../../examples/support/proxy.rs"]
mod proxy;
#[path = "../../examples/support/proxy_options.rs"]
mod proxy_options;
#[path = "../../examples/support/serve.rs"]
mod serve;
#[path = "../../examples/support/signal.rs"]
mod signal;
mod stage;
#[path = "../../examples/support/terminal.rs"]
mod terminal;
#[path = "../../examples/support/tls.rs"]
mod tls;
