//! Notifications of the distribution project for any registry.

mod bridge;
mod event;
mod layer;
mod listener;
mod notifier;
mod sink;

pub use bridge::{Bridge, UrlBuilder};
pub use event::*;
pub use layer::{
    BaseUrl, Notification, NotificationLayer, PeerAddr, RequestBody, ResponseBody, ResponseFacts,
    ResponseFuture, TrustedProxies,
};
pub use listener::{BlobListener, Listener, ManifestListener, RepositoryListener};
pub use notifier::{BuildError, Notifier, NotifierBuilder};
pub use sink::{Broadcaster, ChannelSink, Events, Filter, Sink, SinkError, Write};
