//! What an event happened to: [`Target`].

use serde::{Deserialize, Serialize};

use super::Descriptor;

/// What an event happened to: content, repository, tag, URL and references.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Target {
    /// The content. Empty if a tag or a repository was deleted.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// The size of the content in bytes again, under the name that early receivers
    /// read.
    #[serde(skip_serializing_if = "is_zero")]
    pub length: u64,
    /// Name of the repository, without host and tag.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Name of the repository that a blob was mounted from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from_repository: String,
    /// URL of the content, by its digest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The tag that was pushed, pulled or deleted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// What a manifest refers to, if the notifier includes references.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Descriptor>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
