//! Which events a sink or an endpoint gets: [`Filter`].

use fast_glob::glob_match;
use serde_json::{Map, Value};

use super::{Acceptance, Sink};
use crate::error::{BuildError, Mistakes};
use crate::event::{Action, Kind, SharedEvent};

/// Decides which events a sink or an endpoint gets.
///
/// Without rules every event passes. Otherwise an event passes if
///
/// - no rule that excludes or ignores matches it, and
/// - for each property (repository, tag, action, media type, kind) with rules
///   that include, at least one of them matches.
///
/// ```
/// use tower_registry_notifications::event::{Action, Kind};
/// use tower_registry_notifications::sink::Filter;
///
/// let releases = Filter::new()
///     .include_actions([Action::Push])
///     .include_kinds([Kind::Manifest])
///     .include_repositories(["team/**", "library/{debian,ubuntu}"])
///     .include_tags(["v[0-9]*"])
///     .exclude_tags(["*-rc*"]);
/// ```
///
/// # Globs
///
/// Repositories and tags are matched by globs, which must match the whole name.
/// Case matters.
///
/// | glob | matches |
/// | --- | --- |
/// | `?` | one character except `/` |
/// | `*` | any number of characters except `/` |
/// | `**` | any number of segments: at least one at the end (`team/**`), zero or more elsewhere (`**/cache`); must be a whole segment itself |
/// | `[a-z]`, `[!a-z]` | one character of the set, or one that is not in it |
/// | `{a,b}` | either of them |
/// | `\` | the next character as it is |
///
/// An invalid glob (an unclosed `[` or `{`, a `\` at the end, a `!` at the start)
/// is an error when the [`Notifier`](crate::Notifier) is built or the filter is
/// put [before](Self::before) a sink.
///
/// # Events without a tag
///
/// No glob matches an empty name, not even `*` and `**`: an event without a tag
/// fails every `include_tags` and passes every `exclude_tags`. Events of blobs
/// have no tag, and neither have events of manifests that were pushed, pulled
/// or deleted by digest. The repository that a blob was mounted from is not
/// matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    repositories: Rules<String>,
    tags: Rules<String>,
    media_types: Rules<String>,
    actions: Rules<Action>,
    kinds: Rules<Kind>,
}

impl Filter {
    /// Creates a filter that wants every event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps events of repositories that one of these globs matches.
    #[must_use]
    pub fn include_repositories<T: Into<String>>(
        mut self,
        globs: impl IntoIterator<Item = T>,
    ) -> Self {
        extend(&mut self.repositories.include, globs);
        self
    }

    /// Drops events of repositories that one of these globs matches.
    #[must_use]
    pub fn exclude_repositories<T: Into<String>>(
        mut self,
        globs: impl IntoIterator<Item = T>,
    ) -> Self {
        extend(&mut self.repositories.exclude, globs);
        self
    }

    /// Keeps events with a tag that one of these globs matches.
    #[must_use]
    pub fn include_tags<T: Into<String>>(mut self, globs: impl IntoIterator<Item = T>) -> Self {
        extend(&mut self.tags.include, globs);
        self
    }

    /// Drops events with a tag that one of these globs matches.
    #[must_use]
    pub fn exclude_tags<T: Into<String>>(mut self, globs: impl IntoIterator<Item = T>) -> Self {
        extend(&mut self.tags.exclude, globs);
        self
    }

    /// Keeps events whose target has one of these media types.
    #[must_use]
    pub fn include_media_types<T: Into<String>>(
        mut self,
        media_types: impl IntoIterator<Item = T>,
    ) -> Self {
        extend(&mut self.media_types.include, media_types);
        self
    }

    /// Drops events whose target has one of these media types.
    #[must_use]
    pub fn ignore_media_types<T: Into<String>>(
        mut self,
        media_types: impl IntoIterator<Item = T>,
    ) -> Self {
        extend(&mut self.media_types.exclude, media_types);
        self
    }

    /// Keeps events of these actions.
    #[must_use]
    pub fn include_actions(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        extend(&mut self.actions.include, actions);
        self
    }

    /// Drops events of these actions.
    #[must_use]
    pub fn ignore_actions(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        extend(&mut self.actions.exclude, actions);
        self
    }

    /// Keeps events of these kinds of targets.
    #[must_use]
    pub fn include_kinds(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        extend(&mut self.kinds.include, kinds);
        self
    }

