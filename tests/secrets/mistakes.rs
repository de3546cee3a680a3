//! All ways to configure an endpoint wrongly, with secrets where they belong
//! and where they do not.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, service_fn};
use tower_registry_notifications::Endpoint;
use tower_registry_notifications::endpoint::{AddressPolicy, Backoff, Batch, Breaker};
use tower_registry_notifications::sink::Filter;

use crate::{API_KEY, AllSecrets, BEARER, HMAC, PASSWORD, SIGNING, USER_INFO};

pub(crate) fn all(vault: &AllSecrets) -> Vec<Endpoint> {
    let mut all = urls();
    all.extend(settings(vault));
    all.extend(in_the_wrong_place(vault));
    all.extend(files(vault));
    all
}

fn urls() -> Vec<Endpoint> {
    let urls = [
        format!("{USER_INFO}@receiver"),
        format!("https:{USER_INFO}@receiver"),
        format!("https:/{USER_INFO}@receiver"),
        format!("ftp://{USER_INFO}@receiver"),
        format!("http://{USER_INFO}@"),
        format!("http://{USER_INFO}@:80/"),
        format!("http://{USER_INFO}@receiver:port/"),
        format!("http://{USER_INFO}@receiver:99999/"),
        format!("http://{USER_INFO}@a b/"),
        format!("http://root:{PASSWORD}@receiver/"),
        format!("http://root:{API_KEY}@receiver /"),
        format!("http://root:a@b:{PASSWORD}@receiver\n/"),
        format!("https://{USER_INFO}@-_receiver-/"),
        format!("https://{USER_INFO}@[::1/"),
    ];
    urls.map(|url| Endpoint::new("url", url)).into()
}

fn settings(vault: &AllSecrets) -> Vec<Endpoint> {
    let none = Duration::ZERO;
    let https = || vault.endpoint("settings", "https://127.0.0.1/", true);
    let private = AddressPolicy::deny_private;
    let client = service_fn(async |_: Request<Bytes>| {
        Err::<Response<Full<Bytes>>, BoxError>("not reached".into())
    });
    vec![
        vault.endpoint("", "https://receiver/", true),
        https().timeout(none),
        https().connect_timeout(none),
        https().concurrency(0),
        https().batch(Batch::of(0)),
        https().batch(Batch::of(2).bytes(0)),
        https().queue_events(0).queue_bytes(1),
        https().queue_events(1).queue_bytes(0),
        https().retry(Breaker::new().backoff(none)),
        https().retry(Backoff::new().attempts(0)),
        https().retry(Backoff::new().factor(f64::NAN)),
        https().retry(Backoff::new().cap(none)),
        https().filter(Filter::new().include_repositories(["[a"])),
        https().addresses(private()),
        https().client(client),
        vault
            .endpoint("http", "http://10.0.0.1/", true)
            .addresses(private()),
        // What only TLS has a use for.
        vault
            .endpoint("http", "http://receiver/", false)
            .client_certificate(vault.certificate.as_str(), vault.key.as_str()),
        vault
            .endpoint("http", "http://receiver/", false)
            .root_certificates(vault.certificate.as_str()),
    ]
}

fn in_the_wrong_place(vault: &AllSecrets) -> Vec<Endpoint> {
    let endpoint = || vault.endpoint("places", "https://receiver/", true);
    vec![
        endpoint().header(format!("Bearer {BEARER}"), "authorization"),
        endpoint().header(API_KEY, ""),
        endpoint().header(format!("authorization: Bearer {BEARER}"), ""),
        endpoint().header("", format!("Bearer {BEARER}")),
        endpoint().header("x-key", format!("{BEARER}\n")),
        endpoint().header("x-key", format!("{BEARER}\0")),
        endpoint().sign([BEARER]),
        endpoint().sign([PASSWORD]),
        endpoint().sign([format!("{}!", SIGNING[0])]),
        endpoint().sign([format!("whsec_{}", SIGNING[0])]),
        endpoint().sign([vault.key.as_str()]),
        endpoint().sign_hmac(HMAC, "x-signature"),
        endpoint().sign_hmac("x-signature", HMAC),
        endpoint().sign_hmac("x-other", ""),
        endpoint().header("content-length", BEARER),
    ]
}

fn files(vault: &AllSecrets) -> Vec<Endpoint> {
    let (certificate, key) = (vault.certificate.as_str(), vault.key.as_str());
    let endpoint = || Endpoint::new("files", "https://receiver/");
    let broken = key.replacen('\n', "\n!", 1);
    let cut = &key[..key.len() / 2];
    let stranger = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let as_certificate = key.replace("PRIVATE KEY", "CERTIFICATE");
    vec![
        endpoint().root_certificates(key),
        endpoint().root_certificates(broken.as_str()),
        endpoint().root_certificates(as_certificate.as_str()),
        endpoint().root_certificates(BEARER),
        endpoint().root_certificates(certificate.replace('A', "!")),
        endpoint().client_certificate(key, certificate),
        endpoint().client_certificate(key, key),
        endpoint().client_certificate(as_certificate.as_str(), key),
        endpoint().client_certificate(certificate, certificate),
        endpoint().client_certificate(certificate, broken.as_str()),
        endpoint().client_certificate(certificate, cut),
        endpoint().client_certificate(certificate, encrypted.as_str()),
        endpoint().client_certificate(certificate, BEARER),
        endpoint().client_certificate(certificate, stranger),
    ]
}
