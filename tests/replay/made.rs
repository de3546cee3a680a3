//! A recording made by hand, of what the conformance suite does not do: names that
//! contain the API's own words, mounts by form, one push of two tags, forwarded
//! addresses, refused manifests, and a manifest with three tags that is deleted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_registry_notifications::event::{Action, Descriptor, Event, RequestRecord, media_types};
use tower_registry_notifications::{Format, SourceRecord};

use crate::check::encode;
use crate::corpus::{Answered, Exchange, Headers, Sent};
use crate::registry::sha256;

/// The one connection that the requests come on.
pub(crate) const CONNECTION: &str = "10.0.0.7:4711";

const HOST: &str = "registry.example.com";
const NAME: &str = "a/manifests/b";
const OTHER: &str = "c/blobs/d";
const CONTENT: [&str; 3] = ["first ", "second ", "last"];

/// Begins at this time, with one exchange a second.
fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

#[derive(Default)]
struct Recording {
    exchanges: Vec<Exchange>,
    ids: u64,
}

fn headers(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let fields = fields.iter();
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    fields.map(owned).collect()
}

impl Recording {
    fn time(&self) -> SystemTime {
        start() + Duration::from_secs(self.exchanges.len() as u64)
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.ids)
    }

    fn sent(&mut self, method: &str, uri: &str, fields: &[(&str, &str)], body: &str) {
        let n = self.exchanges.len() as u64;
        let mut all = headers(&[("Host", HOST), ("User-Agent", &format!("exchange/{n:05}"))]);
        all.extend(headers(fields));
        if !body.is_empty() {
            all.extend(headers(&[("Content-Length", &body.len().to_string())]));
        }
        self.exchanges.push(Exchange {
            n,
            request: Sent {
                method: method.into(),
                uri: uri.into(),
                headers: Headers(all),
                body: body.to_owned().into(),
            },
            response: Answered {
                status: 0,
                headers: Headers::default(),
                body: Default::default(),
            },
            deliveries: Vec::new(),
        });
    }

    fn answered(&mut self, status: u16, fields: &[(&str, &str)], body: &str) {
        let date = httpdate::fmt_http_date(self.time());
        let mut all = headers(&[("Date", &date)]);
        all.extend(headers(fields));
        let exchange = self.exchanges.last_mut().unwrap();
        exchange.response = Answered {
            status,
            headers: Headers(all),
            body: body.to_owned().into(),
        };
    }

    /// Adds the deliveries of the last exchange, whose client has this address.
    fn posted(&mut self, addr: &str, events: Vec<Event>) {
        let time = self.time();
        let exchange = self.exchanges.last().unwrap();
        let (n, method) = (exchange.n, exchange.request.method.clone());
        let mut request = RequestRecord::new(self.id(), method);
        request.addr = addr.into();
        request.host = HOST.into();
        request.user_agent = format!("exchange/{n:05}");
        let mut source = SourceRecord::new("node:5000");
        source.instance_id = "00000000-0000-4000-8000-000000000000".into();
        for mut event in events {
            event.id = self.id();
            event.timestamp = time;
            event.request = request.clone();
            event.source = source.clone();
            let delivery = encode(&event, Format::V2);
            self.exchanges.last_mut().unwrap().deliveries.push(delivery);
        }
    }
}

fn blob(action: Action, name: &str, digest: &str) -> Event {
    let mut event = Event::new(action);
    event.target.descriptor = Descriptor::new("application/octet-stream", digest, 17);
    event.target.length = 17;
    event.target.repository = name.into();
    event.target.url = format!("http://{HOST}/v2/{name}/blobs/{digest}");
    event
}

fn manifest(action: Action, tag: &str, content: &str, references: &[Descriptor]) -> Event {
    let mut event = Event::new(action);
    let (digest, size) = (sha256(content.as_bytes()), content.len() as u64);
    event.target.url = format!("http://{HOST}/v2/{NAME}/manifests/{digest}");
    event.target.descriptor = Descriptor::new(media_types::OCI_MANIFEST, digest, size);
    event.target.length = size;
    event.target.repository = NAME.into();
    event.target.tag = tag.into();
    event.target.references = references.into();
    event
}

fn deleted(name: &str, digest: &str, tag: &str) -> Event {
    let mut event = Event::new(Action::Delete);
    event.target.descriptor.digest = digest.into();
    event.target.repository = name.into();
    event.target.tag = tag.into();
    event
}