    /// Drops events of these kinds of targets.
    #[must_use]
    pub fn exclude_kinds(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        extend(&mut self.kinds.exclude, kinds);
        self
    }

    /// Whether the event passes. Allocates nothing.
    pub fn wants(&self, event: &SharedEvent) -> bool {
        self.actions.pass(|action| *action == event.action())
            && self.kinds.pass(|kind| *kind == event.kind())
            && self.media_types.pass(|it| it == event.media_type())
            && self
                .repositories
                .pass(|glob| matches(glob, event.repository()))
            && self.tags.pass(|glob| matches(glob, event.tag()))
    }

    /// Whether events of this action can pass.
    pub(crate) fn wants_action(&self, action: Action) -> bool {
        self.actions.pass(|it| *it == action)
    }

    /// Whether this action is included by name.
    pub(crate) fn names_action(&self, action: Action) -> bool {
        self.actions.include.contains(&action)
    }

    /// Returns a sink that passes on the events that the filter wants to `sink`.
    /// Other events count as accepted.
    ///
    /// # Errors
    ///
    /// If a glob is not valid.
    pub fn before<S: Sink>(self, sink: S) -> Result<impl Sink, BuildError> {
        self.check("filter")?;
        Ok(Filtered { filter: self, sink })
    }

    /// Returns the rules as the status shows them. A property without rules is
    /// left out.
    pub(crate) fn shown(&self) -> Value {
        let rules = [
            ("repositories", self.repositories.shown(String::as_str)),
            ("tags", self.tags.shown(String::as_str)),
            ("media_types", self.media_types.shown(String::as_str)),
            ("actions", self.actions.shown(|it| it.as_str())),
            ("kinds", self.kinds.shown(|it| it.as_str())),
        ];
        let rules = rules.into_iter().filter(|(_, rules)| !rules.is_empty());
        let rules = rules.map(|(property, rules)| (property.to_owned(), rules.into()));
        Value::Object(rules.collect())
    }

    /// Checks all globs. `of` names the owner of the filter in the error.
    pub(crate) fn check(&self, of: &str) -> Result<(), BuildError> {
        let mut mistakes = Mistakes::default();
        for (rule, globs) in [
            ("include_repositories", &self.repositories.include),
            ("exclude_repositories", &self.repositories.exclude),
            ("include_tags", &self.tags.include),
            ("exclude_tags", &self.tags.exclude),
        ] {
            for glob in globs {
                let error = |remedy: &str| BuildError::new(&format!("{of}: {rule}"), glob, remedy);
                mistakes.take(check(glob).map_err(|remedy| error(&remedy)));
            }
        }
        mistakes.or(())
    }
}

/// Checks one glob. The error says what to write instead.
fn check(glob: &str) -> Result<(), String> {
    if glob.is_empty() {
        return Err("write a glob like team/** or v1.*".into());
    }
    if glob.starts_with('!') {
        return Err("a glob cannot be negated; use an exclude rule".into());
    }
    fast_glob::validate(glob).map_err(|error| error.to_string())
}

fn matches(glob: &str, name: &str) -> bool {
    // An event without a tag matches no glob of tags, not even `**`.
    !name.is_empty() && glob_match(glob, name)
}

fn extend<T, U: Into<T>>(rules: &mut Vec<T>, more: impl IntoIterator<Item = U>) {
    rules.extend(more.into_iter().map(Into::into));
}

/// The rules for one property.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rules<T> {
    include: Vec<T>,
    exclude: Vec<T>,
}

impl<T> Rules<T> {
    fn shown<'a>(&'a self, word: impl Fn(&'a T) -> &'a str) -> Map<String, Value> {
        let sides = [("include", &self.include), ("exclude", &self.exclude)];
        let sides = sides.into_iter().filter(|(_, rules)| !rules.is_empty());
        let shown = sides.map(|(side, rules)| {
            let rules: Value = rules.iter().map(&word).collect();
            (side.to_owned(), rules)
        });
        shown.collect()
    }

    fn pass(&self, matches: impl Fn(&T) -> bool) -> bool {
        // Without rules everything is included, and a rule that excludes takes precedence.
        let included = self.include.is_empty() || self.include.iter().any(&matches);
        included && !self.exclude.iter().any(matches)
    }
}

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

struct Filtered<S> {
    filter: Filter,
    sink: S,
}

