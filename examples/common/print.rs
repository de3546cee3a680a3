//! Events as lines for people.

use std::io::{self, Write};
use std::pin::pin;

use tower_registry_notifications::event::Event;
use tower_registry_notifications::sink::Events;

use crate::terminal::printable;
use crate::time::utc;

/// Prints each event until the sink of `events` is dropped or stdout is closed. After `end`,
/// it prints only the events that have arrived by then.
pub async fn print(events: Events, json: bool, end: impl Future) -> io::Result<()> {
    print_to(&mut io::stdout(), events, json, end).await
}

/// Does the same to any writer.
pub async fn print_to(
    out: &mut (impl Write + Send),
    mut events: Events,
    json: bool,
    end: impl Future,
) -> io::Result<()> {
    let mut end = pin!(end);
    // Biased: events that have arrived are printed before the end.
    while let Some(event) = tokio::select! {
        biased;
        event = events.recv() => event,
        _ = &mut end => None,
    } {
        let line = if json {
            serde_json::to_string(&event)?
        } else {
            line(&event.to_event())
        };
        writeln!(out, "{}", printable(&line))?;
    }
    Ok(())
}

/// Time, action, target, media type and size, actor, client and method.
fn line(event: &Event) -> String {
    let time = utc(event.timestamp);
    // Of somebody who watches, the day is known.
    let time = time.split_once('T').map_or(&*time, |(_, time)| time);
    let actor = match &*event.actor.name {
        "" => "anonymous",
        name => name,
    };
    let line = format!(
        "{time}  {:<6}  {:<36}  {:<54}  {actor}  {}",
        event.action.as_str(),
        target(event),
        content(event),
        client(event),
    );
    line.trim_end().to_owned()
}

fn target(event: &Event) -> String {
    let target = &event.target;
    let mut text = target.repository.clone();
    if !target.tag.is_empty() {
        text = format!("{text}:{}", target.tag);
    } else if let Some((algorithm, hex)) = target.descriptor.digest.split_once(':') {
        let short = hex.get(..12).unwrap_or(hex);
        text = format!("{text}@{algorithm}:{short}");
    }
    if !target.from_repository.is_empty() {
        text = format!("{text} from {}", target.from_repository);
    }
    text
}

fn content(event: &Event) -> String {
    let target = &event.target;
    let mut text = target.descriptor.media_type.to_string();
    if target.descriptor.size > 0 {
        text = format!("{text}, {} B", target.descriptor.size);
    }
    if !target.references.is_empty() {
        text = format!("{text}, {} references", target.references.len());
    }
    text
}

/// Address, product (a user agent's comments are left out), and method: a HEAD
/// is a pull too, and clients send many.
fn client(event: &Event) -> String {
    let request = &event.request;
    let product = request.user_agent.split(' ').next().unwrap_or_default();
    format!("{}  {product}  {}", request.addr, request.method)
}
