//! One attempt to deliver: the request, the client that sends it, and what the
//! receiver's response means.

mod address;
mod client;
mod request;
mod response;
mod secrets;
mod signature;
mod target;
mod tls;

pub use self::address::AddressPolicy;
pub(super) use self::client::Transport;
pub(super) use self::request::{Outcome, Poster, status_text};
pub use self::response::Delivery;
pub(super) use self::response::of_client;
pub(super) use self::secrets::Secrets;
pub(crate) use self::signature::Signer;
pub(super) use self::target::headers;
pub(crate) use self::target::target;
