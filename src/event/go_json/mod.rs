//! A scanner of JSON that accepts what Go's `encoding/json` accepts.
//!
//! Registries written in Go decide with `encoding/json` what a manifest
//! refers to. A stricter parser would refuse manifests that they serve, and one
//! that resolves ambiguities differently could be made to report layers that nobody
//! pulls. Where Go differs from other parsers, its rules apply:
//!
//! - Invalid UTF-8 and lone surrogates in strings become U+FFFD, the former one
//!   for each byte.
//! - Names of fields match in any case, and by Unicode's simple folding (`ſ`
//!   is an `s`); see [`mod@fields`].
//! - Values nest at most 10,000 deep.
//!
//! The scanner reads borrowed content and allocates only for strings with
//! escapes or invalid UTF-8. It does not recurse.
//!
//! Nearly all of a manifest is keys, strings and numbers in their plainest form. Each of
//! the functions that read them compares many bytes at once with that form first, and
//! reads byte by byte what has another.

mod decode;
mod fault;
mod fields;
mod key;
mod plain;
mod scanner;
mod skip;

pub(crate) use self::decode::push_lossy;
pub(super) use self::fault::Fault;
pub(super) use self::fields::fields;
pub(super) use self::key::{Key, is_folded};
pub(super) use self::scanner::Scanner;
