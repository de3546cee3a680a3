//! Requests that change a registry, each alone in what it changes.

use futures_util::StreamExt as _;

use crate::common::raw::{RawConnection, RawRequest};
use crate::content::{
    INDEX, begin_upload, digest, end_of_upload, index, push_blob, push_manifest, with_token,
};
use crate::hang_up::{MANNERS, Manner};

/// Each request has a number in its user agent.
pub(crate) const AGENT: &str = "hang-up/";

/// Clients at a time.
pub(crate) const CLIENTS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    PushManifest,
    FinishUpload,
    Mount,
    DeleteManifest,
    DeleteBlob,
}

pub(crate) const KINDS: [Kind; 5] = [
    Kind::PushManifest,
    Kind::FinishUpload,
    Kind::Mount,
    Kind::DeleteManifest,
    Kind::DeleteBlob,
];

impl Kind {
    pub(crate) fn deletes(self) -> bool {
        matches!(self, Self::DeleteManifest | Self::DeleteBlob)
    }
}

/// A request, and how the client hangs up on it.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    pub(crate) manner: Manner,
    pub(crate) request: RawRequest,
    /// What a HEAD finds if it was pushed or mounted, or was not deleted.
    pub(crate) trace: String,
}

/// The blob in the repository `source` that is mounted elsewhere: content and
/// digest.
pub(crate) fn source() -> (&'static str, String) {
    ("mounted everywhere", digest("mounted everywhere"))
}

/// Puts into the registry on this port what the requests need.
pub(crate) async fn prepare(port: u16, count: usize) -> Vec<Attack> {
    let mut connection = RawConnection::open(port).await;
    push_blob(&mut connection, "source", source().0).await;
    let attacks = futures_util::stream::iter(0..count).map(|number| async move {
        let mut connection = RawConnection::open(port).await;
        attack(&mut connection, number).await
    });
    attacks.buffered(CLIENTS).collect().await
}

async fn attack(registry: &mut RawConnection, number: usize) -> Attack {
    let kind = KINDS[number % KINDS.len()];
    let content = format!("content {number}");
    let (request, trace) = match kind {
        Kind::PushManifest => {
            let path = format!("/v2/pushed/manifests/t{number}");
            let push = RawRequest::new("PUT", &path).header("Content-Type", INDEX);
            (push.body(index(&content)), path)
        }
        Kind::FinishUpload => {
            let (upload, digest) = (begin_upload(registry, "uploaded").await, digest(&content));
            let put = RawRequest::new("PUT", end_of_upload(&upload, &digest));
            (put.body(content), format!("/v2/uploaded/blobs/{digest}"))
        }
        Kind::Mount => {
            let (_, digest) = source();
            let path = format!("/v2/mounted/m{number}/blobs");
            let query = format!("mount={digest}&from=source");
            let mount = RawRequest::new("POST", format!("{path}/uploads/?{query}"));
            (mount, format!("{path}/{digest}"))
        }
        Kind::DeleteManifest => {
            let content = index(&content);
            let digest = digest(&content);
            assert!(push_manifest(registry, "deleted", &digest, INDEX, content).await);
            let path = format!("/v2/deleted/manifests/{digest}");
            (RawRequest::new("DELETE", &path), path)
        }
        Kind::DeleteBlob => {
            let digest = push_blob(registry, "deleted", &content).await;
            let path = format!("/v2/deleted/blobs/{digest}");
            (RawRequest::new("DELETE", &path), path)
        }
    };
    Attack {
        number,
        kind,
        manner: MANNERS[number / KINDS.len() % MANNERS.len()],
        request: with_token(request, &format!("{AGENT}{number}")),
        trace,
    }
}
