//! The properties of a format other than the way it writes an event: [`Wire`].

use crate::event::{Action, SharedEvent};

/// A format on the wire. Each format's file has one.
pub(in crate::event) struct Wire {
    /// Media types of a request with one event, and with several.
    pub(in crate::event) content_types: [&'static str; 2],
    /// The user agent by which receivers recognise the format.
    pub(in crate::event) user_agent: Option<&'static str>,
    /// Whether a request may carry several events.
    pub(in crate::event) batches: bool,
    /// The text around events, indented and compact.
    pub(in crate::event) frames: [Frame; 2],
    /// The number of objects and arrays that enclose an event in a request.
    pub(in crate::event) depth: usize,
    /// The events that it can carry.
    pub(in crate::event) scope: Scope,
}

/// The text that is written around the events of a request.
pub(in crate::event) struct Frame {
    pub(in crate::event) open: &'static str,
    pub(in crate::event) before: &'static str,
    pub(in crate::event) between: &'static str,
    /// Follows the last event, if there is any.
    pub(in crate::event) after: &'static str,
    pub(in crate::event) close: &'static str,
    /// The text before and after an event that is alone.
    pub(in crate::event) alone: (&'static str, &'static str),
}

/// The events that a format can carry.
pub(in crate::event) enum Scope {
    All,
    Some {
        carries: fn(&SharedEvent) -> bool,
        /// Actions that an endpoint carries only if its filter names them: receivers
        /// may take any event for a push. Pushes are always carried.
        on_request: &'static [Action],
    },
}

impl Wire {
    /// A format in which each event is a request.
    pub(super) const fn single(content_type: &'static str, scope: Scope) -> Self {
        const ALONE: Frame = Frame {
            open: "",
            before: "",
            between: "\n",
            after: "",
            close: "",
            alone: ("", ""),
        };
        Self {
            content_types: [content_type; 2],
            user_agent: None,
            batches: false,
            frames: [ALONE; 2],
            depth: 0,
            scope,
        }
    }
}
