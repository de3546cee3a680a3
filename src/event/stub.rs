use super::{Format, SharedEvent};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Encoding {
    pub(crate) format: Format,
    pub(crate) compact: bool,
}

pub(crate) fn content_type(format: Format, _batch: bool) -> &'static str {
    format.content_type()
}

pub(crate) fn envelope(
    _encoding: Encoding,
    _batch: bool,
    events: impl IntoIterator<Item: AsRef<[u8]>>,
) -> Vec<u8> {
    super::encode::envelope(events)
}

impl SharedEvent {
    pub(crate) fn encoded(&self, encoding: Encoding) -> Arc<[u8]> {
        self.encoded_in(encoding.format)
    }
}
