//! How events can be written: [`Format`] and [`Encoding`].

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
}

/// Returns the `Content-Type` of a request with one event, or with several.
pub(crate) fn content_type(format: Format, batch: bool) -> &'static str {
    match (format, batch) {
        (Format::V2, _) => "application/vnd.docker.distribution.events.v2+json",
        (Format::V1, _) => "application/vnd.docker.distribution.events.v1+json",
        (Format::CloudEvents, false) => "application/cloudevents+json",
        (Format::CloudEvents, true) => "application/cloudevents-batch+json",
    }
}

/// A format with or without white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Encoding {
    pub(crate) format: Format,
    /// Whether to leave out white space, which saves a third of the bytes.
    pub(crate) compact: bool,
}

/// What is written around the events of an envelope, before each of them, and
/// after the last.
pub(super) struct Frame {
    pub(super) open: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) close: &'static str,
}

impl Encoding {
    pub(super) fn frame(self) -> Frame {
        let (open, before, after, close) = match (self.format, self.compact) {
            (Format::CloudEvents, true) => ("[", "", "", "]"),
            (Format::CloudEvents, false) => ("[", "\n", "\n", "]"),
            (Format::V2 | Format::V1, true) => ("{\"events\":[", "", "", "]}"),
            (Format::V2 | Format::V1, false) => {
                ("{\n   \"events\": [", "\n      ", "\n   ", "]\n}")
            }
        };
        Frame {
            open,
            before,
            after,
            close,
        }
    }

    /// Returns how many objects and arrays enclose an event: an envelope is an
    /// object with an array in it.
    pub(super) fn depth(self) -> usize {
        match self.format {
            Format::CloudEvents => 0,
            Format::V2 | Format::V1 => 2,
        }
    }

    /// Returns what is written before and after the event in the body of a request
    /// with one event, not in a batch.
    pub(super) fn around_one(self) -> (&'static str, &'static str) {
        match (self.format, self.compact) {
            (Format::CloudEvents, _) => ("", ""),
            (Format::V2 | Format::V1, true) => ("{\"events\":[", "]}"),
            (Format::V2 | Format::V1, false) => ("{\n   \"events\": [\n      ", "\n   ]\n}"),
        }
    }

    /// Returns the event in such a body.
    pub(super) fn event_in(self, body: &[u8]) -> &[u8] {
        let (before, after) = self.around_one();
        let end = body.len().saturating_sub(after.len());
        body.get(before.len()..end).unwrap_or_default()
    }
}
