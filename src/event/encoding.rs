//! How events can be written: [`Format`] and [`Encoding`].

use std::sync::Arc;

/// The encoding of events in the bodies of requests. Defaults to [`V2`](Self::V2).
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
    /// in JSON. A single event is in structured mode, even if the endpoint may send
    /// batches; several are a batch.
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
    /// The types are named after the methods of the bridge:
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
    /// All formats.
    pub const ALL: &[Self] = &[
        Self::V2,
        Self::V1,
        Self::CloudEvents,
        Self::Azure,
        Self::Harbor,
        Self::ImageUpdater,
    ];

    /// Returns the name of the format in configuration files and in the status: `v2`,
    /// `v1`, `cloudevents`, `azure`, `harbor` or `imageupdater`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::CloudEvents => "cloudevents",
            Self::Azure => "azure",
            Self::Harbor => "harbor",
            Self::ImageUpdater => "imageupdater",
        }
    }
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
}
