//! How events can be written: [`Format`] and [`Encoding`].

use std::sync::Arc;

use super::format::{Frame, Scope};
use super::{Action, SharedEvent};

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// What distribution v3 posts:
    /// `application/vnd.docker.distribution.events.v2+json`.
    #[default]
    V2,
    /// What distribution up to 2.8 posts, for receivers that compare the
    /// content type: `application/vnd.docker.distribution.events.v1+json`.
    ///
    /// Descriptors begin with `mediaType size digest` and leave out what is
    /// empty. They have no `data` and no `artifactType`, and entries of an
    /// index have no platform.
    V1,
    /// [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md)
    /// in JSON: an event alone in structured mode, also where an endpoint may send
    /// batches; several as a batch.
    ///
    /// | attribute | value |
    /// | --- | --- |
    /// | `specversion` | `1.0` |
    /// | `id` | the event's id |
    /// | `type` | `registry.<kind>.<done>.v1`, see below |
    /// | `source` | `//<host>:<port>` of the event's source; if it has no address, `urn:uuid:<instance id>`; without that too, `/v2/` |
    /// | `subject` | `<repository>:<tag>`; without a tag `<repository>@<digest>`; without either `<repository>` |
    /// | `time` | the event's timestamp |
    /// | `traceparent` | the trace of the request, if it has one ([Distributed Tracing]) |
    /// | `sequence`, `partitionkey` | the event's number, if the endpoint [sends it](crate::Endpoint::sequence) |
    /// | `datacontenttype` | `application/json` |
    /// | `data` | the whole event as in format v2 |
    ///
    /// The types are named after what the bridge is told:
    ///
    /// - `registry.manifest.pushed.v1`, `registry.manifest.pulled.v1`,
    ///   `registry.manifest.deleted.v1`
    /// - `registry.blob.pushed.v1`, `registry.blob.pulled.v1`,
    ///   `registry.blob.mounted.v1`, `registry.blob.deleted.v1`
    /// - `registry.tag.deleted.v1`
    /// - `registry.repository.deleted.v1`
    ///
    /// The number at the end changes when `data` changes incompatibly. As in
    /// Harbor's CloudEvents the types begin with no domain, because they mean
    /// the same whichever registry they come from.
    ///
    /// [Distributed Tracing]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md
    CloudEvents,
    /// What Azure's registry posts, one event in a request: read by Argo CD Image
    /// Updater and Flux as `acr`, by Kargo and Keel as `azure`, and by Jenkins as
    /// `acr-webhook`.
    ///
    /// An object with `id`, `timestamp`, `action`, `target` (`mediaType`, `size`,
    /// `digest`, `length`, `repository`, `tag`) and `request` (`id`, `host`, `method`,
    /// `useragent`). The `host` is that of the registry; see
    /// [`public_host`](crate::NotifierBuilder::public_host). Requests have the user agent
    /// `AzureContainerRegistry/1.0`, which receivers look for.
    ///
    /// | carries | |
    /// | --- | --- |
    /// | pushes of manifests with a tag | always |
    /// | deletions of manifests by digest | if the endpoint's filter [includes the action](crate::sink::Filter::include_actions) `delete` |
    Azure,
    /// What Harbor posts in its format "Default", one event in a request: read by Argo
    /// CD, Argo CD Image Updater, Flux, Kargo, Keel and the Harbor plugin of Jenkins.
    ///
    /// An object with `type`, `occur_at`, `operator` and `event_data` (`resources` with
    /// one item of `digest`, `tag`, `resource_url`, and `repository` with `name`,
    /// `namespace`, `repo_full_name`, `repo_type`), and no other field. The URL begins
    /// with the host of the registry; see
    /// [`public_host`](crate::NotifierBuilder::public_host). Without a tag, the digest
    /// stands in its place. Harbor's secret is the value of `Authorization`.
    ///
    /// | carries | as `type` | |
    /// | --- | --- | --- |
    /// | pushes of manifests with a tag | `PUSH_ARTIFACT` | always |
    /// | pulls of manifests | `PULL_ARTIFACT` | if the endpoint's filter [includes the action](crate::sink::Filter::include_actions) `pull` |
    /// | deletions of manifests and tags | `DELETE_ARTIFACT` | if it includes `delete` |
    Harbor,
    /// [CloudEvents](Self::CloudEvents) for tools that update images, such as Argo CD
    /// Image Updater, one event in a request. It carries pushes of manifests with a tag.
    ///
    /// | attribute | value |
    /// | --- | --- |
    /// | `type` | `registry.image.pushed.v1`, or what [`event_type`](crate::Endpoint::event_type) sets |
    /// | `source` | `https://` or `http://` and the host of the registry; see [`public_host`](crate::NotifierBuilder::public_host) |
    /// | `subject` | `<repository>:<tag>` |
    /// | `data` | the event as in format v2, with `registryUrl` (the same host), `repository`, `tag` and `digest` |
    ///
    /// All other attributes are those of `CloudEvents`.
    ImageUpdater,
}

