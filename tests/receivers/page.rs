//! `docs/receivers.md`.

const PAGE: &str = include_str!("../../docs/receivers.md");

/// The headings with a configuration below them.
pub(crate) fn headings() -> Vec<&'static str> {
    let parts = PAGE.split("\n### ").skip(1);
    let with_yaml = parts.filter(|part| part.contains("```yaml\n"));
    with_yaml.map(|part| part.lines().next().unwrap()).collect()
}

/// The configuration below a heading.
pub(crate) fn configuration(heading: &str) -> String {
    let part = PAGE
        .split("\n### ")
        .find(|part| part.lines().next() == Some(heading))
        .unwrap_or_else(|| panic!("the page has no heading {heading:?}"));
    let (_, yaml) = part.split_once("```yaml\n").unwrap();
    yaml.split_once("```").unwrap().0.to_owned()
}

/// The anchor of a heading, as GitHub makes it.
pub(crate) fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -".contains(*c);
    let kept: String = heading.to_lowercase().chars().filter(kept).collect();
    kept.replace(' ', "-")
}

/// The anchors that links within the page lead to.
pub(crate) fn links() -> Vec<&'static str> {
    let parts = PAGE.split("](#").skip(1);
    parts.map(|part| part.split(')').next().unwrap()).collect()
}
