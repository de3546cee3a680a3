//! Endpoints and builders that a configuration is compared with.

use std::time::Duration;

use tower_registry_notifications::endpoint::{Breaker, StatusMeaning};
use tower_registry_notifications::{Endpoint, NotifierBuilder};

/// What the builder has been told, apart from what is new in each.
pub(crate) fn told(builder: &NotifierBuilder) -> String {
    let text = format!("{builder:#?}");
    let lines = text.lines().filter(|it| !it.contains("instance_id"));
    lines.collect::<Vec<_>>().join("\n")
}

/// An endpoint as the reference delivers to it.
pub(crate) fn of_reference(name: &str, url: &str) -> Endpoint {
    Endpoint::new(name, url)
        .timeout(Duration::from_secs(1))
        .retry(Breaker::new())
        .on_status(300..=399, StatusMeaning::Accept)
}
