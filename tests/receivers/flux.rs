//! Flux's notification-controller (`internal/server/receiver_handlers.go`). It does not
//! look at the image: any request that is valid makes it look at all of its resources.

use serde_json::Value;

use crate::Answer;
use crate::go::{json, validate_signature};
use crate::stage::Request;

/// A receiver of the type in the path of the page's example.
pub(crate) fn receiver(request: &Request, token: &str) -> Answer {
    match request.path.as_str() {
        "/hook/generic-hmac" => {
            validate_signature(request.header("x-signature"), request, token)?;
        }
        "/hook/harbor" => {
            if request.header("authorization") != token {
                return Err("the Harbor Authorization header does not match".into());
            }
        }
        "/hook/acr" => {
            let event: Value = json(request)?;
            if !event["target"]["repository"].is_string() || !event["target"]["tag"].is_string() {
                return Err("cannot decode ACR webhook payload".into());
            }
        }
        other => return Err(format!("no receiver at {other}")),
    }
    Ok(vec!["everything".into()])
}

/// A receiver with a `resourceFilter`, which sees the body only if it is JSON by its
/// content type.
pub(crate) fn filtered(request: &Request) -> Answer {
    let content_type = request.header("content-type");
    let media_type = content_type.split(';').next().unwrap();
    if media_type != "application/json" {
        return Err(format!("the filter sees an empty body of {content_type}"));
    }
    let body: Value = json(request)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = body["events"]
        .as_array()
        .ok_or("no such key: events")?
        .iter();
    let image = |event: &Value| {
        let target = &event["target"];
        let [host, repository, tag] = [
            &event["request"]["host"],
            &target["repository"],
            &target["tag"],
        ]
        .map(text);
        format!("{host}/{repository}:{tag}")
    };
    Ok(events.map(image).collect())
}
