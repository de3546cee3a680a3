//! Argo CD (`util/webhook/harbor.go`) and Argo CD Image Updater (`pkg/webhook`).

use serde::Deserialize;
use serde_json::Value;

use crate::Answer;
use crate::go::json;
use crate::stage::Request;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Harbor {
    r#type: String,
    occur_at: i64,
    operator: String,
    event_data: HarborData,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HarborData {
    resources: Vec<HarborResource>,
    repository: HarborRepository,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HarborResource {
    digest: String,
    tag: String,
    resource_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HarborRepository {
    repo_full_name: String,
}

/// Argo CD: a request with another secret is not for the Harbor handler, and the others
/// know nothing of it.
pub(crate) fn cd(request: &Request, secret: &str) -> Answer {
    if request.header("authorization") != secret {
        return Err("Unknown webhook event".into());
    }
    let payload: Harbor = json(request)?;
    assert!(payload.occur_at > 1_700_000_000 && payload.operator == "alice");
    if payload.r#type != "PUSH_ARTIFACT" {
        return Ok(Vec::new());
    }
    let resources = payload.event_data.resources.iter();
    let first = resources
        .clone()
        .find(|it| !it.tag.is_empty() && !it.resource_url.is_empty());
    let Some(resource) = first else {
        return Ok(Vec::new());
    };
    let (host, _) = resource.resource_url.split_once('/').ok_or("no host")?;
    let repository = &payload.event_data.repository.repo_full_name;
    Ok(vec![format!("{host}/{repository}:{}", resource.tag)])
}

/// Argo CD Image Updater, which chooses a handler by the query.
pub(crate) fn updater(request: &Request, secret: &str) -> Answer {
    match request.query("type") {
        "harbor" => updater_harbor(request, secret),
        "acr" => updater_acr(request, secret),
        "cloudevents" => updater_cloud_events(request, secret),
        "gitlab" => updater_gitlab(request, secret),
        other => Err(format!("missing registry type parameter: {other:?}")),
    }
}

fn updater_harbor(request: &Request, secret: &str) -> Answer {
    if !request.header("content-type").contains("application/json") {
        return Err("invalid content type".into());
    }
    if request.header("authorization") != secret {
        return Err("incorrect webhook secret".into());
    }
    let payload: Harbor = json(request)?;
    if payload.r#type != "PUSH_ARTIFACT" {
        return Err(format!("unsupported event type: {}", payload.r#type));
    }
    let resource = payload
        .event_data
        .resources
        .first()
        .ok_or("no resources found")?;
    if resource.tag.is_empty() {
        return Err("tag not found".into());
    }
    assert!(resource.digest.starts_with("sha256:"));
    let host = resource.resource_url.split('/').next().unwrap();
    let repository = &payload.event_data.repository.repo_full_name;
    Ok(vec![format!("{host}/{repository}:{}", resource.tag)])
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Distribution {
    action: String,
    target: Target,
    request: RequestOf,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    size: i64,
    digest: String,
    length: i64,
    repository: String,
    tag: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestOf {
    host: String,
}

fn updater_acr(request: &Request, secret: &str) -> Answer {
    if request.query("secret") != secret {
        return Err("invalid webhook secret".into());
    }
    let payload: Distribution = json(request)?;
    if payload.action != "push" {
        return Err(format!("ignoring action: {}", payload.action));
    }
    let target = payload.target;
    if target.repository.is_empty() {
        return Err("repository name not found".into());
    }
    assert_eq!((target.size, target.length), (7, 7));
    let host = payload.request.host;
    Ok(vec![format!("{host}/{}:{}", target.repository, target.tag)])
}

fn updater_cloud_events(request: &Request, secret: &str) -> Answer {
    let content_type = request.header("content-type");
    if !["application/json", "application/cloudevents+json"]
        .iter()
        .any(|it| content_type.contains(it))
    {
        return Err(format!("invalid content type: {content_type}"));
    }
    if request.header("x-webhook-secret") != secret {
        return Err("missing webhook secret".into());
    }
    let payload: Value = json(request)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if text(&payload["specversion"]).is_empty() {
        return Err("missing CloudEvents specversion".into());
    }
    let event_type = text(&payload["type"]);
    if !event_type.contains("container") && !event_type.contains("image") {
        return Err(format!("unsupported CloudEvents type: {event_type}"));
    }
    // The fallbacks must say the same as the data.
    let data = &payload["data"];
    let [registry, repository, tag] =
        ["registryUrl", "repository", "tag"].map(|it| text(&data[it]));
    assert_eq!(payload["subject"], format!("{repository}:{tag}"));
    let source = text(&payload["source"]);
    assert_eq!(source.split('/').nth(2), Some(&*registry), "{source}");
    assert!(text(&data["digest"]).starts_with("sha256:"));
    if [&registry, &repository, &tag]
        .iter()
        .any(|it| it.is_empty())
    {
        return Err("not found in CloudEvents payload".into());
    }
    Ok(vec![format!("{registry}/{repository}:{tag}")])
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    events: Vec<Distribution>,
}

fn updater_gitlab(request: &Request, secret: &str) -> Answer {
    let content_type = request.header("content-type");
    if !content_type.starts_with("application/vnd.docker.distribution.events") {
        return Err(format!("invalid content type: {content_type}"));
    }
    if request.header("authorization") != secret {
        return Err("incorrect webhook secret".into());
    }
    let payload: Envelope = json(request)?;
    if payload.events.is_empty() {
        return Err("no events found in webhook payload".into());
    }
    let pushes = payload.events.iter();
    let pushes = pushes.filter(|it| it.action == "push" && !it.target.tag.is_empty());
    let image = |it: &Distribution| {
        assert!(it.target.digest.starts_with("sha256:"));
        format!(
            "{}/{}:{}",
            it.request.host, it.target.repository, it.target.tag
        )
    };
    Ok(pushes.map(image).collect())
}