impl Format {
    /// Returns the `Content-Type` of a request with one event: in CloudEvents
    /// that of structured mode, in the other formats that of an envelope.
    ///
    /// There is never a `charset`: JSON is UTF-8 and its media types define no
    /// such parameter, and receivers of the reference's formats compare the
    /// header exactly.
    pub fn content_type(self) -> &'static str {
        content_type(self, false)
    }

    /// Returns the `Content-Type` of an [encoded](super::Envelope::encode)
    /// envelope: in CloudEvents that of a batch, in the other formats the same
    /// as [`content_type`](Self::content_type).
    pub fn batch_content_type(self) -> &'static str {
        content_type(self, true)
    }

    /// Whether the format can say what the event says. `V2`, `V1` and `CloudEvents` can
    /// say everything; the others name what they carry. Of an event without any host of
    /// the registry they can say nothing.
    pub fn carries(self, event: &SharedEvent) -> bool {
        match self.wire().scope {
            Scope::All => true,
            Scope::Some { carries, .. } => carries(event),
        }
    }

    /// The actions that the format carries, if it does not carry all.
    pub(crate) fn actions(self) -> Option<impl Iterator<Item = Action>> {
        match self.wire().scope {
            Scope::All => None,
            Scope::Some { on_request, .. } => {
                Some([Action::Push].into_iter().chain(on_request.iter().copied()))
            }
        }
    }

    /// Whether an endpoint posts such events only if its filter names the action.
    pub(crate) fn is_on_request(self, action: Action) -> bool {
        match self.wire().scope {
            Scope::All => false,
            Scope::Some { on_request, .. } => on_request.contains(&action),
        }
    }

    /// Whether events are CloudEvents, which have attributes.
    pub(crate) fn is_cloud_events(self) -> bool {
        matches!(self, Self::CloudEvents | Self::ImageUpdater)
    }

    /// Whether a request may carry several events.
    pub(crate) fn takes_batches(self) -> bool {
        self.wire().batches
    }

    /// The user agent that receivers of the format look for.
    pub(crate) fn user_agent(self) -> Option<&'static str> {
        self.wire().user_agent
    }
}

/// Returns the `Content-Type` of a request with one event, or with several.
pub(crate) fn content_type(format: Format, batch: bool) -> &'static str {
    format.wire().content_types[usize::from(batch)]
}

/// A format with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Encoding {
    pub(crate) format: Format,
    /// Whether to leave out white space, which saves a third of the bytes.
    pub(crate) compact: bool,
    /// The type of events in [`Format::ImageUpdater`], if it is not the default.
    pub(crate) event_type: Option<Arc<str>>,
}

impl Encoding {
    /// The format, indented.
    pub(crate) fn of(format: Format) -> Self {
        Self {
            format,
            compact: false,
            event_type: None,
        }
    }

    pub(super) fn frame(&self) -> &'static Frame {
        &self.format.wire().frames[usize::from(self.compact)]
    }

    /// Returns how many objects and arrays enclose an event.
    pub(super) fn depth(&self) -> usize {
        self.format.wire().depth
    }

    /// Returns the event in the body of a request with one event.
    pub(super) fn event_in<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        let (before, after) = self.frame().alone;
        let end = body.len().saturating_sub(after.len());
        body.get(before.len()..end).unwrap_or_default()
    }
}
