//! The remedies for values of the wrong type: in a file another way to write the value,
//! in the environment another variable.

use super::item::Item;
use super::variable::name_of;
use crate::error::{BuildError, MistakeKind};

impl Item {
    /// Returns a better value as it would be written: for a variable, with its name.
    pub(super) fn assigned(&self, value: &str) -> String {
        match self.is_of_variable() {
            true => format!("{}={value}", name_of(&self.path)),
            false => value.into(),
        }
    }

    /// Whether this is the whole value of a variable, and not a part of it.
    pub(super) fn is_of_variable(&self) -> bool {
        let variable = self.node.place.variable();
        variable.is_some_and(|variable| variable.is_of(&self.path))
    }

    /// Returns the mistake of a value that is not a list.
    pub(super) fn no_list(&self) -> BuildError {
        let hidden = self.clone().secret();
        let place = &self.node.place;
        let Some(variable) = place.variable() else {
            return hidden.wrong(
                "a list",
                "write one item a line, each with a dash before it",
            );
        };
        // A variable's name leads into the list: it must have the number of an item.
        if place.named().is_some() {
            let item = format!("{}[0]", self.path);
            let remedy = variable.instead(&self.path, &item).unwrap_or_default();
            let error = self.error(format!("is a list: did you mean {remedy}?"));
            return error.with_kind(MistakeKind::UnknownVariable);
        }
        let remedy = match variable.is_of(&self.path) {
            true => {
                let is_endpoint = self.path.ends_with(".endpoints") && variable.is_url();
                let url = if is_endpoint { "_URL" } else { "" };
                let item = format!("{}_0{url}", name_of(&self.path));
                format!("write {}", variable.assignment(&item))
            }
            false => "write it as [a, b]".into(),
        };
        hidden.wrong("a list", &remedy)
    }

    /// Returns the mistake of a value that is not a map. `keys` are the keys that the map
    /// may have.
    pub(super) fn no_map(&self, keys: &[&str]) -> BuildError {
        // If lines are not indented alike, the value may be the secret of another key.
        let hidden = self.clone().secret();
        let Some(variable) = self.node.place.variable() else {
            return hidden.wrong("a map", "write one `key: value` a line, indented alike");
        };
        let key = match keys {
            keys if variable.is_url() && keys.contains(&"url") => Some("url"),
            keys if variable.is_url() && keys.contains(&"endpoints") => Some("endpoints[0].url"),
            keys => keys.first().copied(),
        };
        let remedy = match key.filter(|_| variable.is_of(&self.path)) {
            Some(key) => {
                let entry = name_of(&format!("{}.{key}", self.path));
                format!("write {}", variable.assignment(&entry))
            }
            None => "write it as {key: value}".into(),
        };
        hidden.wrong("a map", &remedy)
    }

    /// Returns the mistake of this header if the name of a variable leads into it, such
    /// as `…_HEADERS_X_KEY`. `headers` is the map of all headers.
    pub(super) fn with_dashes(&self, headers: &Self) -> Option<BuildError> {
        let variable = self.node.place.named().filter(|_| self.is_map())?;
        let instead = variable.with_dashes(&headers.path)?;
        Some(self.error(format!("is one value: did you mean {instead}?")))
    }

    /// Returns what to do about a key of this map that is missing.
    pub(super) fn remedy_of_missing(&self, key: &str) -> String {
        match self.node.place.named() {
            Some(_) => format!("set {}", name_of(&format!("{}.{key}", self.path))),
            None => "give it one".into(),
        }
    }
}
