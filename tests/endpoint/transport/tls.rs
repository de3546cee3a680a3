//! Certificates of receivers and clients, and mistakes in the settings of connections.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tower::{BoxError, service_fn};
use tower_registry_notifications::endpoint::AddressPolicy;
use tower_registry_notifications::{Endpoint, Notifier};

use super::*;

#[tokio::test]
async fn private_authority_and_mutual_tls_on_one_connection_of_either_version() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = servers.issue("localhost", 4000);
    let client = clients.issue("registry", 4000);
    let other = Authority::new("other").pem();
    for (protocol, version) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        for identified in [true, false] {
            let config = server.server(identified.then_some(&clients), protocol);
            let mut receiver = Receiver::new(Behaviour::Tls(config, Answer::default())).await;
            let mut endpoint = endpoint(receiver.url("https"))
                .root_certificates(other.clone())
                .root_certificates(servers.pem())
                // The system's may be there or not.
                .system_roots(identified);
            if identified {
                let chain = client.certificate.pem() + &clients.pem();
                endpoint = endpoint.client_certificate(chain, client.key.serialize_pem());
            }
            let notifier = notifier(endpoint);
            let written = write(&notifier, 100).await;
            let seen = receiver.next(100).await;
            for (id, seen) in written.iter().zip(&seen) {
                assert_eq!(&seen.id, id);
                assert_eq!((seen.version, seen.identified), (version, identified));
            }
            let peer = seen[0].peer;
            assert!(
                seen.iter().all(|it| it.peer == peer),
                "{protocol}: connections"
            );
            assert!(notifier.shutdown(MINUTE).await.is_drained());
            assert_eq!(
                (status(&notifier).successes, status(&notifier).errors),
                (100, 0)
            );
        }
    }
}

/// Also one that says that it is an authority, as `openssl req -x509` makes it.
#[tokio::test]
async fn a_self_signed_certificate_is_trusted_when_it_is_given() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        let pem = certificate.pem();
        let config = Issued { certificate, key }.server(None, "h2");
        let mut receiver = Receiver::new(Behaviour::Tls(config, Answer::default())).await;
        let notifier = notifier(endpoint(receiver.url("https")).root_certificates(pem));
        write(&notifier, 1).await;
        receiver.next(1).await;
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        assert_eq!(status(&notifier).errors, 0);
    }
}

/// As PEM, under another heading.
fn pem(heading: &str, der: &[u8]) -> String {
    let content = STANDARD.encode(der);
    format!("-----BEGIN {heading}-----\n{content}\n-----END {heading}-----\n")
}

#[tokio::test]
async fn mistakes_of_the_transport_surface_when_the_notifier_is_built() {
    let authority = Authority::new("private");
    let (one, two) = (authority.issue("a", 4000), authority.issue("b", 4000));
    let (chain, key) = (one.certificate.pem(), one.key.serialize_pem());
    let https = || Endpoint::new("e", "https://h").system_roots(false);
    let trusting = || https().root_certificates(authority.pem());
    let identified = |chain: &str, key: &str| trusting().client_certificate(chain, key);
    let http = || Endpoint::new("e", "http://h");
    let denying = |url: &str| Endpoint::new("e", url).addresses(AddressPolicy::deny_private());
    let own = |it: Endpoint| {
        it.client(service_fn(async |_: Request<Bytes>| {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }))
    };
    let cut = &key[..key.len() / 2];
    let no_key = "PKCS#8, PKCS#1 or SEC1";
    let garbage = pem("CERTIFICATE", b"hush");
    for (endpoint, field, words) in [
        (https(), "root certificates", "ca-certificates"),
        (trusting().root_certificates(""), "root certificates", "PEM"),
        (
            trusting().root_certificates("/etc/hush.pem"),
            "root certificates",
            "PEM",
        ),
        (
            trusting().root_certificates(&*key),
            "root certificates",
            "PEM",
        ),
        (
            trusting().root_certificates(&*garbage),
            "root certificates",
            "certificate",
        ),
        (
            trusting().root_certificates(&chain[..200]),
            "root certificates",
            "PEM",
        ),
        (identified("", &key), "client certificate", "PEM"),
        (identified(&key, &key), "client certificate", "PEM"),
        (identified(&garbage, &key), "client certificate", "X.509"),
        (
            identified(&(chain.clone() + &garbage), &key),
            "client certificate",
            "certificate 2",
        ),
        (identified(&chain, ""), "client certificate's key", no_key),
        (identified(&chain, cut), "client certificate's key", no_key),
        (
            identified(&chain, &pem("PRIVATE KEY", b"hush")),
            "client certificate's key",
            no_key,
        ),
        (
            identified(&chain, &pem("ENCRYPTED PRIVATE KEY", b"hush")),
            "client certificate's key",
            no_key,
        ),
        (
            identified(&chain, &two.key.serialize_pem()),
            "client certificate's key",
            "first certificate of the chain",
        ),
        (
            http().root_certificates(authority.pem()),
            "root certificates",
            "https",
        ),
        (
            http().client_certificate(&*chain, &*key),
            "client certificate",
            "https",
        ),
        (http().system_roots(false), "system roots", "https"),
        (
            http().connect_timeout(Duration::ZERO),
            "connect timeout",
            "more than 0",
        ),
        (denying("http://127.0.0.1/"), "address policy", "127.0.0.1"),
        (
            denying("http://[::ffff:10.0.0.1]/"),
            "address policy",
            "::ffff:10.0.0.1",
        ),
        (denying("https://[fd00::1]/"), "address policy", "fd00::1"),
        (Endpoint::new("e", "https://a..b/"), "url", "DNS name"),
        (
            own(denying("http://h")),
            "address policy",
            "client of its own",
        ),
        (own(trusting()), "root certificates", "client of its own"),
        (
            own(http().connect_timeout(MINUTE)),
            "connect timeout",
            "client of its own",
        ),
    ] {
        let shown = format!("{endpoint:?}");
        let error = Notifier::builder()
            .endpoint(endpoint)
            .build()
            .expect_err(words);
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("endpoint \"e\": {field}: ")),
            "{message}"
        );
        assert!(message.contains(words), "{words}: {message}");
        // No line of a file is shown.
        for file in [&chain, &key] {
            for line in file.lines().filter(|line| !line.starts_with("---")) {
                assert!(
                    !shown.contains(line) && !message.contains(line),
                    "{message}"
                );
            }
        }
        assert!(
            !message.contains("hush") && !shown.contains("hush"),
            "{message}"
        );
    }
    // The key inside of PKCS#8, an ECDSA one, in its own format.
    let der = one.key.serialize_der();
    let sec1 = pem("EC PRIVATE KEY", &der[der.len() - 109..]);
    for key in [&key, &sec1] {
        let notifier = Notifier::builder()
            .endpoint(identified(&chain, key))
            .build();
        notifier.unwrap();
    }
    // Whoever wants no TLS needs no roots.
    Notifier::builder().endpoint(http()).build().unwrap();
}
