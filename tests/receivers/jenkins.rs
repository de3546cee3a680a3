//! Jenkins: the plugins `dockerhub-notification` and `harbor`.

use serde::Deserialize;
use serde_json::Value;

use crate::Answer;
use crate::go::json;
use crate::stage::Request;

fn text(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or("JSONObject has no such text")?;
    Ok(text.to_owned())
}

/// A date as Joda's `dateTimeParser` reads it.
fn check_date(event: &Value) -> Result<(), String> {
    let timestamp = text(&event["timestamp"])?;
    let parsed = chrono::DateTime::parse_from_rfc3339(&timestamp);
    parsed.map(drop).map_err(|error| error.to_string())
}

/// `acr-webhook/<token>/notify`.
pub(crate) fn acr(request: &Request) -> Answer {
    let event: Value = json(request)?;
    if event["action"] != "push" {
        return Ok(Vec::new());
    }
    check_date(&event)?;
    let host = text(&event["request"]["host"])?;
    let repository = text(&event["target"]["repository"])?;
    Ok(vec![format!("{host}/{repository}")])
}

/// `dockerregistry-webhook/<token>/notify`.
pub(crate) fn docker_registry(request: &Request) -> Answer {
    let body: Value = json(request)?;
    let events = body["events"]
        .as_array()
        .ok_or("JSONObject has no such array")?;
    let mut repositories = Vec::new();
    for event in events.iter().filter(|it| it["action"] == "push") {
        let target = &event["target"];
        let url = target["url"].as_str().unwrap_or_default();
        let segments: Vec<_> = url.split('/').collect();
        let host = segments.get(2).ok_or("ArrayIndexOutOfBoundsException")?;
        if segments[segments.len() - 2] == "manifests" {
            check_date(event)?;
            repositories.push(format!("{host}/{}", text(&target["repository"])?));
        }
    }
    // A push by digest names the same repository again.
    repositories.dedup();
    Ok(repositories)
}

// Jackson refuses fields that are not there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    r#type: Type,
    occur_at: i64,
    operator: String,
    event_data: EventData,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Type {
    CreateProject,
    DeleteProject,
    PushArtifact,
    PullArtifact,
    DeleteArtifact,
    DeleteRepository,
    CreateTag,
    DeleteTag,
    ScanningFailed,
    ScanningStopped,
    ScanningCompleted,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventData {
    resources: Vec<Resource>,
    repository: Repository,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[serde(default)]
    digest: String,
    tag: String,
    resource_url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repository {
    #[serde(default)]
    #[expect(dead_code, reason = "a field that the plugin knows and does not read")]
    date_created: i64,
    name: String,
    namespace: String,
    repo_full_name: String,
    repo_type: String,
}

/// `harbor-webhook/`, which reads the first resource of any event.
pub(crate) fn harbor(request: &Request) -> Answer {
    assert!(request.path.ends_with("/harbor-webhook/") || request.path == "/");
    let payload: Payload = json(request)?;
    let Resource {
        digest,
        tag,
        resource_url,
    } = payload
        .event_data
        .resources
        .first()
        .ok_or("ArrayIndexOutOfBoundsException")?;
    let Repository {
        name,
        namespace,
        repo_full_name,
        repo_type,
        ..
    } = &payload.event_data.repository;
    assert!(payload.occur_at > 0 && !payload.operator.is_empty());
    assert!(!digest.is_empty() && !tag.is_empty());
    assert_eq!(repo_type, "private");
    let full_name = [namespace.as_str(), name]
        .into_iter()
        .filter(|it| !it.is_empty());
    assert_eq!(full_name.collect::<Vec<_>>().join("/"), *repo_full_name);
    match payload.r#type == Type::PushArtifact {
        true => Ok(vec![resource_url.clone()]),
        false => Ok(Vec::new()),
    }
}
