//! What a manifest refers to, read as distribution reads it.
//!
//! Distribution decodes manifests into Go structs. A repeated key is decoded onto the
//! value that an earlier one left, so the rules of Go's structs, slices, maps and
//! pointers decide what a registry serves. The decoder follows them exactly:
//!
//! - `null` empties a slice, a map or a pointer, and leaves any other field as
//!   it is.
//! - An object sets those fields of a struct that it names.
//! - An array overwrites a slice element by element. Elements beyond its new
//!   length are hidden, and come back when a longer array follows. An empty
//!   array forgets them.
//! - The entries of an object are added to those of a map.
//! - A value of another type than its field makes the whole manifest invalid.
//!
//! `manifest.rs` reads an image or an index, with `descriptor.rs`, which reads one
//! descriptor of it, and `values.rs`, which has the rules above and the limit of memory.

mod descriptor;
mod manifest;
mod values;

#[cfg(test)]
mod tests;

pub(super) use self::manifest::{COUNT_LIMIT, read};
pub(super) use self::values::MEMORY_LIMIT;
