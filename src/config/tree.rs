//! YAML as a tree, with the place of every node: [`parse`].
//!
//! The size and the depth of the tree are bounded with aliases followed, so that a
//! small text cannot expand into a huge tree ("billion laughs").

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::file::LIMIT as TEXT_LIMIT;
use super::place::{Place, Source};
use crate::error::{BuildError, MistakeKind};

/// The deepest nesting, aliases followed.
pub(super) const DEPTH_LIMIT: usize = 64;
/// The largest tree: nodes and bytes of their texts, aliases followed.
const SIZE_LIMIT: usize = 4 << 20;

/// A value and its place. An alias shares the node that it stands for.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) place: Place,
    /// Whether a scalar continues in the next line. A line that is indented too far
    /// belongs to the value before it, even if it was meant to be a key.
    pub(super) is_folded: bool,
    size: usize,
    depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    /// A scalar without quotes, which may be a number, a boolean or null.
    Plain(String),
    /// A scalar that is always a text, such as one in quotes.
    Text(String),
    /// A scalar with an unknown tag.
    Tagged,
    List(Vec<Arc<Node>>),
    /// The entries in the order of the text, with merge keys resolved. A key may occur
    /// twice.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Arc<Node>,
    pub(super) value: Arc<Node>,
}

impl Node {
    pub(super) fn new(kind: NodeKind, place: Place) -> Self {
        let (size, depth) = match &kind {
            NodeKind::Plain(text) | NodeKind::Text(text) => (text.len(), 0),
            NodeKind::Tagged => (0, 0),
            NodeKind::List(items) => extent(items.iter()),
            NodeKind::Map(entries) => extent(entries.iter().flat_map(|it| [&it.key, &it.value])),
        };
        Self {
            kind,
            place,
            is_folded: false,
            size: size.saturating_add(1),
            depth: depth + 1,
        }
    }

    /// Returns the node of an empty text or `null`.
    pub(super) fn null(place: Place) -> Self {
        Self::new(NodeKind::Plain(String::new()), place)
    }

    /// Whether the node is null, in any spelling of YAML 1.1 and Go's yaml
    /// package.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Plain(text) if is_null(text))
    }

    /// Returns the text of a scalar, as the key of a map is read.
    pub(super) fn as_key(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Plain(text) | NodeKind::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Whether a plain scalar is nothing.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Returns the size of all nodes together, and the depth of the deepest.
fn extent<'a>(nodes: impl Iterator<Item = &'a Arc<Node>>) -> (usize, usize) {
    nodes.fold((0, 0), |(size, depth), node| {
        (node.size.saturating_add(size), node.depth.max(depth))
    })
}

/// Parses the one document of `text`.
pub(super) fn parse(text: &str, source: Source) -> Result<Arc<Node>, BuildError> {
    let mut loader = Loader::new(source);
    if text.len() > TEXT_LIMIT {
        return Err(loader.whole("is larger than 1 MiB"));
    }
    let limit = DEPTH_LIMIT;
    let options = granit_parser::options! { flow_nesting_limit: limit, block_nesting_limit: limit };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| loader.scan_error(&error))?;
        loader.take(event, &span)?;
    }
    let nothing = || Arc::new(Node::null(Place::whole(loader.source.clone())));
    Ok(loader.root.unwrap_or_else(nothing))
}

/// Builds the tree from the parser's events.
struct Loader {
    source: Source,
    /// The lists and maps that are not complete yet, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    /// The size by which the tree may still grow.
    budget: usize,
    root: Option<Arc<Node>>,
    /// The place at which a second document begins, unless that document is empty.
    second: Option<Place>,
}

struct Open {
    place: Place,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Arc<Node>>),
    /// The entries, and the key of the next.
    Map(Vec<Entry>, Option<Arc<Node>>),
}

impl Loader {
    fn new(source: Source) -> Self {
        Self {
            source,
            open: Vec::new(),
            anchors: HashMap::new(),
            budget: SIZE_LIMIT,
            root: None,
            second: None,
        }
    }

    fn whole(&self, message: &str) -> BuildError {
        Place::whole(self.source.clone()).error("", message)
    }

