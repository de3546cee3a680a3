//! Addresses of peers, and those that proxies forward.

use std::net::SocketAddr;

use tower_registry_notifications::layer::PeerAddr;

use super::{ALL, HOST, PLAIN, SOME, assert_url, head, made};
use crate::stage::Set;

#[test]
fn an_unknown_peer_is_not_a_trusted_proxy() {
    let headers = [
        HOST,
        ("x-forwarded-for", "6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x-forwarded-host", "evil.example"),
        ("x-request-id", "forged"),
    ];
    let made = made(SOME, head(&headers));
    assert_url(&made, "http://registry:5000", &[]);
    assert_eq!(made.event.request.addr, "");
    assert_ne!(made.event.request.id, "forged");
}

#[test]
fn ipv4_mapped_peers_are_written_as_ipv4() {
    const MAPPED: &str = "[::ffff:10.0.0.1]:5";
    for (peer, addr) in [
        (MAPPED, "10.0.0.1:5"),
        ("10.0.0.1:5", "10.0.0.1:5"),
        ("[2001:db8::1]:5", "[2001:db8::1]:5"),
    ] {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut request = head(&[HOST]);
        request.extensions_mut().insert(PeerAddr(peer));
        assert_eq!(made(PLAIN, request).event.request.addr, addr);
        #[cfg(feature = "axum-0-8")]
        {
            let mut request = head(&[HOST]);
            let info = axum::extract::ConnectInfo(peer);
            request.extensions_mut().insert(info);
            assert_eq!(made(PLAIN, request).event.request.addr, addr);
            let mut request = head(&[HOST]);
            let mock = axum::extract::connect_info::MockConnectInfo(peer);
            request.extensions_mut().insert(mock);
            assert_eq!(made(PLAIN, request).event.request.addr, addr);
        }
    }
    let closure: Set = |layer| layer.peer_addr(|_| Some(MAPPED.parse().unwrap()));
    assert_eq!(
        made(closure, head(&[HOST])).event.request.addr,
        "10.0.0.1:5"
    );
    // So it is one of the proxies' networks, and so is what it forwards.
    let trusted: Set = |layer| SOME(layer).peer_addr(|_| Some(MAPPED.parse().unwrap()));
    let forwarded = head(&[HOST, ("x-forwarded-for", "::ffff:192.0.2.1")]);
    assert_eq!(made(trusted, forwarded).event.request.addr, "192.0.2.1");
}

#[test]
fn malformed_address_lists_leave_the_peer_s_address() {
    let long = "x,".repeat(100_000);
    for (name, value) in [
        ("x-forwarded-for", "junk"),
        ("x-forwarded-for", ""),
        ("x-forwarded-for", "6.6.6.6\u{e9}"),
        ("x-forwarded-for", "7.7.7.7, junk"),
        ("x-forwarded-for", "7.7.7.7,"),
        ("x-forwarded-for", &long),
        ("x-real-ip", "junk"),
        ("x-real-ip", "7.7.7.7, 8.8.8.8"),
        ("forwarded", "for=unknown"),
        ("forwarded", "for=7.7.7.7;for=8.8.8.8"),
    ] {
        let mut request = head(&[HOST, (name, value)]);
        let peer: SocketAddr = "10.0.0.1:5".parse().unwrap();
        request.extensions_mut().insert(PeerAddr(peer));
        let made = made(SOME, request);
        assert_eq!(made.event.request.addr, "10.0.0.1:5", "{name}: {value:.20}");
    }
    let twice = head(&[HOST, ("x-real-ip", "7.7.7.7"), ("x-real-ip", "8.8.8.8")]);
    assert_eq!(made(ALL, twice).event.request.addr, "");
}
