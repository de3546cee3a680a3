//! What both sides told, side by side.

use std::collections::BTreeMap;

use tower_registry_notifications::Format;
use tower_registry_notifications::event::{Envelope, Event};

/// Events of a kind, and how often each side told of each.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<String, BTreeMap<String, [usize; 2]>>);

impl Table {
    pub(crate) fn new(distribution: &[Event], proxy: &[Event]) -> Self {
        let mut table = Self::default();
        for (side, events) in [distribution, proxy].into_iter().enumerate() {
            for event in events {
                let row = table.0.entry(kind(event)).or_default();
                row.entry(essence(event)).or_default()[side] += 1;
            }
        }
        table
    }

    pub(crate) fn print(&self) {
        let head = ["event", "distribution", "proxy", "equal"];
        println!(
            "{:<32} {:>13} {:>6} {:>6}",
            head[0], head[1], head[2], head[3]
        );
        for (kind, events) in &self.0 {
            let sum = |of: fn(&[usize; 2]) -> usize| events.values().map(of).sum::<usize>();
            let [a, b, equal] = [sum(|it| it[0]), sum(|it| it[1]), sum(|[a, b]| *a.min(b))];
            println!("{kind:<32} {a:>13} {b:>6} {equal:>6}");
        }
    }

    /// Events that both sides told of.
    pub(crate) fn equal(&self) -> usize {
        let counts = self.0.values().flat_map(BTreeMap::values);
        counts.map(|[a, b]| a.min(b)).sum()
    }

    /// What one side told more often than the other.
    pub(crate) fn unequal(&self) -> Vec<String> {
        let events = self.0.values().flatten();
        let unequal = events.filter(|(_, [a, b])| a != b);
        unequal
            .map(|(event, [a, b])| {
                let envelope: serde_json::Value = serde_json::from_str(event).unwrap();
                let event = &envelope["events"][0];
                format!("distribution {a}, proxy {b}: {event}")
            })
            .collect()
    }
}

fn kind(event: &Event) -> String {
    let target = &event.target;
    let kind = match (&*target.descriptor.media_type, &*target.tag) {
        ("application/octet-stream", _) => "blob",
        ("", "") => "digest",
        ("", _) => "tag",
        _ => "manifest",
    };
    format!("{} {kind} by {}", event.action, event.request.method)
}

/// All that must be equal of an event.
fn essence(event: &Event) -> String {
    let mut same = Event::new(event.action);
    same.id = String::new();
    same.timestamp = std::time::SystemTime::UNIX_EPOCH;
    same.target = event.target.clone();
    same.actor = event.actor.clone();
    same.request.id.clear();
    String::from_utf8(Envelope::new([same]).encode(Format::V1)).unwrap()
}
