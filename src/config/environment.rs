//! `REGISTRY_NOTIFICATIONS_…`: variables that go before what the file says.

use std::ffi::OsStr;
use std::sync::Arc;

use super::error::{ConfigError, Place, Source};
use super::tree::{self, Entry, Kind, Node};

const PREFIX: &str = "REGISTRY_NOTIFICATIONS";
/// Names with more parts than this name no key.
const MOST_PARTS: usize = 16;

type Result<T> = std::result::Result<T, ConfigError>;

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

/// The section as the environment has it.
pub(super) fn overridden<K, V>(
    mut section: Arc<Node>,
    environment: impl IntoIterator<Item = (K, V)>,
) -> Result<Arc<Node>>
where
    K: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let variables = environment.into_iter();
    let variables = variables.filter_map(|(name, value)| variable(name.as_ref(), value.as_ref()));
    let mut variables = variables.collect::<Result<Vec<_>>>()?;
    variables.sort_by(|a, b| a.parts.cmp(&b.parts));
    for variable in variables {
        set(&mut section, &variable, &variable.parts, "notifications")?;
    }
    Ok(section)
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
    let error = |message| ConfigError::new(&Place::whole(source.clone()), "", message);
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
        (kind, _) => return Err(ConfigError::new(&place, path, unfit(kind, part))),
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

    #[test]
    fn variables_apply_from_the_general_to_the_special() {
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
}