    /// Returns a mistake of the parser. Its messages are fixed sentences that show at
    /// most one character of the text, and so no secret.
    fn scan_error(&self, error: &ScanError) -> BuildError {
        let place = self.place(error.marker());
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => too_deep(&place),
            kind => {
                let remedy = match self.source {
                    // Most are one text.
                    Source::Variable(_) => ": a text may need quotes, like '\"@text\"'",
                    _ => "",
                };
                let error = place.error("", format!("is not valid YAML: {kind}{remedy}"));
                error.with_kind(MistakeKind::Syntax)
            }
        }
    }

    fn place(&self, marker: &granit_parser::Marker) -> Place {
        Place {
            source: self.source.clone(),
            line: marker.line() as u64,
            column: marker.col() as u64 + 1,
        }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), BuildError> {
        let place = self.place(&span.start);
        if let Some(second) = &self.second {
            return match event {
                Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => Ok(()),
                Event::Scalar(..)
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::MappingStart(..) => {
                    let message = "begins a second document: put everything into one";
                    Err(second.error("", message))
                }
                _ => Ok(()),
            };
        }
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                self.second = Some(place);
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let mut node = Node::new(scalar(&text, style, tag.as_deref()), place);
                // The span of a plain scalar ends before the line break after it.
                node.is_folded = span.end.line() > span.start.line();
                self.complete(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(place, anchor, Items::List(Vec::new()));
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(place, anchor, Items::Map(Vec::new(), None));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, place),
            _ => Ok(()),
        }
    }

    fn open(&mut self, place: Place, anchor: usize, items: Items) {
        self.open.push(Open {
            place,
            anchor,
            items,
        });
    }

    fn close(&mut self) -> Result<(), BuildError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = match open.items {
            Items::List(items) => NodeKind::List(items),
            Items::Map(entries, _) => {
                let before = entries.len();
                let entries = merged(entries);
                // A merge copies the entries, but shares the nodes in them.
                self.spend(entries.len().saturating_sub(before), &open.place)?;
                NodeKind::Map(entries)
            }
        };
        self.complete(Node::new(kind, open.place), open.anchor)
    }

    /// Adds the node that an alias stands for. Its size counts again for each alias:
    /// otherwise a small text could expand into a tree that fills the memory.
    fn alias(&mut self, id: usize, place: Place) -> Result<(), BuildError> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            let message = "is an alias inside the value that it stands for: write it out";
            return Err(place.error("", message));
        };
        self.spend(node.size, &place)?;
        self.put(node)
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), BuildError> {
        let text = match &node.kind {
            NodeKind::Plain(text) | NodeKind::Text(text) => text.len(),
            _ => 0,
        };
        self.spend(text + 1, &node.place)?;
        let node = Arc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    fn spend(&mut self, size: usize, place: &Place) -> Result<(), BuildError> {
        let left = self.budget.checked_sub(size);
        self.budget = left.ok_or_else(|| {
            place.error("", "makes the configuration too large: use fewer aliases")
        })?;
        Ok(())
    }

    fn put(&mut self, node: Arc<Node>) -> Result<(), BuildError> {
        if node.depth + self.open.len() > DEPTH_LIMIT {
            return Err(too_deep(&node.place));
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map(entries, key)) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push(Entry { key, value: node }),
            },
        }
        Ok(())
    }
}

fn too_deep(place: &Place) -> BuildError {
    let message = format!("is nested more than {DEPTH_LIMIT} levels deep: use fewer levels");
    place.error("", message)
}

/// Returns the kind of a scalar. `!!str` and `!` make a text of anything. The other
/// tags of the core schema are ignored: the plain scalar already says the same.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> NodeKind {
    let core = tag.map(Tag::core_suffix);
    let local = |tag: &Tag| {
        tag.handle().is_empty() && tag.suffix() == "!"
            || tag.handle() == "!" && tag.suffix().is_empty()
    };
    match (core, style) {
        (None, ScalarStyle::Plain) => NodeKind::Plain(text.into()),
        (None, _) | (Some(Some("str")), _) => NodeKind::Text(text.into()),
        (Some(Some(_)), _) => NodeKind::Plain(text.into()),
        (Some(None), _) if tag.is_some_and(local) => NodeKind::Text(text.into()),
        (Some(None), _) => NodeKind::Tagged,
    }
}

/// Returns the entries of a map with those of its merge keys (`<<`), as in YAML 1.1:
/// keys of the map itself take precedence over merged ones, and the first of several
/// merged maps over the others. A `<<` that cannot be merged stays as a normal key.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    if !entries.iter().any(|it| sources(it).is_some()) {
        return entries;
    }
    let (merges, mut entries): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|it| sources(it).is_some());
    let own = entries.iter().filter_map(|it| it.key.as_key());
    let mut known: HashSet<String> = own.map(Into::into).collect();
    for source in merges.iter().filter_map(sources).flatten() {
        let NodeKind::Map(others) = &source.kind else {
            continue;
        };
        let new = |it: &&Entry| it.key.as_key().is_some_and(|key| known.insert(key.into()));
        entries.extend(others.iter().filter(new).cloned());
    }
    entries
}

/// Returns the maps that an entry merges. `None` if it is not a merge.
fn sources(entry: &Entry) -> Option<&[Arc<Node>]> {
    let is_map = |node: &Arc<Node>| matches!(node.kind, NodeKind::Map(_));
    if !matches!(&entry.key.kind, NodeKind::Plain(key) if key == "<<") {
        return None;
    }
    match &entry.value.kind {
        NodeKind::Map(_) => Some(std::slice::from_ref(&entry.value)),
        NodeKind::List(items) if items.iter().all(is_map) => Some(items),
        _ => None,
    }
}
