//! One endpoint: from its entry in the tree to its builder. Every key that an
//! endpoint can have stands here.

use http::{HeaderName, HeaderValue, Uri};

use super::error::ConfigError;
use super::item::{Fields, Item};
use super::section::Phase;
use crate::endpoint::{Endpoint, EndpointBuilder};
use crate::event::Action;
use crate::sink::Filter;

type Result<T> = std::result::Result<T, ConfigError>;

const ACTIONS: [(&str, Action); 4] = [
    ("push", Action::Push),
    ("pull", Action::Pull),
    ("mount", Action::Mount),
    ("delete", Action::Delete),
];

pub(super) fn builder(item: &Item, _phase: Phase) -> Result<EndpointBuilder> {
    let mut fields = item.fields()?;
    let name = fields.get("name", Item::owned)?.unwrap_or_default();
    let url = fields.get("url", url)?.unwrap_or_default();
    let builder = Endpoint::builder(name, url);
    let builder = of_the_reference(builder, &mut fields)?;
    fields.finish()?;
    Ok(builder)
}

/// The keys that the reference knows, with its defaults.
fn of_the_reference(mut it: EndpointBuilder, fields: &mut Fields) -> Result<EndpointBuilder> {
    it = set(
        it,
        fields.get("disabled", Item::flag)?,
        EndpointBuilder::disabled,
    );
    if let Some(item) = fields.take("headers") {
        it = headers(it, item)?;
    }
    // 0 is the default there.
    let timeout = fields.get("timeout", Item::duration)?;
    it = set(
        it,
        timeout.filter(|it| !it.is_zero()),
        EndpointBuilder::timeout,
    );
    let threshold = fields.get("threshold", Item::number::<u32>)?;
    it = set(
        it,
        threshold.filter(|it| *it > 0),
        EndpointBuilder::threshold,
    );
    let backoff = fields.get("backoff", Item::duration)?;
    it = set(
        it,
        backoff.filter(|it| !it.is_zero()),
        EndpointBuilder::backoff,
    );
    Ok(it.filter(filter(fields)?))
}

/// Sets what is there.
fn set<T>(
    builder: EndpointBuilder,
    value: Option<T>,
    with: impl FnOnce(EndpointBuilder, T) -> EndpointBuilder,
) -> EndpointBuilder {
    match value {
        Some(value) => with(builder, value),
        None => builder,
    }
}

fn url(item: &Item) -> Result<String> {
    let valid = |it: Uri| {
        matches!(it.scheme_str(), Some("http" | "https"))
            && it.host().is_some_and(|it| !it.is_empty())
    };
    match item.text()?.parse().map(valid) {
        Ok(true) => item.owned(),
        _ => Err(item.wrong(
            "a URL",
            "write one like https://receiver.example.com/events",
        )),
    }
}

/// Headers by name, each with a list of values or one value.
fn headers(mut builder: EndpointBuilder, item: Item) -> Result<EndpointBuilder> {
    for pair in item.secret().pairs()? {
        let item = pair.item;
        if pair.key.parse::<HeaderName>().is_err() {
            return Err(item.error("is no name of a header: use letters, digits and dashes"));
        }
        for value in item.list_or_one()? {
            let text = value.owned()?;
            if HeaderValue::try_from(&text).is_err() {
                let message =
                    "cannot be sent in a header: remove line breaks and control characters";
                return Err(value.error(message));
            }
            builder = builder.header(&pair.key, text);
        }
    }
    Ok(builder)
}

/// Both spellings of what to ignore.
fn filter(fields: &mut Fields) -> Result<Filter> {
    let mut filter = Filter::new();
    if let Some(media_types) = fields.get("ignoredmediatypes", Item::texts)? {
        filter = filter.ignore_media_types(media_types);
    }
    if let Some(item) = fields.take("ignore") {
        let mut fields = item.fields()?;
        if let Some(media_types) = fields.get("mediatypes", Item::texts)? {
            filter = filter.ignore_media_types(media_types);
        }
        if let Some(actions) = fields.get("actions", actions)? {
            filter = filter.ignore_actions(actions);
        }
        fields.finish()?;
    }
    Ok(filter)
}

fn actions(item: &Item) -> Result<Vec<Action>> {
    item.list()?.iter().map(|it| it.word(&ACTIONS)).collect()
}
