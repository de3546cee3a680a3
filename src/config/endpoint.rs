//! One endpoint of the section.
//!
//! Keys that are missing have the defaults of the reference, so that its files mean
//! the same here.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::author::Author;
use super::fields::Fields;
use super::item::Item;
use super::phase::Phase;
use super::{connection, delivery, filter, gitlab};
use crate::endpoint::{Endpoint, StatusMeaning, is_framing, target};
use crate::error::{BuildError, Mistakes};
use crate::event::Format;

type Result<T> = std::result::Result<T, BuildError>;

/// The reference's default where `Endpoint` has another.
const TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn endpoint(item: &Item, author: Author, phase: Phase) -> Result<Endpoint> {
    let mut fields = Fields::of(item);
    let (name, url) = (fields.take("name"), fields.take("url"));
    for (key, value) in [("name", &name), ("url", &url)] {
        if value.is_none() && phase == Phase::Build && item.is_map() {
            let remedy = item.remedy_of_missing(key);
            fields.note::<()>(Err(item.error(format!("has no {key}: {remedy}"))));
        }
    }
    let has_name = name.is_some();
    let name = name.and_then(|it| fields.note(it.owned()));
    let url = url.and_then(|it| fields.note(valid_url(&it)));
    let disabled = fields.get("disabled", Item::flag).unwrap_or_default();
    // The files of a disabled endpoint need not exist.
    let files = if disabled { Phase::Check } else { phase };
    let mut it =
        Endpoint::new(name.unwrap_or_default(), url.unwrap_or_default()).disabled(disabled);
    it = fields.set(it, "headers", headers, |it, headers| {
        let add = |it: Endpoint, (name, value)| it.header(name, value);
        headers.into_iter().fold(it, add)
    });
    // 0 is the default in the reference.
    let timeout = fields.get("timeout", Item::duration);
    it = it.timeout(timeout.filter(|it| !it.is_zero()).unwrap_or(TIMEOUT));
    if author == Author::GitLab {
        it = gitlab::defaults(it);
    }
    if fields.get("acceptredirects", Item::flag).unwrap_or(true) {
        it = it.on_status(300..=399, StatusMeaning::Accept);
    }
    it = delivery::retry(it, &mut fields, author, phase);
    it = it.filter(filter::filter(&mut fields));
    let formats = Format::ALL.iter().map(|format| (format.name(), *format));
    let formats: Vec<_> = formats.collect();
    it = fields.set(it, "format", |it| it.word(&formats), Endpoint::format);
    it = fields.set(it, "eventtype", Item::owned, Endpoint::event_type);
    it = fields.set(it, "sequence", Item::flag, Endpoint::sequence);
    it = fields.set(it, "compact", Item::flag, Endpoint::compact);
    it = delivery::settings(it, &mut fields, files);
    it = connection::settings(it, &mut fields, files);
    // These mistakes only show in the settings together.
    let together = match phase {
        Phase::Build => it.check().err(),
        Phase::Check => None,
    };
    let mut mistakes = Mistakes::default();
    let it = mistakes.take(fields.finish(it));
    for mistake in together.iter().flat_map(BuildError::mistakes) {
        // That there is no name has been reported.
        if has_name || !mistake.field().ends_with(": name") {
            mistakes.add(item.error(mistake.to_string()));
        }
    }
    match it {
        Some(it) => mistakes.or(it),
        None => mistakes.failed(),
    }
}

fn valid_url(item: &Item) -> Result<String> {
    let wrong = |remedy: &str| item.wrong("a URL", remedy);
    target(item.text()?).map_err(wrong)?;
    item.owned()
}

/// Reads headers by name, each with a list of values or one value.
fn headers(item: &Item) -> Result<Vec<(String, String)>> {
    if !item.is_map() {
        return Err(item.no_map(&["authorization"]));
    }
    let mut mistakes = Mistakes::default();
    let mut headers = Vec::new();
    for pair in item.clone().secret().pairs(&mut mistakes) {
        let wrong = match pair.key.parse::<HeaderName>() {
            Err(_) => Some("is not the name of a header: use letters, digits and dashes"),
            Ok(name) if is_framing(&name) => Some("is set by the client itself: remove it"),
            Ok(_) => None,
        };
        if let Some(message) = wrong {
            mistakes.add(pair.item.error(message));
            continue;
        }
        if let Some(mistake) = pair.item.with_dashes(item) {
            mistakes.add(mistake);
            continue;
        }
        let values = mistakes.take(pair.item.list_or_one());
        for value in values.into_iter().flatten() {
            if let Some(value) = mistakes.take(header_value(&value)) {
                headers.push((pair.key.clone(), value));
            }
        }
    }
    mistakes.or(headers)
}

fn header_value(item: &Item) -> Result<String> {
    // As Go reads a list of strings: the header is sent without a value.
    let text = match item.is_null() {
        true => String::new(),
        false => item.owned()?,
    };
    match HeaderValue::try_from(&text) {
        Ok(_) => Ok(text),
        Err(_) => {
            Err(item.error("cannot be sent in a header: remove line breaks and control characters"))
        }
    }
}
