//! A configuration file: [`Config`].
//!
//! `tree` parses YAML, `environment` overrides the tree, and the other files
//! read it from the section down: `section`, `endpoint`, and one file for each
//! group of an endpoint's keys. They report all mistakes of a text at once.

mod author;
#[expect(
    clippy::module_inception,
    reason = "it holds `Config`, and this file only docs"
)]
mod config;
mod connection;
mod delivery;
mod endpoint;
mod environment;
mod fields;
mod file;
mod filter;
mod gitlab;
mod hint;
mod item;
#[cfg(feature = "journal")]
mod journal;
#[cfg(not(feature = "journal"))]
#[path = "no_journal.rs"]
mod journal;
mod phase;
mod place;
mod remedy;
mod scalar;
mod section;
mod shown;
mod spelling;
mod tree;
mod variable;

pub use self::config::Config;
