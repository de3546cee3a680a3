//! `REGISTRY_NOTIFICATIONS_…`: variables that override the file.
//!
//! The variables are applied one by one, each to a copy of the tree, which is then
//! checked. An unknown key is therefore due to the last variable, which is left out
//! if it belongs to another program.

use std::ffi::OsStr;
use std::sync::Arc;

use super::place::{Place, Source};
use super::spelling::nearest;
use super::tree::{self, Entry, Node, NodeKind};
use super::variable::{PREFIX, Variable};
use crate::error::{BuildError, MistakeKind, Mistakes};

/// A name with more parts than this cannot lead to a key.
const MOST_PARTS: usize = 16;

type Result<T> = std::result::Result<T, BuildError>;

/// A variable, and the keys that its name leads to.
struct Override {
    parts: Vec<Part>,
    /// The place of the nodes that it adds.
    place: Place,
    /// The value. An error in it is reported only if the name leads to a key.
    value: Result<Arc<Node>>,
}

/// A part of a name. Variables are sorted by their parts, so that a list applies
/// before its items, and items apply by their number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Index(usize),
    Key(String),
}

/// Returns the section with the variables of the environment applied. `check` reads
/// a section and returns its mistakes.
///
/// A variable whose name leads to no key belongs to another program or is misspelt:
/// it is ignored with a warning. Variables that Kubernetes sets for a service are
/// ignored without one.
pub(super) fn overridden<K, V>(
    mut section: Arc<Node>,
    environment: impl IntoIterator<Item = (K, V)>,
    check: impl Fn(&Arc<Node>) -> Result<()>,
) -> Result<Arc<Node>>
where
    K: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let mut mistakes = Mistakes::default();
    let read = |(name, value): (K, V)| variable(name.as_ref(), value.as_ref());
    let mut variables: Vec<_> = environment.into_iter().filter_map(read).collect();
    variables.sort_by(|a, b| a.parts.cmp(&b.parts));
    for variable in variables {
        let mut next = section.clone();
        let set = set(&mut next, &variable, &variable.parts, "notifications");
        let leads_on = set.is_ok();
        // The keys of the variables before it are known: an unknown key is this one's.
        let error = set.and_then(|()| check(&next)).err();
        let unknown = error
            .as_ref()
            .and_then(|it| it.of(MistakeKind::UnknownVariable));
        let name = variable.place.variable();
        match unknown {
            // A service may have the name of a setting: its variables are not values of it.
            _ if error.is_some() && name.is_some_and(Variable::is_of_a_service) => {}
            None if leads_on => {
                section = next;
                mistakes.take(variable.value);
            }
            Some(unknown) => tracing::warn!("{unknown}"),
            None => error.into_iter().for_each(|it| mistakes.add(it)),
        }
    }
    mistakes.or(section)
}

/// Returns the variable if its name begins with the prefix of this crate. Warns of a
/// name that was probably meant to.
fn variable(name: &OsStr, value: &OsStr) -> Option<Override> {
    let name = name.to_str()?;
    let Some(rest) = name.strip_prefix(PREFIX) else {
        warn_of_misspelt(name, value);
        return None;
    };
    let parts: Vec<_> = match rest {
        "" => Vec::new(),
        rest => rest.strip_prefix('_')?.split('_').collect(),
    };
    Some(read(name, &parts, value))
}

/// Warns of a variable such as `REGISTRY_NOTIFICATION_ENDPOINTS`, which would otherwise
/// be ignored silently.
fn warn_of_misspelt(name: &str, value: &OsStr) {
    let mut parts = name.splitn(3, '_');
    let (Some(first), Some(second)) = (parts.next(), parts.next()) else {
        return;
    };
    let is_near = || nearest(second, ["notifications"].into_iter()).is_some();
    if !first.eq_ignore_ascii_case("registry") || !is_near() {
        return;
    }
    let variable = Variable {
        name: name.into(),
        value: value.to_string_lossy().into(),
    };
    if !variable.is_of_a_service() {
        let rest = parts.next().map(str::to_uppercase);
        let right = [Some(PREFIX.into()), rest].into_iter().flatten();
        let right = right.collect::<Vec<_>>().join("_");
        let right = variable.assignment(&right);
        tracing::warn!("{name}: is not known here: did you mean {right}?");
    }
}

fn read(name: &str, parts: &[&str], value: &OsStr) -> Override {
    let text = value.to_str();
    let source = Source::Variable(Arc::new(Variable {
        name: name.to_owned(),
        value: text.unwrap_or_default().to_owned(),
    }));
    let mut parts: Vec<Part> = parts.iter().map(|it| part(it)).collect();
    // The reference calls this key `events` in its file and `eventconfig` in variables.
    if let Some(Part::Key(key)) = parts
        .first_mut()
        .filter(|it| **it == Part::Key("eventconfig".into()))
    {
        *key = "events".into();
    }
    let place = Place::whole(source.clone());
    let value = match text {
        Some(text) => tree::parse(text, source),
        None => Err(place.error("", "is not valid UTF-8: write it again")),
    };
    Override {
        parts,
        place,
        value,
    }
}

