//! The tree as YAML again.

use std::fmt::Write as _;

use super::scalar::{Scalar, resolve};
use super::tree::{Entry, Kind, Node};

/// `node` as the value of the one key of a document.
pub(super) fn document(key: &str, node: &Node) -> String {
    let mut text = key.to_owned();
    text.push(':');
    value(&mut text, node, 1);
    text
}

/// A value, after a colon or a dash, and its line end.
fn value(text: &mut String, node: &Node, indent: usize) {
    match &node.kind {
        Kind::List(items) if items.is_empty() => text.push_str(" []\n"),
        Kind::Map(entries) if entries.is_empty() => text.push_str(" {}\n"),
        Kind::List(items) => {
            text.push('\n');
            for item in items {
                text.push_str(&"  ".repeat(indent));
                text.push('-');
                match &item.kind {
                    Kind::Map(entries) => map(text, entries, indent + 1, true),
                    _ => value(text, item, indent + 1),
                }
            }
        }
        Kind::Map(entries) => {
            text.push('\n');
            map(text, entries, indent, false);
        }
        _ => {
            text.push(' ');
            scalar(text, node);
            text.push('\n');
        }
    }
}

/// The entries of a map, the first on the line of a dash if there is one.
fn map(text: &mut String, entries: &[Entry], indent: usize, dash: bool) {
    if entries.is_empty() {
        text.push_str(" {}\n");
    }
    for (index, entry) in entries.iter().enumerate() {
        match dash && index == 0 {
            true => text.push(' '),
            false => text.push_str(&"  ".repeat(indent)),
        }
        scalar(text, &entry.key);
        text.push(':');
        value(text, &entry.value, indent + 1);
    }
}

/// What a plain scalar is besides a text stays plain; texts get quotes, unless
/// nobody could take them for anything else.
fn scalar(text: &mut String, node: &Node) {
    let (content, plain) = match &node.kind {
        Kind::Plain(content) => (content, true),
        Kind::Text(content) => (content, false),
        _ => return,
    };
    let is_text = matches!(resolve(content), Scalar::Text(_));
    let simple = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let word =
        content.starts_with(|c: char| c.is_ascii_alphabetic()) && content.chars().all(simple);
    match (plain, is_text) {
        (true, false) if content.is_empty() => text.push('~'),
        (true, false) => text.push_str(content),
        (_, true) if word => text.push_str(content),
        _ => quote(text, content),
    }
}

/// A double-quoted scalar.
fn quote(text: &mut String, content: &str) {
    text.push('"');
    for c in content.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            '\u{a1}'..='\u{2027}' | '\u{3000}'..='\u{d7ff}' => text.push(c),
            // Whatever a reader may take for a line break or refuse.
            _ => {
                let _ = write!(text, "\\U{:08x}", u32::from(c));
            }
        }
    }
    text.push('"');
}
