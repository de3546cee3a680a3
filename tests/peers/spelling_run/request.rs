//! The requests before they are misspelled.

use fastrand::Rng;

use crate::common::raw::{RawConnection, RawRequest};
use crate::content::{INDEX, digest, index, push_blob, push_manifest, upload, with_token};

/// Each request has a number in its user agent.
pub(crate) const AGENT: &str = "spelling/";

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Every kind, so that no registry rewrites a manifest for an old client.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Names that some registries take, percent-encoded where they must be.
const NAMES: [&str; 16] = [
    "FOO/app",
    "Reg.Example.COM/team",
    "Reg.Example.COM:5000/team",
    "X/steal",
    "_x/app",
    "a..b/app",
    "a%20b/app",
    "%C3%A9/app",
    "é/app",
    "-x/app",
    "evil%2F..%2Fvictim/app",
    "a/manifests",
    "manifests/b",
    "blobs/uploads",
    "uploads/x",
    "v2/v2",
];

const TAGS: [&str; 13] = [
    "_x",
    "-x",
    ".x",
    "a..b",
    "V1",
    "v%201",
    "%C3%A9",
    "é",
    "v1%2Fx",
    "v1%252Fx",
    "a;b",
    "manifests",
    "uploads",
];

/// What a registry can do, and what it calls things.
#[derive(Clone, Copy, Default)]
pub(crate) struct Traits {
    /// An ordinary repository.
    pub(crate) repository: &'static str,
    /// Whether a name is one segment of a path, so that slashes are encoded.
    pub(crate) one_segment: bool,
    /// Whether it takes manifests of images only.
    pub(crate) images: bool,
    pub(crate) deletes: bool,
}

impl Traits {
    /// Type and content of a manifest that needs no blobs.
    fn manifest(self, mark: &str) -> (&'static str, String) {
        if !self.images {
            return (INDEX, index(mark));
        }
        let blob = r#"{"mediaType":"a/b","digest":"sha256:00","size":1}"#;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{DOCKER}","config":{blob},"layers":[],"annotations":{{"mark":"{mark}"}}}}"#
        );
        (DOCKER, manifest)
    }

    fn name(self, random: &mut Rng) -> String {
        let name = match random.u8(..10) {
            0..6 => self.repository.to_owned(),
            6 => format!("{}/app", "n".repeat(260)),
            _ => NAMES[random.usize(..NAMES.len())].to_owned(),
        };
        match self.one_segment {
            true => name.replace('/', "%2F"),
            false => name,
        }
    }

    /// Puts into every repository that the registry allows what is pulled and
    /// mounted later.
    pub(crate) async fn seed(self, direct: &mut RawConnection) {
        let names = NAMES.iter().copied().chain([self.repository]);
        for name in names {
            let name = match self.one_segment {
                true => name.replace('/', "%2F"),
                false => name.to_owned(),
            };
            let (kind, content) = self.manifest("seed");
            let pushed = push_manifest(direct, &name, "seed", kind, content).await;
            let is_ordinary = name == self.repository;
            assert!(pushed || !is_ordinary, "{name} was refused");
            if is_ordinary {
                push_blob(direct, &name, "seed").await;
            }
        }
    }
}

/// A request with a number.
pub(crate) struct Numbered {
    pub(crate) number: usize,
    pub(crate) request: RawRequest,
    /// The digest of a manifest that it pushes.
    pub(crate) pushes: Option<String>,
    /// Digest and repository of a manifest that it deletes.
    pub(crate) deletes: Option<(String, String)>,
}

/// A request as it should be, to something that nothing else changes. What it
/// needs is put into the registry first.
pub(crate) async fn numbered(
    number: usize,
    random: &mut Rng,
    traits: Traits,
    direct: &mut RawConnection,
) -> Numbered {
    let mark = format!("{number}");
    let (kind, manifest) = traits.manifest(&mark);
    let name = traits.name(random);
    let repository = traits.repository;
    let (mut pushes, mut deletes) = (None, None);
    let request = match random.u8(..20) {
        0..4 => pull_manifest(random, &name, &digest(traits.manifest("seed").1)),
        4..7 => RawRequest::new("GET", format!("/v2/{name}/blobs/{}", digest("seed"))),
        7..11 => {
            pushes = Some(digest(&manifest));
            let tag = match random.u8(..10) {
                0..5 => format!("t{number}"),
                5 => "t".repeat(128 + random.usize(..2)),
                6 => digest(&manifest),
                _ => TAGS[random.usize(..TAGS.len())].to_owned(),
            };
            let path = format!("/v2/{name}/manifests/{tag}");
            let push = RawRequest::new("PUT", path).header("Content-Type", kind);
            push.body(manifest)
        }
        11..13 => mount(random, &name, repository),
        13 => {
            let query = format!("digest={}", digest(&mark));
            let path = format!("/v2/{name}/blobs/uploads/?{query}");
            let octets = ("Content-Type", "application/octet-stream");
            let post = RawRequest::new("POST", path).header(octets.0, octets.1);
            post.body(mark)
        }
        14..16 => RawRequest::new("PUT", upload(direct, repository, &mark).await),
        16 if traits.deletes => {
            let digest = digest(&manifest);
            assert!(push_manifest(direct, repository, &digest, kind, manifest).await);
            deletes = Some((digest.clone(), repository.to_owned()));
            RawRequest::new("DELETE", format!("/v2/{repository}/manifests/{digest}"))
        }
        17 if traits.deletes => {
            let digest = push_blob(direct, repository, &mark).await;
            RawRequest::new("DELETE", format!("/v2/{repository}/blobs/{digest}"))
        }
        _ => {
            let path = [
                "tags/list",
                "referrers/sha256:00",
                "manifests/none",
                "blobs/uploads/none",
            ];
            let path = path[random.usize(..path.len())];
            let method = ["GET", "HEAD", "DELETE"][random.usize(..3)];
            RawRequest::new(method, format!("/v2/{name}/{path}"))
        }
    };
    let request = with_token(request, &format!("{AGENT}{number}"));
    Numbered {
        number,
        request: request.header("Accept", ACCEPT),
        pushes,
        deletes,
    }
}

fn pull_manifest(random: &mut Rng, name: &str, digest: &str) -> RawRequest {
    let reference = if random.bool() { "seed" } else { digest };
    RawRequest::new("GET", format!("/v2/{name}/manifests/{reference}"))
}

/// A mount whose parameters are in the query, in a form, or in both.
fn mount(random: &mut Rng, name: &str, from: &str) -> RawRequest {
    let path = format!("/v2/{name}/blobs/uploads/");
    let (mount, from) = (format!("mount={}", digest("seed")), format!("from={from}"));
    let both = format!("{mount}&{from}");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let post = |query: &str, body: String| {
        let post = RawRequest::new("POST", format!("{path}?{query}"));
        post.header(form.0, form.1).body(body)
    };
    match random.u8(..9) {
        0..3 => RawRequest::new("POST", format!("{path}?{both}")),
        3 => post("", both),
        4 => post(&mount, from),
        5 => post(&from, mount),
        6 => post("from=team%2Fother", both),
        7 => post("", format!("pad={}&{both}", "x".repeat(17_000))),
        _ => {
            let part = |pair: &str| {
                let (name, value) = pair.split_once('=').unwrap();
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            let body = format!("{}{}--b--\r\n", part(&mount), part(&from));
            let kind = "multipart/form-data; boundary=b";
            RawRequest::new("POST", path)
                .header("Content-Type", kind)
                .body(body)
        }
    }
}
