//! Decides which listener call a request and its response amount to: [`Observed`].
//!
//! This is the table in the docs of [`layer`](super). Registries differ in what an
//! unusual request means to them. Where they do, the response decides; where it
//! does not show what happened, the fact is left out.

use std::collections::HashSet;

use http::header::LOCATION;
use http::{HeaderMap, HeaderName, StatusCode};

use super::exchange::{Exchange, FormType};
use super::facts::Facts;
use super::headers;
use super::outcome::ListenerCall;
use super::route::{self, Operation, Parameter, Reference, UploadParameters};
use super::settings::Settings;
use super::tap::SharedTap;
use crate::metrics::missing_fact;

/// A request and its response, which is a success or a redirect.
pub(super) struct Observed<'a> {
    exchange: &'a Exchange,
    status: StatusCode,
    headers: &'a HeaderMap,
}

impl<'a> Observed<'a> {
    pub(super) fn new(exchange: &'a Exchange, status: StatusCode, headers: &'a HeaderMap) -> Self {
        Self {
            exchange,
            status,
            headers,
        }
    }

    /// Returns the method of the listener to call, and the facts about the target
    /// that request and response show. `None` if nothing happened.
    pub(super) fn call(&self) -> Option<(ListenerCall, Facts)> {
        let headers = self.headers;
        match &self.exchange.route.as_ref()?.operation {
            Operation::PullManifest(reference) if is_content(self.status) => {
                let tag = reference.tag().map(Into::into);
                let mut facts = Facts::of_content(self.status, headers);
                // No manifest is empty, but some registries state a length of 0 in
                // response to HEAD.
                facts.size = facts.size.filter(|size| *size > 0);
                let facts = facts.or_digest(reference.digest());
                Some((ListenerCall::ManifestPulled { tag }, facts))
            }
            Operation::PullBlob(digest) if is_content(self.status) => {
                let mut facts = Facts::of_blob(self.status, headers);
                if self.exchange.head {
                    facts.size = headers::stated_by_head(facts.size);
                }
                Some((ListenerCall::BlobPulled, facts.or_digest(digest.as_deref())))
            }
            // The body of a redirect is not the blob, so its length says nothing.
            Operation::PullBlob(digest) if is_storage_redirect(self.status) => {
                let stated = Facts::of_digest(headers::content_digest(headers));
                Some((
                    ListenerCall::BlobPulled,
                    stated.or_digest(digest.as_deref()),
                ))
            }
            _ if !self.status.is_success() => None,
            Operation::PullManifest(_) | Operation::PullBlob(_) => None,
            Operation::PushManifest { reference, tags } => {
                Some(self.manifest_pushed(reference, tags))
            }
            Operation::DeleteManifest(Reference::Tag(tag)) => {
                Some((ListenerCall::TagDeleted(tag.clone()), Facts::default()))
            }
            Operation::DeleteManifest(reference) => {
                let call = ListenerCall::ManifestDeleted {
                    digest: reference.digest().unwrap_or_default().into(),
                    untagged: Vec::new(),
                };
                Some((call, Facts::default()))
            }
            Operation::DeleteBlob(digest) => {
                let digest = digest.clone().unwrap_or_default();
                Some((ListenerCall::BlobDeleted(digest), Facts::default()))
            }
            Operation::StartUpload(query) => self.upload_started(query),
            Operation::FinishUpload(query) | Operation::FinishForeignUpload(query) => {
                self.upload_finished(query)
            }
        }
    }

