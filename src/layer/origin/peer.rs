//! The address at the other end of the connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "axum-0-8")]
use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use http::Extensions;

/// The address at the other end of the connection, as a request extension.
///
/// Servers insert it so that events have the address of the client. With axum, use
/// the feature `axum-0-8` instead: the layer then reads `ConnectInfo`, or in tests
/// without a connection `MockConnectInfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Returns the peer from the request extension that a server has inserted.
pub(super) fn extended(extensions: &Extensions) -> Option<SocketAddr> {
    let peer = extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum-0-8")]
    let peer = peer.or_else(|| {
        let info = extensions.get::<ConnectInfo<SocketAddr>>();
        info.map(|info| info.0)
    });
    #[cfg(feature = "axum-0-8")]
    let peer = peer.or_else(|| {
        let info = extensions.get::<MockConnectInfo<SocketAddr>>();
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

/// Returns the address as text: the same as `Display` writes, at a tenth of the cost for
/// IPv4.
pub(super) fn text(peer: SocketAddr) -> String {
    let SocketAddr::V4(peer) = peer else {
        return peer.to_string();
    };
    // As long as an address of IPv4 can be.
    let mut text = String::with_capacity(21);
    for (n, octet) in peer.ip().octets().into_iter().enumerate() {
        if n > 0 {
            text.push('.');
        }
        push_number(&mut text, octet.into());
    }
    text.push(':');
    push_number(&mut text, peer.port());
    text
}

fn push_number(text: &mut String, number: u16) {
    for unit in [10_000, 1_000, 100, 10, 1] {
        if number >= unit || unit == 1 {
            text.push(char::from(b'0' + (number / unit % 10) as u8));
        }
    }
}

/// Warns once if proxies are trusted by address but the server passes on no peer
/// addresses, so that no proxy is ever trusted.
#[derive(Debug, Default)]
pub(in crate::layer) struct PeerWatch {
    /// Whether the address of some peer was known, or its absence was logged.
    settled: AtomicBool,
}

impl PeerWatch {
    /// Notes a request. Logs if the peer of the first one is not known: a server
    /// that passes addresses on does so from the beginning.
    pub(super) fn note(&self, peer: Option<SocketAddr>) {
        // Loaded first: a swap by each request would make the cores wait for one
        // another.
        if self.settled.load(Ordering::Relaxed) || self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        if peer.is_none() {
            tracing::warn!(
                "trusted_proxies is set, but the peer address of no request is known, so that no \
                 forwarding header is trusted: serve axum with \
                 into_make_service_with_connect_info::<SocketAddr>() and the feature axum-0-8, \
                 insert PeerAddr into requests, or set the layer's peer_addr"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_display() {
        for ip in [
            "0.0.0.0",
            "255.255.255.255",
            "10.9.100.101",
            "::1",
            "fe80::1",
        ] {
            for port in [0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 65_535] {
                let peer = SocketAddr::new(ip.parse().unwrap(), port);
                assert_eq!(text(peer), peer.to_string());
            }
        }
    }
}
