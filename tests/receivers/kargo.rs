//! Kargo (`pkg/webhook/external`), which refreshes the warehouses of a repository.

use serde::Deserialize;

use crate::Answer;
use crate::go::{json, reference};
use crate::stage::Request;

/// The repository of an image, as `urls.NormalizeImage` writes it.
pub(crate) fn repository(image: &str) -> String {
    let (host, repository, _) = reference(image).unwrap();
    format!("{host}/{repository}")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Azure {
    action: String,
    target: Target,
    request: RequestOf,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Target {
    media_type: String,
    repository: String,
    tag: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestOf {
    host: String,
}

pub(crate) fn azure(request: &Request) -> Answer {
    if !request
        .header("user-agent")
        .starts_with("AzureContainerRegistry")
    {
        return Err("request does not appear to have originated from a supported service".into());
    }
    let event: Azure = json(request)?;
    if event.action != "push" {
        return Err(format!("event type {} is not supported", event.action));
    }
    assert!(!event.target.tag.is_empty());
    assert_eq!(
        event.target.media_type,
        "application/vnd.oci.image.manifest.v1+json"
    );
    let url = format!("{}/{}", event.request.host, event.target.repository);
    Ok(vec![repository(&url)])
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
    tag: String,
    resource_url: String,
}

pub(crate) fn harbor(request: &Request, secret: &str) -> Answer {
    if request.header("authorization") != secret {
        return Err("unauthorized".into());
    }
    let payload: Harbor = json(request)?;
    if payload.r#type != "PUSH_ARTIFACT" {
        return Err("unsupported event type".into());
    }
    let resources = payload.event_data.resources.iter();
    let urls = resources.map(|it| {
        assert!(it.resource_url.ends_with(&format!(":{}", it.tag)));
        repository(&it.resource_url)
    });
    Ok(urls.collect())
}