/// A chunked upload, and a mount of its blob by a form.
fn blobs(it: &mut Recording, digest: &str) {
    let upload = format!("/v2/{NAME}/blobs/uploads/1");
    let location = ("Location", &*upload);
    it.sent("POST", &format!("/v2/{NAME}/blobs/uploads/"), &[], "");
    it.answered(202, &[location, ("Range", "0-0")], "");
    for (chunk, range) in [(CONTENT[0], "0-5"), (CONTENT[1], "6-12")] {
        it.sent("PATCH", &upload, &[("Content-Range", range)], chunk);
        let end = range.rsplit('-').next().unwrap();
        it.answered(202, &[location, ("Range", &format!("0-{end}"))], "");
    }
    it.sent("PUT", &format!("{upload}?digest={digest}"), &[], CONTENT[2]);
    let location = format!("/v2/{NAME}/blobs/{digest}");
    let named = ("Docker-Content-Digest", digest);
    it.answered(201, &[named, ("Location", &location)], "");
    it.posted(CONNECTION, vec![blob(Action::Push, NAME, digest)]);

    it.sent("HEAD", &format!("/v2/{OTHER}/blobs/{digest}"), &[], "");
    it.answered(404, &[], "");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let parameters = format!("mount={digest}&from=a%2Fmanifests%2Fb");
    let uploads = format!("/v2/{OTHER}/blobs/uploads/");
    it.sent("POST", &uploads, &[form], &parameters);
    let location = format!("/v2/{OTHER}/blobs/{digest}");
    it.answered(201, &[named, ("Location", &location)], "");
    let mut mounted = blob(Action::Mount, OTHER, digest);
    mounted.target.from_repository = NAME.into();
    it.posted(CONNECTION, vec![mounted]);

    let condition = ("If-None-Match", &*format!("\"{digest}\""));
    it.sent(
        "GET",
        &format!("/v2/{OTHER}/blobs/{digest}"),
        &[condition],
        "",
    );
    it.answered(304, &[named], "");
    it.posted(CONNECTION, vec![blob(Action::Pull, OTHER, digest)]);
}

/// Pushes of a manifest, pulls of it, and its deletion with its tags.
fn manifests(it: &mut Recording, content: &str, references: &[Descriptor]) {
    let digest = &*sha256(content.as_bytes());
    let at = |reference: &str| format!("/v2/{NAME}/manifests/{reference}");
    let oci = ("Content-Type", media_types::OCI_MANIFEST);
    let named = ("Docker-Content-Digest", digest);
    let event = |action, tag| manifest(action, tag, content, references);
    it.sent("PUT", &at("latest"), &[oci], content);
    it.answered(201, &[named, ("Location", &at(digest))], "");
    it.posted(CONNECTION, vec![event(Action::Push, "latest")]);

    it.sent(
        "PUT",
        &format!("{}?tag=v1&tag=v2", at(digest)),
        &[oci],
        content,
    );
    let set = [named, ("OCI-Tag", "v1"), ("OCI-Tag", "v2")];
    it.answered(201, &set, "");
    let pair = ["v1", "v2"].map(|tag| event(Action::Push, tag));
    it.posted(CONNECTION, pair.into());

    let proxies = ("X-Forwarded-For", "203.0.113.9, 10.0.0.1");
    it.sent("HEAD", &at("v1"), &[proxies], "");
    let length = content.len().to_string();
    it.answered(200, &[oci, named, ("Content-Length", &length)], "");
    it.posted("203.0.113.9", vec![event(Action::Pull, "v1")]);

    it.sent(
        "GET",
        &at("latest"),
        &[("Accept", media_types::DOCKER_MANIFEST)],
        "",
    );
    it.answered(404, &[], "OCI manifest found, but not accepted");
    it.posted(CONNECTION, vec![event(Action::Pull, "latest")]);

    it.sent("PUT", &at("full"), &[oci], content);
    let path = format!("/docker/registry/v2/repositories/{NAME}/_manifests/tags/full/index");
    it.answered(500, &[], &format!("no space left on device: {path}"));
    it.posted(CONNECTION, vec![event(Action::Push, "full")]);

    it.sent("DELETE", &at(digest), &[], "");
    it.answered(202, &[], "");
    let tags = ["v2", "latest", "v1"].map(|tag| deleted(NAME, "", tag));
    let mut events = vec![deleted(NAME, digest, "")];
    events.extend(tags);
    it.posted(CONNECTION, events);
    it.sent("HEAD", &at("latest"), &[], "");
    it.answered(404, &[], "");
}

/// Returns the exchanges, with the deliveries of a registry that posts as
/// distribution does.
pub(crate) fn recording() -> Vec<Exchange> {
    let mut it = Recording::default();
    let digest = &*sha256(CONTENT.concat().as_bytes());
    blobs(&mut it, digest);
    let (config, layer) = (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar",
    );
    let content = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}","size":17}},"layers":[{{"mediaType":"{layer}","digest":"{digest}","size":17}}]}}"#
    );
    let references = [config, layer].map(|media_type| Descriptor::new(media_type, digest, 17));
    manifests(&mut it, &content, &references);
    it.sent("GET", &format!("/v2/{NAME}/tags/list"), &[], "");
    it.answered(200, &[], r#"{"name":"a/manifests/b","tags":null}"#);

    let address = ("X-Real-IP", "2001:db8::1");
    it.sent(
        "DELETE",
        &format!("/v2/{OTHER}/blobs/{digest}"),
        &[address],
        "",
    );
    it.answered(202, &[], "");
    it.posted("2001:db8::1", vec![deleted(OTHER, digest, "")]);
    it.sent("GET", &format!("/v2/{OTHER}/blobs/{digest}"), &[], "");
    it.answered(404, &[], "");
    it.exchanges
}
