//! The address at the other end of the connection.

use std::net::SocketAddr;

use http::Extensions;

/// The address at the other end of the connection, as a request extension.
///
/// Servers insert it so that events have the address of the client. For axum
/// the feature `axum-0-8` makes the layer read `ConnectInfo` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Returns the peer from the request extension that a server has inserted.
pub(super) fn extended(extensions: &Extensions) -> Option<SocketAddr> {
    let peer = extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum-0-8")]
    let peer = peer.or_else(|| {
        let info = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>();
        info.map(|info| info.0)
    });
    peer
}

/// Turns an IPv4-mapped address, as dual-stack sockets report it, into IPv4.
pub(super) fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, peer.port()),
        // Unchanged, so that a link-local address keeps its scope.
        _ => peer,
    }
}