impl<S: Sink> Sink for Filtered<S> {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        if self.filter.wants(event) {
            self.sink.write(event)
        } else {
            Acceptance::accepted()
        }
    }

    fn is_ready(&self) -> bool {
        self.sink.is_ready()
    }

    fn close(&self) {
        self.sink.close();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Event, media_types};
    use crate::sink::ChannelSink;

    const BLOB: &str = "application/octet-stream";

    fn event(action: Action, repository: &str, tag: &str) -> SharedEvent {
        let mut event = Event::new(action);
        event.target.repository = repository.into();
        event.target.tag = tag.into();
        event.target.descriptor.media_type = match tag {
            "" => BLOB.into(),
            _ => media_types::OCI_MANIFEST.into(),
        };
        event.into()
    }

    #[tokio::test]
    async fn ignored_events_count_as_accepted() {
        let (sink, mut events) = ChannelSink::new(8);
        let sink = Filter::new()
            .ignore_actions([Action::Pull])
            .ignore_media_types([BLOB])
            .before(sink)
            .unwrap();
        let wanted = SharedEvent::from(Event::new(Action::Push));
        for event in [
            event(Action::Push, "a", ""),
            Event::new(Action::Pull).into(),
            wanted.clone(),
        ] {
            sink.write(&event).await.unwrap();
        }
        assert_eq!(events.try_recv().unwrap().id(), wanted.id());
        assert!(events.try_recv().is_none());
    }

    #[test]
    fn each_property_with_includes_needs_a_match_and_excludes_win() {
        let filter = Filter::new()
            .include_repositories(["team/**", "library/debian"])
            .exclude_repositories(["**/cache"])
            .include_actions([Action::Push, Action::Delete]);
        let wants = |action, repository| filter.wants(&event(action, repository, "t"));
        assert!(wants(Action::Push, "team/a/b"));
        assert!(wants(Action::Delete, "library/debian"));
        assert!(!wants(Action::Pull, "team/a"), "an action not included");
        assert!(
            !wants(Action::Push, "library/ubuntu"),
            "a repository not included"
        );
        assert!(
            !wants(Action::Push, "team/a/cache"),
            "excluded, though included"
        );
        let both = Filter::new()
            .include_actions([Action::Push])
            .ignore_actions([Action::Push]);
        assert!(!both.wants(&event(Action::Push, "a", "")));
    }

    #[test]
    fn a_star_stays_within_a_segment_and_two_do_not() {
        for (glob, matched, not) in [
            ("*", &["a"][..], &["a/b", ""][..]),
            ("**", &["a", "a/b"], &[""]),
            ("a/*", &["a/b"], &["a/b/c", "a", "b/a/b"]),
            ("a/**", &["a/b", "a/b/c"], &["a", "ab", "b/a"]),
            ("**/a", &["a", "b/a", "c/b/a"], &["ba", "a/b"]),
            (
                "a/{b,c-*}/?[0-9]",
                &["a/b/x1", "a/c-d/y2"],
                &["a/d/x1", "a/b/x", "a/b/x1y"],
            ),
            ("A", &["A"], &["a"]),
            (r"a\*", &["a*"], &["ab"]),
        ] {
            let filter = Filter::new().include_repositories([glob]);
            filter.check("f").unwrap();
            for (names, wanted) in [(matched, true), (not, false)] {
                for name in names {
                    let wants = filter.wants(&event(Action::Push, name, ""));
                    assert_eq!(wants, wanted, "{glob:?} and {name:?}");
                }
            }
        }
    }

    #[test]
    fn an_event_without_a_tag_fails_includes_and_passes_excludes() {
        let (tagged, bare) = (event(Action::Push, "a", "v1"), event(Action::Push, "a", ""));
        let include = Filter::new().include_tags(["*"]);
        let exclude = Filter::new().exclude_tags(["*"]);
        assert_eq!(
            (include.wants(&tagged), include.wants(&bare)),
            (true, false)
        );
        assert_eq!(
            (exclude.wants(&tagged), exclude.wants(&bare)),
            (false, true)
        );
    }

    #[test]
    fn media_types_and_kinds_must_match_exactly() {
        let manifests = Filter::new().include_media_types([media_types::OCI_MANIFEST]);
        let no_blobs = Filter::new().exclude_kinds([Kind::Blob]);
        let blobs = Filter::new().include_kinds([Kind::Blob, Kind::Repository]);
        let (image, blob) = (event(Action::Pull, "a", "t"), event(Action::Pull, "a", ""));
        for (filter, wants_image) in [(manifests, true), (no_blobs, true), (blobs, false)] {
            assert_eq!(filter.wants(&image), wants_image, "{filter:?}");
            assert_eq!(filter.wants(&blob), !wants_image, "{filter:?}");
        }
    }

    #[test]
    fn a_glob_that_is_not_valid_is_named_with_its_rule() {
        for glob in ["", "!a", "a[", "{a", "a\\"] {
            for (rule, filter) in [
                (
                    "include_repositories",
                    Filter::new().include_repositories([glob]),
                ),
                (
                    "exclude_repositories",
                    Filter::new().exclude_repositories([glob]),
                ),
                ("include_tags", Filter::new().include_tags(["v*", glob])),
                ("exclude_tags", Filter::new().exclude_tags([glob])),
            ] {
                let error = filter.check("endpoint \"ci\"").unwrap_err().to_string();
                let start = format!("endpoint \"ci\": {rule}: {glob:?} is not valid: ");
                assert!(error.starts_with(&start), "{error}");
                assert!(filter.before(ChannelSink::new(1).0).is_err());
            }
        }
    }

    #[test]
    fn a_decision_does_not_allocate() {
        let filter = Filter::new()
            .include_repositories(["x", "team/{a,b}/**"])
            .exclude_tags(["*-rc?", "[a-m]*"])
            .ignore_media_types([BLOB])
            .include_kinds([Kind::Manifest]);
        let event = event(Action::Push, "team/a/b/c", "v1-rc");
        let allocations = allocation_counter::measure(|| assert!(filter.wants(&event)));
        assert_eq!(allocations.count_total, 0);
    }

    #[test]
    fn hostile_names_are_decided_in_bounded_time() {
        for (glob, name) in [
            ("*a*a*a*a*a*a*a*a*a*b", "a".repeat(255)),
            ("**/*a/**/*a/**/*a/**/*a/b", "a/".repeat(4000)),
            ("{*a,*b}{*a,*b}{*a,*b}{*a,*b}{*a,*b}c", "ab".repeat(120)),
            (
                "{a,a*}{a,a*}{a,a*}{a,a*}{a,a*}{a,a*}{a,a*}{a,a*}{a,a*}{a,a*}c",
                "a".repeat(255),
            ),
        ] {
            let filter = Filter::new().include_repositories([glob]);
            filter.check("f").unwrap();
            assert!(!filter.wants(&event(Action::Push, &name, "")), "{glob}");
        }
    }

    /// A part of a glob, and the same as a regular expression.
    fn part() -> impl Strategy<Value = (&'static str, &'static str)> {
        prop::sample::select(vec![
            ("a", "a"),
            ("b", "b"),
            (".", r"\."),
            ("*", "[^/]*"),
            ("?", "[^/]"),
            ("[ab]", "[ab]"),
            ("[!a]", "[^a/]"),
            ("{a,b*}", "(a|b[^/]*)"),
        ])
    }

    fn segment() -> impl Strategy<Value = (String, String)> {
        let parts = prop::collection::vec(part(), 1..5);
        let segment = parts.prop_map(|parts| parts.into_iter().unzip());
        let segment =
            segment.prop_filter("two stars", |it: &(String, String)| !it.0.contains("**"));
        let within = segment.prop_map(|(glob, regex)| (glob, regex + "/"));
        prop_oneof![4 => within, 1 => Just(("**".into(), "([^/]+/)*".into()))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn globs_mean_what_is_documented(
            segments in prop::collection::vec(segment(), 1..4),
            name in "[ab.]{1,4}(/[ab.]{1,4}){0,3}",
        ) {
            let mut segments = segments;
            segments.dedup_by(|a, b| a.0 == "**" && b.0 == "**");
            let (globs, mut regexes): (Vec<_>, Vec<_>) = segments.into_iter().unzip();
            if globs.ends_with(&["**".into()]) {
                regexes.push("[^/]+/".into());
            }
            let glob = globs.join("/");
            prop_assert_eq!(check(&glob), Ok(()));
            let regex = regex::Regex::new(&format!("^{}$", regexes.concat())).unwrap();
            prop_assert_eq!(matches(&glob, &name), regex.is_match(&format!("{name}/")), "{}", glob);
        }

        #[test]
        fn no_glob_and_no_name_panic(glob in any::<String>(), stars in "[]ab/*?{},!\\\\\\[-]{0,12}", name in any::<String>()) {
            for glob in [&glob, &stars] {
                let _valid = check(glob);
                matches(glob, &name);
                matches(glob, "a/b/a,b]");
            }
        }
    }
}
