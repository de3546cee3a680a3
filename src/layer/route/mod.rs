//! Finds the route of a request, however its path is spelled.
//!
//! The registry decides which names, tags and digests are valid, so there is
//! no grammar here: a name is everything between the prefix and the last
//! `/manifests/` or `/blobs/` that makes a route for the method. A success
//! response then shows that the registry took the request.
//!
//! [`path`] matches one reading of a path, and [`readings`] decides between the
//! ways in which a registry may read it. [`query`] and [`form`] read the
//! parameters of an upload, [`location`] the name in a `Location` header.

use http::{Method, Uri};

mod encode;
pub(super) mod form;
mod location;
mod path;
mod query;
mod readings;
mod spelling;

pub(super) use encode::{name_in_path, segment};
pub(super) use location::{location_repository, location_url, same_name};
pub(super) use query::{Parameter, UploadParameters};
pub(super) use spelling::resolved;

use path::{Resource, Verb};
use readings::Match;

/// A request that emits an event if the registry answers it with success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The name of the repository, percent-decoded once. `None` if an encoded
    /// slash makes it uncertain, or for a foreign upload whose URL has no name.
    pub(super) repository: Option<String>,
    /// Whether a registry might read the path differently. What the readings of an
    /// encoded slash do not agree on is left out of the route. If dot segments or
    /// repeated slashes are the cause, the route is the literal one.
    pub(super) ambiguous: bool,
    pub(super) operation: Operation,
}

/// What a request does, by its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// GET or HEAD of a manifest.
    PullManifest(Reference),
    /// PUT of a manifest. `tags` are the `tag` parameters, which only a PUT by
    /// digest can have.
    PushManifest {
        reference: Reference,
        tags: Vec<String>,
    },
    DeleteManifest(Reference),
    /// GET or HEAD of a blob. The digest is `None` where it is uncertain.
    PullBlob(Option<String>),
    /// DELETE of a blob. The digest is `None` where it is uncertain.
    DeleteBlob(Option<String>),
    /// POST to `<name>/blobs/uploads/`, which may carry or mount the blob.
    StartUpload(UploadParameters),
    /// PUT to `<name>/blobs/uploads/<id>`.
    FinishUpload(UploadParameters),
    /// PUT with a `digest` parameter to any other URL: registries choose the
    /// URLs of their uploads.
    FinishForeignUpload(UploadParameters),
}

impl Operation {
    /// Whether the operation can change the registry.
    pub(super) fn mutates(&self) -> bool {
        !matches!(self, Self::PullManifest(_) | Self::PullBlob(_))
    }

    /// Whether the operation is a DELETE.
    pub(super) fn deletes(&self) -> bool {
        matches!(self, Self::DeleteManifest(_) | Self::DeleteBlob(_))
    }
}

/// How a request names a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// A reference without a colon.
    Tag(String),
    /// A reference with a colon.
    Digest(String),
    /// The readings of an encoded slash disagree.
    Unknown,
}

impl Reference {
    fn new(text: Option<String>) -> Self {
        match text {
            None => Self::Unknown,
            Some(digest) if digest.contains(':') => Self::Digest(digest),
            Some(tag) => Self::Tag(tag),
        }
    }

    pub(super) fn tag(&self) -> Option<&str> {
        match self {
            Self::Tag(tag) => Some(tag),
            Self::Digest(_) | Self::Unknown => None,
        }
    }

    pub(super) fn digest(&self) -> Option<&str> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Tag(_) | Self::Unknown => None,
        }
    }
}

/// Returns the route of a request, or `None` if it can emit no event.
///
/// `prefix` begins and ends with a slash. Nothing is allocated for a request
/// without a route unless its path is longer than [`readings::STACK_PATH`].
pub(super) fn find(prefix: &str, method: &Method, uri: &Uri) -> Option<Route> {
    let verb = Verb::of(method)?;
    let path = uri.path().as_bytes();
    if !path::cannot_match(prefix, verb, path) {
        let found = readings::find(path, |reading| path::operation(prefix, verb, reading));
        if let Some(found) = found {
            return Some(route(found, verb, uri));
        }
    }
    if verb == Verb::Put {
        return foreign_upload(prefix, uri);
    }
    None
}

fn route(found: Match, verb: Verb, uri: &Uri) -> Route {
    let query = uri.query().unwrap_or_default().as_bytes();
    let operation = match (found.resource, verb) {
        (Resource::Manifest, Verb::Put) => {
            let reference = Reference::new(found.rest);
            let tags = match reference {
                Reference::Digest(_) => query::tags(query),
                Reference::Tag(_) | Reference::Unknown => Vec::new(),
            };
            Operation::PushManifest { reference, tags }
        }
        (Resource::Manifest, Verb::Delete) => Operation::DeleteManifest(Reference::new(found.rest)),
        (Resource::Manifest, _) => Operation::PullManifest(Reference::new(found.rest)),
        (Resource::Blob, Verb::Delete) => Operation::DeleteBlob(found.rest),
        (Resource::Blob, _) => Operation::PullBlob(found.rest),
        (Resource::Upload, Verb::Post) => Operation::StartUpload(UploadParameters::parse(query)),
        (Resource::Upload, _) => Operation::FinishUpload(UploadParameters::parse(query)),
    };
    Route {
        repository: found.name,
        ambiguous: found.ambiguous,
        operation,
    }
}

/// Recognizes the end of an upload at a URL that only the registry understands, by
/// the `digest` that every closing PUT must have.
fn foreign_upload(prefix: &str, uri: &Uri) -> Option<Route> {
    let query = uri.query()?.as_bytes();
    if !query::has_digest(query) {
        return None;
    }
    let path = uri.path().as_bytes();
    let found = readings::find(path, |reading| path::foreign_upload(prefix, reading));
    let ambiguous = found.as_ref().is_some_and(|found| found.ambiguous);
    Some(Route {
        repository: found.and_then(|found| found.name),
        ambiguous,
        operation: Operation::FinishForeignUpload(UploadParameters::parse(query)),
    })
}

#[cfg(test)]
mod tests;
