//! Tekton, Knative, GitLab and Portus.

use serde_json::Value;

use crate::Answer;
use crate::go::{json, validate_signature};
use crate::stage::Request;

/// Tekton's GitHub interceptor (`pkg/interceptors/github`), and a trigger that binds the
/// image of the first event.
pub(crate) fn tekton(request: &Request, secret: &str) -> Answer {
    if request.header("content-type") == "application/x-www-form-urlencoded" {
        return Err("form parameter encoding not supported".into());
    }
    let signature = request.header("x-hub-signature-256");
    if signature.is_empty() {
        return Err("Must set X-Hub-Signature-256 or X-Hub-Signature header".into());
    }
    validate_signature(signature, request, secret)?;
    let body: Value = json(request)?;
    let event = &body["events"][0];
    let part = |value: &Value| value.as_str().map(str::to_owned).ok_or("not bound");
    let [host, repository, tag] = [
        part(&event["request"]["host"])?,
        part(&event["target"]["repository"])?,
        part(&event["target"]["tag"])?,
    ];
    Ok(vec![format!("{host}/{repository}:{tag}")])
}

/// The ingress of a Knative broker: an event in structured mode. The SDK takes a batch
/// for a message of unknown encoding.
pub(crate) fn knative(request: &Request) -> Answer {
    let content_type = request.header("content-type");
    if !content_type.starts_with("application/cloudevents+json") {
        return Err("unknown Message encoding".into());
    }
    let event: Value = json(request)?;
    let attributes = ["specversion", "id", "type", "source"];
    match attributes
        .iter()
        .find(|it| event[**it].as_str().is_none_or(str::is_empty))
    {
        Some(missing) => Err(format!("{missing}: REQUIRED")),
        None => Ok(Vec::new()),
    }
}

/// GitLab's `api/v4/container_registry_event/events`: one action that it does not know,
/// and it takes none of the events.
pub(crate) fn gitlab(request: &Request, secret: &str) -> Answer {
    if request.header("authorization") != secret {
        return Err("401 Unauthorized".into());
    }
    // Grape parses no body of another type.
    if request.header("content-type") != "application/vnd.docker.distribution.events.v1+json" {
        return Err("406 The requested content-type is not supported".into());
    }
    let body: Value = json(request)?;
    let events = body["events"].as_array().ok_or("events is missing")?;
    let action = |event: &Value| match event["action"].as_str() {
        Some(action @ ("push" | "delete")) => Ok(action.to_owned()),
        _ => Err("events[0][action] does not have a valid value".to_owned()),
    };
    events.iter().map(action).collect()
}

/// Portus, of which `registry` is the registry and `user` a user: the images that were
/// pushed, and what was deleted by digest.
pub(crate) fn portus(request: &Request, registry: &str, user: &str) -> Answer {
    let body: Value = json(request)?;
    let events = body["events"].as_array().ok_or("no events")?;
    let mut images = Vec::new();
    for event in events {
        let (target, action) = (&event["target"], event["action"].as_str());
        let media_type = target["mediaType"].as_str();
        match action {
            Some("delete") => {}
            // It fails on `nil`.
            _ if media_type.is_none() => return Err("undefined method `starts_with?'".into()),
            Some("push") if media_type.is_some_and(|it| it.starts_with(DOCKER)) => {}
            _ => continue,
        }
        let is_known = event["request"]["host"] == registry && event["actor"]["name"] == user;
        let repository = target["repository"].as_str().ok_or("no repository")?;
        match (action, target["tag"].as_str(), target["digest"].as_str()) {
            _ if !is_known => {}
            (Some("push"), Some(tag), _) => images.push(format!("{registry}/{repository}:{tag}")),
            (Some("delete"), _, Some(digest)) => images.push(format!("{repository}@{digest}")),
            _ => {}
        }
    }
    Ok(images)
}

const DOCKER: &str = "application/vnd.docker.distribution.manifest";
