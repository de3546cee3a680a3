use crate::event::{Action, Event, SharedEvent};

use super::{Sink, Write};

/// Which events a sink or an endpoint wants.
///
/// Without any rule it wants them all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    ignored_media_types: Vec<String>,
    ignored_actions: Vec<Action>,
}

impl Filter {
    /// A filter that lets everything through.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops events whose target has one of these media types.
    #[must_use]
    pub fn ignore_media_types<T: Into<String>>(
        mut self,
        media_types: impl IntoIterator<Item = T>,
    ) -> Self {
        self.ignored_media_types
            .extend(media_types.into_iter().map(Into::into));
        self
    }

    /// Drops events of these actions.
    #[must_use]
    pub fn ignore_actions(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.ignored_actions.extend(actions);
        self
    }

    /// Does the event pass?
    pub fn wants(&self, event: &Event) -> bool {
        let media_type = &*event.target.descriptor.media_type;
        !self.ignored_actions.contains(&event.action)
            && !self.ignored_media_types.iter().any(|it| it == media_type)
    }

    /// A sink that passes on to `sink` what the filter wants. What it does not
    /// want counts as accepted.
    pub fn before<S: Sink>(self, sink: S) -> impl Sink {
        Filtered { filter: self, sink }
    }
}

struct Filtered<S> {
    filter: Filter,
    sink: S,
}

impl<S: Sink> Sink for Filtered<S> {
    fn write(&self, event: &SharedEvent) -> Write {
        if self.filter.wants(event) {
            self.sink.write(event)
        } else {
            Write::accepted()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::ChannelSink;

    #[tokio::test]
    async fn what_is_ignored_counts_as_accepted() {
        let (sink, mut events) = ChannelSink::new(8);
        let sink = Filter::new()
            .ignore_actions([Action::Pull])
            .ignore_media_types(["application/octet-stream"])
            .before(sink);
        let mut blob = Event::new(Action::Push);
        blob.target.descriptor.media_type = "application/octet-stream".into();
        let wanted = SharedEvent::from(Event::new(Action::Push));
        for event in [blob.into(), Event::new(Action::Pull).into(), wanted.clone()] {
            sink.write(&event).await.unwrap();
        }
        assert_eq!(events.try_recv().unwrap().id, wanted.id);
        assert!(events.try_recv().is_none());
    }
}
