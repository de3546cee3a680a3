//! Keel (`pkg/http`).

use serde::Deserialize;

use crate::Answer;
use crate::go::{json, reference};
use crate::stage::Request;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    action: String,
    target: Target,
    request: RequestOf,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    repository: String,
    tag: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestOf {
    host: String,
}

impl Event {
    fn image(&self) -> Result<String, String> {
        let name = format!("{}/{}", self.request.host, self.target.repository);
        reference(&name)?;
        Ok(format!("{name}:{}", self.target.tag))
    }
}

/// `/v1/webhooks/azure`, which takes any action for a push.
pub(crate) fn azure(request: &Request) -> Answer {
    let event: Event = json(request)?;
    if event.target.tag.is_empty() {
        return Err("tag cannot be empty".into());
    }
    Ok(vec![event.image()?])
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Harbor {
    r#type: String,
    event_data: HarborData,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HarborData {
    resources: Vec<HarborResource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HarborResource {
    resource_url: String,
}

/// `/v1/webhooks/harbor`.
pub(crate) fn harbor(request: &Request) -> Answer {
    let payload: Harbor = json(request)?;
    if !["pushImage", "PUSH_ARTIFACT"].contains(&&*payload.r#type) {
        return Ok(Vec::new());
    }
    let resources = payload.event_data.resources.iter();
    let image = |it: &HarborResource| {
        let (host, repository, tag) = reference(&it.resource_url)?;
        Ok(format!("{host}/{repository}:{tag}"))
    };
    resources.map(image).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    events: Vec<Event>,
}

/// `/v1/webhooks/registry`.
pub(crate) fn registry(request: &Request) -> Answer {
    let envelope: Envelope = json(request)?;
    let pushes = envelope.events.iter();
    let pushes = pushes.filter(|it| it.action == "push" && !it.target.tag.is_empty());
    pushes.map(Event::image).collect()
}
