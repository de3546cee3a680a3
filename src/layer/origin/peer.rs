//! The address at the other end of the connection.

use std::net::SocketAddr;

use http::Extensions;

/// Address of the client, as a request extension: for servers that are not
/// axum, whose `ConnectInfo` the layer reads itself (feature `axum`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Returns the peer that a server has told by a request extension.
pub(super) fn extended(extensions: &Extensions) -> Option<SocketAddr> {
    let peer = extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum")]
    let peer = peer.or_else(|| {
        let info = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>();
        info.map(|info| info.0)
    });
    peer
}

/// Returns an IPv4-mapped address, as a dual-stack socket has it, as IPv4.
pub(super) fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, peer.port()),
        // The scope of a link-local address stays.
        _ => peer,
    }
}
