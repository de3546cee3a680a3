//! One endpoint: from its entry in the tree to its builder. Its keys stand here
//! in the order in which the reference and then this crate got them.

use http::{HeaderName, HeaderValue};

use super::error::ConfigError;
use super::item::Item;
use super::section::Phase;
use super::{delivery, filter, transport};
use crate::endpoint::{Endpoint, EndpointBuilder, target};
use crate::event::Format;

type Result<T> = std::result::Result<T, ConfigError>;

/// The reference's default where the builder has another.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

const FORMATS: [(&str, Format); 3] = [
    ("v2", Format::V2),
    ("v1", Format::V1),
    ("cloudevents", Format::CloudEvents),
];

pub(super) fn builder(item: &Item, phase: Phase) -> Result<EndpointBuilder> {
    let mut fields = item.fields()?;
    let name = fields.get("name", Item::owned)?.unwrap_or_default();
    let url = fields.get("url", url)?.unwrap_or_default();
    let disabled = fields.get("disabled", Item::flag)?.unwrap_or_default();
    // What is disabled need not have its files.
    let phase = if disabled { Phase::Check } else { phase };
    let mut it = Endpoint::builder(name, url).disabled(disabled);
    if let Some(item) = fields.take("headers") {
        it = headers(it, item)?;
    }
    // 0 is the default in the reference.
    let timeout = fields.get("timeout", Item::duration)?;
    it = it.timeout(timeout.filter(|it| !it.is_zero()).unwrap_or(TIMEOUT));
    it = it.retry(delivery::retry(&mut fields)?);
    it = it.accept_redirects(fields.get("acceptredirects", Item::flag)?.unwrap_or(true));
    it = it.filter(filter::filter(&mut fields)?);
    it = set(
        it,
        fields.get("format", |it| it.word(&FORMATS))?,
        EndpointBuilder::format,
    );
    it = set(
        it,
        fields.get("compact", Item::flag)?,
        EndpointBuilder::compact,
    );
    it = delivery::settings(it, &mut fields, phase)?;
    it = transport::settings(it, &mut fields, phase)?;
    fields.finish()?;
    Ok(it)
}

/// Sets what is there.
pub(super) fn set<T>(
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
    match target(item.text()?) {
        Some(_) => item.owned(),
        None => Err(item.wrong(
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