    /// Returns the repository that the registry `stated`, else the one that its
    /// `Location` names. `None` if the one in the path of the request counts.
    pub(super) fn other_repository(&self, stated: Option<&str>) -> Option<String> {
        if let Some(stated) = stated {
            return Some(stated.into());
        }
        let route = self.exchange.route.as_ref()?;
        let requested = route.repository.as_deref();
        // In response to other methods `Location` says where to look, not what was
        // written.
        let is_write = route.operation.mutates() && !route.operation.deletes();
        let location = headers::text(self.headers, &LOCATION);
        let location = location.filter(|_| is_write && self.status.is_success());
        let prefix = &self.exchange.settings.prefix;
        let located =
            location.and_then(|it| route::location_repository(prefix, &self.exchange.uri, it));
        located.filter(|located| {
            requested.is_none_or(|requested| !route::same_name(requested, located))
        })
    }

    fn manifest_pushed(&self, reference: &Reference, tags: &[String]) -> (ListenerCall, Facts) {
        let exchange = self.exchange;
        let stated = headers::content_digest(self.headers);
        let mut facts = Facts::of_digest(stated).or(exchange.content.clone());
        let tap = exchange.tap.as_ref().filter(|_| exchange.plain);
        let tap = tap.map(SharedTap::lock);
        facts.size = tap.as_ref().and_then(|tap| tap.whole_length());
        // The digest in the URL need not be that of the content. If the registry
        // states none, a sha256 digest is computed from the bytes later. A digest of
        // another algorithm is taken from the URL.
        let is_known = tap.is_some_and(|tap| tap.content().is_some());
        let requested = reference.digest();
        let requested = requested.filter(|it| !is_known || !it.starts_with("sha256:"));
        facts = facts.or_digest(requested);
        let tags = match reference.tag() {
            Some(tag) => vec![tag.into()],
            None => accepted(self.headers, tags),
        };
        (ListenerCall::ManifestPushed { tags }, facts)
    }

    /// Returns the call for a POST, which may begin an upload, carry a blob or mount
    /// one.
    fn upload_started(&self, query: &UploadParameters) -> Option<(ListenerCall, Facts)> {
        if self.status == StatusCode::ACCEPTED {
            self.begin_upload();
        }
        if self.status != StatusCode::CREATED {
            return None;
        }
        let stated = headers::content_digest(self.headers);
        let form = self.form();
        let (form, unread) = match &form {
            Form::Read(form) => (Some(form), false),
            Form::Unread => (None, true),
            Form::None => (None, false),
        };
        let absent = UploadParameters::default();
        let parameters = form.unwrap_or(&absent);
        let mounts = match (&query.digest, &query.mount) {
            (_, Parameter::Is(_) | Parameter::Unclear) => true,
            // A form that could not be read is not a blob, so it has the parameters.
            (Parameter::Absent, _) => parameters.mount.is_given() || unread,
            // The body is the blob, unless the registry read it as a form,
            // which the digest of the response shows.
            (digest, _) => parameters.mount.value().is_some_and(|mount| {
                stated == Some(mount) && digest.value().is_none_or(|digest| digest != mount)
            }),
        };
        if !mounts {
            return Some(self.blob_pushed(query, form));
        }
        // A form that could not be read may contradict the query.
        let (from, mount) = match unread {
            true => (None, None),
            false => (
                Parameter::agreed(&query.from, &parameters.from),
                Parameter::agreed(&query.mount, &parameters.mount),
            ),
        };
        let is_from_given = query.from.is_given() || parameters.from.is_given();
        if from.is_none() && (unread || is_from_given) {
            missing_fact("repository");
        }
        let facts = Facts::of_digest(stated).or_digest(mount);
        let from = from.map(Into::into);
        Some((ListenerCall::BlobMounted { from }, facts))
    }

    fn upload_finished(&self, query: &UploadParameters) -> Option<(ListenerCall, Facts)> {
        if self.status == StatusCode::ACCEPTED {
            return None;
        }
        let form = self.form();
        let form = match &form {
            Form::Read(form) => Some(form),
            Form::Unread | Form::None => None,
        };
        Some(self.blob_pushed(query, form))
    }

