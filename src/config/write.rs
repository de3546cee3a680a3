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
        content.starts_with(|c: char| c.is_ascii_alphanumeric()) && content.chars().all(simple);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::error::{Place, Source};
    use crate::config::tree;

    fn node(kind: Kind) -> Arc<Node> {
        Arc::new(Node::new(kind, Place::whole(Source::Text)))
    }

    /// Any tree, of any texts.
    fn trees() -> impl Strategy<Value = Arc<Node>> {
        let text = prop_oneof![
            any::<String>(),
            "[ -~\n\t]{0,12}",
            "[-?:,\\[\\]{}#&*!|>'\"%@` a]{0,4}",
            Just("<<".to_owned()),
        ];
        // What a parser leaves plain.
        let plain = r"|~|null|Yes|off|y|-?[0-9]{1,5}|0x[0-9a-f]{1,4}|\.5|1e[0-9]|1_0|[a-z]{1,5}";
        let leaf = prop_oneof![
            text.prop_map(|it| node(Kind::Text(it))),
            plain.prop_map(|it| node(Kind::Plain(it))),
        ];
        leaf.clone().prop_recursive(4, 24, 4, move |inner| {
            let entry = (leaf.clone(), inner.clone());
            let entry = entry.prop_map(|(key, value)| Entry { key, value });
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(|it| node(Kind::List(it))),
                prop::collection::vec(entry, 0..4).prop_map(|it| node(Kind::Map(it))),
            ]
        })
    }

    /// Do both mean the same?
    fn same(a: &Node, b: &Node) -> bool {
        match (&a.kind, &b.kind) {
            (Kind::List(a), Kind::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Kind::Map(a), Kind::Map(b)) => {
                let all =
                    |(a, b): (&Entry, &Entry)| same(&a.key, &b.key) && same(&a.value, &b.value);
                a.len() == b.len() && a.iter().zip(b).all(all)
            }
            _ => meaning(a) == meaning(b) && meaning(a).is_some(),
        }
    }

    fn meaning(node: &Node) -> Option<Scalar<'_>> {
        match &node.kind {
            Kind::Plain(text) => Some(resolve(text)),
            Kind::Text(text) => Some(Scalar::Text(text)),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(tree in trees()) {
            let text = document("key", &tree);
            let read = tree::parse(&text, Source::Text);
            let read = read.unwrap_or_else(|error| panic!("{error}\n{text}"));
            let Kind::Map(entries) = &read.kind else {
                panic!("{text}");
            };
            prop_assert!(same(&entries[0].value, &tree), "{text}");
            prop_assert_eq!(document("key", &entries[0].value), text);
        }
    }
}