fn part(text: &str) -> Part {
    let index = text
        .parse()
        .ok()
        .filter(|_| text.bytes().all(|it| it.is_ascii_digit()));
    index.map_or_else(|| Part::Key(text.to_lowercase()), Part::Index)
}

/// Puts the variable's value at `parts` below `node`.
fn set(node: &mut Arc<Node>, variable: &Override, parts: &[Part], path: &str) -> Result<()> {
    let place = &variable.place;
    if variable.parts.len() > MOST_PARTS {
        let error = place.error("", "has too many parts: it names no key");
        return Err(error.with_kind(MistakeKind::UnknownVariable));
    }
    let Some((part, rest)) = parts.split_first() else {
        let nothing = || Arc::new(Node::null(place.clone()));
        *node = variable
            .value
            .as_ref()
            .map_or_else(|_| nothing(), Arc::clone);
        return Ok(());
    };
    let (mut kind, own) = match (&node.kind, part) {
        (_, Part::Index(_)) if node.is_null() => (NodeKind::List(Vec::new()), place),
        (_, Part::Key(_)) if node.is_null() => (NodeKind::Map(Vec::new()), place),
        (kind, _) => (kind.clone(), &node.place),
    };
    let (slot, path) = match (&mut kind, part) {
        (NodeKind::List(items), Part::Index(index)) if *index <= items.len() => {
            if *index == items.len() {
                items.push(Arc::new(Node::null(place.clone())));
            }
            (&mut items[*index], format!("{path}[{index}]"))
        }
        (NodeKind::Map(entries), Part::Key(key)) => (
            &mut entry(entries, key, place).value,
            format!("{path}.{key}"),
        ),
        (kind, part) => return Err(unfit(kind, part, place, path)),
    };
    set(slot, variable, rest, &path)?;
    let own = own.clone();
    *node = Arc::new(Node::new(kind, own));
    Ok(())
}

/// Returns the entry of `key`, in whichever case the file writes it, or a new one.
fn entry<'a>(entries: &'a mut Vec<Entry>, key: &str, place: &Place) -> &'a mut Entry {
    let is = |it: &Entry| it.key.as_key().is_some_and(|it| it.to_lowercase() == key);
    let at = entries.iter().position(is).unwrap_or_else(|| {
        let node = |kind| Arc::new(Node::new(kind, place.clone()));
        entries.push(Entry {
            key: node(NodeKind::Text(key.into())),
            value: Arc::new(Node::null(place.clone())),
        });
        entries.len() - 1
    });
    &mut entries[at]
}

