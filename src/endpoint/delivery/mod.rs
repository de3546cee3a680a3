//! One attempt to deliver: the request, the client that sends it, and the outcome.
//!
//! `request.rs` makes the request and reads the outcome, `transport.rs` passes it to the
//! crate's own client (`client.rs` and what it names) or to that of the user. Without
//! the feature `client`, `no_client.rs` takes the place of the crate's own.

#[cfg(feature = "client")]
mod address;
mod body_signature;
#[cfg(feature = "client")]
mod client;
#[cfg(not(feature = "client"))]
#[path = "no_client.rs"]
mod client;
#[cfg(feature = "client")]
mod connections;
#[cfg(feature = "client")]
mod connector;
#[cfg(feature = "client")]
mod http1;
#[cfg(feature = "client")]
mod http2;
#[cfg(feature = "client")]
mod idle;
#[cfg(feature = "client")]
mod no_proxy;
#[cfg(feature = "client")]
mod origin;
#[cfg(feature = "client")]
mod proxies;
#[cfg(feature = "client")]
mod proxy_url;
mod request;
mod response;
mod secrets;
#[cfg(feature = "client")]
mod self_signed;
mod sequence;
#[cfg(feature = "client")]
mod settings;
mod signature;
#[cfg(feature = "client")]
mod status_line;
mod target;
#[cfg(feature = "client")]
mod tls;
mod transport;

#[cfg(feature = "client")]
pub use self::address::AddressPolicy;
pub(crate) use self::body_signature::BodySigner;
pub(super) use self::client::{ConnectionSettings, client, proxy_authorization};
pub(super) use self::request::{Outcome, Poster, status_text};
pub use self::response::Delivery;
pub(super) use self::response::of_client;
pub(super) use self::secrets::Secrets;
pub(super) use self::sequence::Sequence;
pub(crate) use self::signature::Signer;
pub(super) use self::target::headers;
#[cfg(feature = "config")]
pub(crate) use self::target::is_framing;
pub(crate) use self::target::target;
pub(super) use self::transport::Transport;
