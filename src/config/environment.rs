//! `REGISTRY_NOTIFICATIONS_…`: variables that go before what the file says.

use std::ffi::OsStr;
use std::sync::Arc;

use super::place::{Place, Source};
use super::tree::{self, Entry, Kind, Node};
use crate::error::{BuildError, Mistakes};

const PREFIX: &str = "REGISTRY_NOTIFICATIONS";
/// Names with more parts than this name no key.
const MOST_PARTS: usize = 16;

type Result<T> = std::result::Result<T, BuildError>;

/// A variable: the parts of its name behind the prefix, and its value.
struct Variable {
    parts: Vec<Part>,
    source: Source,
    value: Arc<Node>,
}

/// A part of a name. In this order a list is overridden before its items, and
/// its items by their number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Index(usize),
    Key(String),
}

/// Returns the section as the environment overrides it.
pub(super) fn overridden<K, V>(
    mut section: Arc<Node>,
    environment: impl IntoIterator<Item = (K, V)>,
) -> Result<Arc<Node>>
where
    K: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let mut mistakes = Mistakes::default();
    let read = |(name, value): (K, V)| variable(name.as_ref(), value.as_ref());
    let variables = environment.into_iter().filter_map(read);
    let mut variables: Vec<_> = variables.filter_map(|it| mistakes.take(it)).collect();
    variables.sort_by(|a, b| a.parts.cmp(&b.parts));
    for variable in variables {
        let applied = set(&mut section, &variable, &variable.parts, "notifications");
        mistakes.take(applied);
    }
    mistakes.or(section)
}

/// The variable, if it is one of ours.
fn variable(name: &OsStr, value: &OsStr) -> Option<Result<Variable>> {
    let name = name.to_str()?;
    let rest = name.strip_prefix(PREFIX)?;
    let parts: Vec<_> = match rest {
        "" => Vec::new(),
        _ => rest.strip_prefix('_')?.split('_').collect(),
    };
    // Kubernetes sets these itself where a service is called `registry-notifications`.
    if matches!(parts.first(), Some(&("SERVICE" | "PORT"))) {
        return None;
    }
    Some(read(name, &parts, value))
}

fn read(name: &str, parts: &[&str], value: &OsStr) -> Result<Variable> {
    let source = Source::Variable(name.into());
    let error = |message| Place::whole(source.clone()).error("", message);
    if parts.len() > MOST_PARTS {
        return Err(error("has too many parts: it names no key"));
    }
    let value = value.to_str();
    let value = value.ok_or_else(|| error("is not valid UTF-8: write it again"))?;
    let mut parts: Vec<Part> = parts.iter().map(|it| part(it)).collect();
    // The reference's environment has another word for this key than its file.
    if let Some(Part::Key(key)) = parts
        .first_mut()
        .filter(|it| **it == Part::Key("eventconfig".into()))
    {
        *key = "events".into();
    }
    Ok(Variable {
        value: tree::parse(value, source.clone())?,
        parts,
        source,
    })
}

fn part(text: &str) -> Part {
    let index = text
        .parse()
        .ok()
        .filter(|_| text.bytes().all(|it| it.is_ascii_digit()));
    index.map_or_else(|| Part::Key(text.to_lowercase()), Part::Index)
}

/// Puts the variable's value at `parts` below `node`.
fn set(node: &mut Arc<Node>, variable: &Variable, parts: &[Part], path: &str) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        *node = variable.value.clone();
        return Ok(());
    };
    let place = Place::whole(variable.source.clone());
    let mut kind = match &node.kind {
        _ if node.is_null() => match part {
            Part::Index(_) => Kind::List(Vec::new()),
            Part::Key(_) => Kind::Map(Vec::new()),
        },
        kind => kind.clone(),
    };
    let (slot, path) = match (&mut kind, part) {
        (Kind::List(items), Part::Index(index)) if *index <= items.len() => {
            if *index == items.len() {
                items.push(Arc::new(Node::null(place.clone())));
            }
            (&mut items[*index], format!("{path}[{index}]"))
        }
        (Kind::Map(entries), Part::Key(key)) => (
            &mut entry(entries, key, &place).value,
            format!("{path}.{key}"),
        ),
        (kind, _) => return Err(place.error(path, unfit(kind, part))),
    };
    set(slot, variable, rest, &path)?;
    *node = Arc::new(Node::new(kind, node.place.clone()));
    Ok(())
}

/// The entry of `key`, however the file writes it, or a new one.
fn entry<'a>(entries: &'a mut Vec<Entry>, key: &str, place: &Place) -> &'a mut Entry {
    let is = |it: &Entry| it.key.as_key().is_some_and(|it| it.to_lowercase() == key);
    let at = entries.iter().position(is).unwrap_or_else(|| {
        let node = |kind| Arc::new(Node::new(kind, place.clone()));
        entries.push(Entry {
            key: node(Kind::Text(key.into())),
            value: Arc::new(Node::null(place.clone())),
        });
        entries.len() - 1
    });
    &mut entries[at]
}

/// Why the variable's name leads nowhere.
fn unfit(kind: &Kind, part: &Part) -> String {
    match (kind, part) {
        (Kind::List(items), Part::Index(_)) => {
            let next = items.len();
            format!("has {next} items: the next has the number {next}")
        }
        (Kind::List(_), Part::Key(_)) => {
            format!("is a list: name an item by its number, as in {PREFIX}_ENDPOINTS_0_URL")
        }
        (Kind::Map(_), _) => "has no numbered items: name a key".into(),
        _ => "is no list and no map: set it as a whole".into(),
    }
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
            Kind::Map(entries) => entries[0].value.clone(),
            _ => root,
        };
        let name = |name: &str| format!("{PREFIX}{name}");
        overridden(
            section,
            environment.iter().map(|(key, value)| (name(key), value)),
        )
    }

    /// Whether both mean the same.
    fn same(a: &Node, b: &Node) -> bool {
        let meaning = |node: &Node| match &node.kind {
            Kind::Plain(text) => Some(format!("{:?}", resolve(text))),
            Kind::Text(text) => Some(format!("{:?}", Scalar::Text(text))),
            _ => None,
        };
        match (&a.kind, &b.kind) {
            (Kind::List(a), Kind::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Kind::Map(a), Kind::Map(b)) => {
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
            // Not ours, or set by Kubernetes.
            (vec![("S", "x"), ("_SERVICE_HOST", "10.0.0.1"), ("_PORT_80_TCP", "tcp://10.0.0.1:80")], before.into()),
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