/// Returns why the variable's name leads to no key below `path`, and the name that
/// was probably meant.
fn unfit(kind: &NodeKind, part: &Part, place: &Place, path: &str) -> BuildError {
    let instead = |wrong: &str, right: &str| {
        let variable = place.variable()?;
        variable.instead(wrong, right)
    };
    let (message, instead) = match (kind, part) {
        // The items before it are missing.
        (NodeKind::List(items), Part::Index(index)) => {
            let next = items.len();
            let instead = instead(&format!("{path}[{index}]"), &format!("{path}[{next}]"));
            let next = instead.unwrap_or_else(|| next.to_string());
            return place.error(
                path,
                format!("has {} items: the next is {next}", items.len()),
            );
        }
        (NodeKind::List(_), Part::Key(key)) if key.parse::<i64>().is_ok() => (
            "is a list, whose items have numbers from 0",
            instead(&format!("{path}.{key}"), &format!("{path}[0]")),
        ),
        (NodeKind::List(_), Part::Key(_)) => ("is a list", instead(path, &format!("{path}[0]"))),
        (NodeKind::Map(_), Part::Index(index)) => (
            "has no numbered items",
            instead(&format!("{path}[{index}]"), path),
        ),
        (_, Part::Key(key)) => ("is one value", instead(&format!("{path}.{key}"), path)),
        (_, Part::Index(index)) => ("is one value", instead(&format!("{path}[{index}]"), path)),
    };
    let question = instead.map(|variable| format!(": did you mean {variable}?"));
    let message = format!("{message}{}", question.unwrap_or_default());
    place
        .error(path, message)
        .with_kind(MistakeKind::UnknownVariable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::scalar::{Scalar, resolve};

    #[test]
    fn variables_apply_from_general_to_specific() {
        let parts = |name: &str| -> Vec<Part> { name.split('_').map(part).collect() };
        let mut sorted = [
            "ENDPOINTS_10_URL",
            "ENDPOINTS_2",
            "ENDPOINTS_2_URL",
            "ENDPOINTS",
        ];
        sorted.sort_by_key(|it| parts(it));
        let expected = [
            "ENDPOINTS",
            "ENDPOINTS_2",
            "ENDPOINTS_2_URL",
            "ENDPOINTS_10_URL",
        ];
        assert_eq!(sorted, expected);
    }

    /// The section of a text, overridden by variables.
    fn with(text: &str, environment: &[(&str, &str)]) -> Result<Arc<Node>> {
        let root = tree::parse(text, Source::Text)?;
        let section = match &root.kind {
            NodeKind::Map(entries) => entries[0].value.clone(),
            _ => root,
        };
        let name = |name: &str| format!("{PREFIX}{name}");
        let environment = environment.iter().map(|(key, value)| (name(key), value));
        overridden(section, environment, |_| Ok(()))
    }

    /// Whether both mean the same.
    fn same(a: &Node, b: &Node) -> bool {
        let meaning = |node: &Node| match &node.kind {
            NodeKind::Plain(text) => Some(format!("{:?}", resolve(text))),
            NodeKind::Text(text) => Some(format!("{:?}", Scalar::Text(text))),
            _ => None,
        };
        match (&a.kind, &b.kind) {
            (NodeKind::List(a), NodeKind::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (NodeKind::Map(a), NodeKind::Map(b)) => {
                let same =
                    |(a, b): (&Entry, &Entry)| same(&a.key, &b.key) && same(&a.value, &b.value);
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            _ => meaning(a) == meaning(b) && meaning(a).is_some(),
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let file = "notifications: {endpoints: [{name: a, url: 'http://h', headers: {Authorization: [Bearer old], X-A: [b]}}]}";
        let before = "notifications:\n  endpoints:\n    - name: a\n      url: \"http://h\"\n      headers:\n        \
                      Authorization:\n          - \"Bearer old\"\n        X-A:\n          - b\n";
        let after = |old: &str, new: &str| before.replace(old, new);
        let header = |new: &str| after("\"Bearer old\"", new);
        let more = |new: &str| format!("{before}{new}");
        for (environment, expected) in [
            (vec![("_ENDPOINTS_0_URL", "http://new")], after("//h", "//new")),
            // Either way to name the header; the reference has only the first.
            (vec![("_ENDPOINTS_0_HEADERS_AUTHORIZATION", "[Bearer new]")], header("\"Bearer new\"")),
            (vec![("_ENDPOINTS_0_HEADERS_AUTHORIZATION_0", "Bearer new")], header("\"Bearer new\"")),
            (vec![("_ENDPOINTS_0_HEADERS_AUTHORIZATION_1", "new")], header("\"Bearer old\"\n          - new")),
            (vec![("_ENDPOINTS_0_HEADERS_X-A", "[c]")], after("- b\n", "- c\n")),
            (vec![("_ENDPOINTS_0_TIMEOUT", "5s")], more("      timeout: 5s\n")),
            // Each in its order, however they come.
            (
                vec![
                    ("_ENDPOINTS_1_URL", "http://b"),
                    ("_ENDPOINTS_1_NAME", "b"),
                    ("_ENDPOINTS_1", "{name: c, timeout: 1}"),
                ],
                more("    - name: b\n      timeout: 1\n      url: \"http://b\"\n"),
            ),
            (
                vec![("_ENDPOINTS", "\n- name: portus \n  url: https://h/v2\n  timeout: 2000ms\n"), ("_ENDPOINTS_0_NAME", "p")],
                "notifications:\n  endpoints:\n    - name: p\n      url: \"https://h/v2\"\n      timeout: 2000ms\n".into(),
            ),
            // The reference's own word, and the one of the file.
            (vec![("_EVENTCONFIG_INCLUDEREFERENCES", "true")], more("  events:\n    includereferences: true\n")),
            (vec![("_EVENTS_INCLUDEREFERENCES", "yes")], more("  events:\n    includereferences: yes\n")),
            (vec![("", "{events: {}}")], "notifications:\n  events: {}\n".into()),
            (vec![("", "")], "notifications: ~\n".into()),
            (vec![("S", "not ours")], before.into()),
        ] {
            let section = with(file, &environment);
            let section = section.unwrap_or_else(|error| panic!("{environment:?}: {error}"));
            let expected = with(&expected, &[]).unwrap();
            assert!(same(&section, &expected), "{environment:?}: {section:#?}");
        }
        let all = [("_ENDPOINTS_0_URL", "http://h"), ("_ENDPOINTS_0_NAME", "a")];
        assert!(with("", &all).is_ok(), "nothing in the file");
    }
}
