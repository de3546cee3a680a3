//! A request whose peer is unknown comes from no trusted proxy.

use http::HeaderMap;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::Event;
use tower_registry_notifications::layer::{PeerAddr, TrustedProxies};
use tower_registry_notifications::{NotificationLayer, RequestBody};

use crate::stage::{Body, drain, full, notifier, request, response};

const FORWARDING: [(&str, &str); 6] = [
    ("x-forwarded-for", "203.0.113.9"),
    ("x-real-ip", "203.0.113.9"),
    ("forwarded", "for=203.0.113.9;host=evil.example;proto=https"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "forged"),
];

async fn event(peer: Option<&str>, proxies: TrustedProxies) -> Event {
    let (notifier, mut events) = notifier();
    let registry = service_fn(async |_: http::Request<RequestBody<Body>>| {
        Ok::<_, BoxError>(response(202, &[], full("")))
    });
    let service = NotificationLayer::new(notifier)
        .trusted_proxies(proxies)
        .layer(registry);
    let mut request = request("PUT", "/v2/a/manifests/t", &FORWARDING, full(""));
    let host = HeaderMap::from_iter([(http::header::HOST, "registry.example".parse().unwrap())]);
    request.headers_mut().extend(host);
    if let Some(peer) = peer {
        let peer = PeerAddr(peer.parse().unwrap());
        request.extensions_mut().insert(peer);
    }
    request
        .headers_mut()
        .insert("content-type", "a/b".parse().unwrap());
    service.oneshot(request).await.unwrap();
    drain(&mut events).remove(0)
}

#[tokio::test]
async fn an_unknown_peer_is_no_trusted_proxy() {
    for networks in [&["10.0.0.0/8"] as &[_], &["0.0.0.0/0", "::/0"]] {
        let proxies = TrustedProxies::networks(networks).unwrap();
        let event = event(None, proxies).await;
        assert_eq!(event.request.addr, "", "{networks:?}");
        assert_ne!(event.request.id, "forged", "{networks:?}");
        assert_eq!(event.request.host, "registry.example");
        assert!(!event.target.url.contains("evil"), "{}", event.target.url);
        assert!(!event.target.url.starts_with("https"));
    }
}

#[tokio::test]
async fn a_known_peer_in_a_trusted_network_is_one() {
    let proxies = TrustedProxies::networks(["10.0.0.0/8"]).unwrap();
    let trusted = event(Some("10.1.2.3:4"), proxies.clone()).await;
    assert_eq!(trusted.request.addr, "203.0.113.9");
    assert_eq!(trusted.request.id, "forged");
    let untrusted = event(Some("192.0.2.3:4"), proxies).await;
    assert_eq!(untrusted.request.addr, "192.0.2.3:4");
    assert_ne!(untrusted.request.id, "forged");
}
