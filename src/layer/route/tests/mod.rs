use super::*;

mod ambiguous;
mod forms;
mod locations;
mod names;
mod queries;
mod routes;
mod spellings;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn route(method: &str, uri: &str) -> Option<Route> {
    find("/v2/", &method.parse().unwrap(), &uri.parse().ok()?)
}

fn tag(tag: &str) -> Reference {
    Reference::Tag(tag.into())
}

fn digest(digest: &str) -> Reference {
    Reference::Digest(digest.into())
}

fn push(reference: Reference) -> Operation {
    let tags = Vec::new();
    Operation::PushManifest { reference, tags }
}

/// A value of `?` stands for one that is unclear.
fn parameters(digest: &str, mount: &str, from: &str) -> UploadParameters {
    let given = |text: &str| match text {
        "" => Parameter::Absent,
        "?" => Parameter::Unclear,
        text => Parameter::Is(text.into()),
    };
    UploadParameters {
        digest: given(digest),
        mount: given(mount),
        from: given(from),
    }
}

/// The operation of a request that every registry reads alike.
fn operation(method: &str, uri: &str, repository: &str) -> Option<Operation> {
    let route = route(method, uri)?;
    assert_eq!(
        route.repository.as_deref(),
        Some(repository),
        "{method} {uri}"
    );
    assert!(!route.ambiguous, "{method} {uri}");
    Some(route.operation)
}
