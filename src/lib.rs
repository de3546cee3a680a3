//! Notifications of the distribution project for any registry.

mod bridge;
mod event;
mod listener;
mod notifier;
mod sink;

pub use bridge::{Bridge, UrlBuilder};
pub use event::*;
pub use listener::{BlobListener, Listener, ManifestListener, RepositoryListener};
pub use notifier::{BuildError, Notifier, NotifierBuilder};
pub use sink::{Broadcaster, ChannelSink, Events, Filter, Sink, SinkError, Write};
