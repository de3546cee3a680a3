//! Encodes names and references for the URLs that the layer requests.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Every character that has a meaning of its own in a path segment or a query.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

const NAME: &AsciiSet = &SEGMENT.remove(b'/');

/// Encodes a name for a path. Its slashes separate segments.
pub(in crate::layer) fn name_in_path(name: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(name, NAME)
}

/// Encodes a tag or digest for one segment of a path, or for a query value.
pub(in crate::layer) fn segment(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}
