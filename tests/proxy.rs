//! The proxy example's parts: how bodies, answers and protocols pass through
//! it, and how it is operated.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../examples/support/admin.rs"]
mod admin;
#[path = "proxy/answers.rs"]
mod answers;
#[path = "proxy/bodies.rs"]
mod bodies;
#[path = "common/certificate.rs"]
mod certificate;
#[path = "live/client.rs"]
mod client;
#[path = "proxy/heads.rs"]
mod heads;
#[path = "../examples/support/image.rs"]
mod image;
#[path = "live/layout.rs"]
#[allow(dead_code, reason = "no indexes here")]
mod layout;
#[path = "proxy/lost.rs"]
mod lost;
#[path = "proxy/operation.rs"]
mod operation;
#[path = "proxy/other_registry.rs"]
mod other_registry;
#[path = "../examples/support/pace.rs"]
mod pace;
#[path = "proxy/protocols.rs"]
mod protocols;
#[path = "../examples/support/proxy.rs"]
mod proxy;
#[path = "../examples/support/proxy_options.rs"]
mod proxy_options;
#[path = "../examples/support/serve.rs"]
mod serve;
#[path = "../examples/support/signal.rs"]
mod signal;
#[path = "proxy/stage.rs"]
mod stage;
#[path = "../examples/support/tls.rs"]
mod tls;