    fn blob_pushed(
        &self,
        query: &UploadParameters,
        form: Option<&UploadParameters>,
    ) -> (ListenerCall, Facts) {
        let stated = headers::content_digest(self.headers);
        let digest = match form {
            Some(form) => Parameter::agreed(&query.digest, &form.digest),
            None => query.digest.value(),
        };
        let mut facts = Facts::of_digest(stated).or_digest(digest);
        facts.size = self.pushed_size(query);
        // The registry may store the blob under another algorithm and still find
        // it by this digest. Under another digest of the same algorithm it has
        // stored something else.
        if let (Some(digest), Some(size)) = (query.digest.value(), facts.size)
            && !stated.is_some_and(|stated| contradicts(stated, digest))
        {
            self.exchange.settings.memory.sizes.learn(digest, size);
        }
        (ListenerCall::BlobPushed, facts)
    }

    /// Returns the number of bytes of a blob that was pushed, if the layer has
    /// seen all of them.
    fn pushed_size(&self, query: &UploadParameters) -> Option<u64> {
        let exchange = self.exchange;
        let tap = exchange.tap.as_ref()?;
        // Servers in Go read a form and find no blob after it. Others take the form
        // for the blob.
        let may_be_form = exchange.form.is_some() && tap.lock().length() > 0;
        // Without a digest in the query the body is a form with the parameters.
        if !exchange.plain || !query.digest.is_given() || may_be_form {
            return None;
        }
        match &exchange.chunk {
            Some(chunk) => exchange.settings.memory.uploads.end(chunk, tap),
            None if self.starts_upload() => tap.lock().whole_length(),
            // The body may be the last chunk only.
            None => None,
        }
    }

    /// Whether the request is a POST that begins an upload. A POST to an existing
    /// upload ends it, and the blob also has the bytes that were sent before.
    fn starts_upload(&self) -> bool {
        let route = self.exchange.route.as_ref();
        let path = self.exchange.uri.path().trim_end_matches('/');
        route.is_some_and(|route| matches!(route.operation, Operation::StartUpload(_)))
            && path.ends_with("/uploads")
    }

    /// Returns the parameters in the form body, if the request has one.
    fn form(&self) -> Form {
        let exchange = self.exchange;
        let (Some(content_type), Some(tap)) = (&exchange.form, &exchange.tap) else {
            return Form::None;
        };
        let tap = tap.lock();
        if tap.whole_length() == Some(0) {
            return Form::None;
        }
        let form = match (content_type, tap.content()) {
            (FormType::Known(content_type), Some(content)) => {
                route::form::parse(content_type, content)
            }
            _ => None,
        };
        form.map_or(Form::Unread, Form::Read)
    }

    /// Begins to count the bytes of an upload.
    fn begin_upload(&self) {
        let exchange = self.exchange;
        let sent = exchange.tap.as_ref().map_or(0, |tap| tap.lock().length());
        let Settings { memory, prefix, .. } = &*exchange.settings;
        memory
            .uploads
            .begin(prefix, &exchange.uri, self.headers, sent);
    }
}

static OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// A form body with upload parameters.
enum Form {
    None,
    /// Larger than the limit, malformed, or a form for some registries only.
    Unread,
    Read(UploadParameters),
}

/// Whether two digests of the same algorithm differ.
fn contradicts(stated: &str, requested: &str) -> bool {
    fn algorithm(digest: &str) -> Option<&str> {
        digest.split_once(':').map(|(algorithm, _)| algorithm)
    }
    stated != requested && algorithm(stated) == algorithm(requested)
}

fn is_content(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 206)
}

/// Whether a response sends the client to the storage of the registry. 301 and
/// 308 only correct a path.
fn is_storage_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 302 | 303 | 307)
}

/// Returns the requested tags that the registry says it has set.
fn accepted(headers: &HeaderMap, requested: &[String]) -> Vec<String> {
    let set: HashSet<_> = headers
        .get_all(&OCI_TAG)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    let requested = requested.iter();
    requested
        .filter(|tag| set.contains(tag.as_str()))
        .cloned()
        .collect()
}
