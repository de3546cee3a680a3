//! What both sides told, without what is known to differ.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use tower_registry_notifications::event::{Action, Event};

use crate::front::is_own;
use crate::odd::{OLD, TWOFOLD};
use crate::table::Table;
use crate::upstream::{Logged, deliberate_difference};

/// Begins the user agents of requests through a proxy in front that is trusted.
pub(crate) const FORWARDED: &str = "forwarded";

pub(crate) struct Comparison {
    registry: Vec<Event>,
    proxy: Vec<Event>,
    /// How often each deliberate difference was found.
    deliberate: BTreeMap<&'static str, usize>,
}

fn is_by(event: &Event, name: &str) -> bool {
    let agent = event.request.user_agent.strip_prefix(name);
    agent.is_some_and(|rest| rest.starts_with('/'))
}

impl Comparison {
    pub(crate) fn new(registry: Vec<Event>, proxy: Vec<Event>, log: &[Logged]) -> Self {
        assert!(
            !proxy.iter().any(is_own),
            "the layer told of its own requests"
        );
        let mut comparison = Self {
            // What the layer asks the registry itself is a pull to it.
            registry: registry.into_iter().filter(|it| !is_own(it)).collect(),
            proxy,
            deliberate: BTreeMap::new(),
        };
        comparison.leave_out_refused(log);
        comparison.leave_out_rewritten();
        comparison.leave_out_twofold_sources();
        let sides = [&mut comparison.registry, &mut comparison.proxy];
        sides.into_iter().flatten().for_each(without_port);
        comparison
    }

    /// The registry tells of requests that it then refuses.
    fn leave_out_refused(&mut self, log: &[Logged]) {
        let statuses = log.iter().map(|it| (&*it.agent, it.status));
        let statuses: HashMap<_, _> = statuses.collect();
        self.registry.retain(|event| {
            let agent = &*event.request.user_agent;
            // Programs send the same user agent with all requests.
            let is_one = agent.starts_with("test/");
            let status = statuses.get(agent).filter(|_| is_one);
            let status = status.copied().unwrap_or_default();
            let Some(name) = deliberate_difference(event.action.as_str(), status) else {
                return true;
            };
            *self.deliberate.entry(name).or_default() += 1;
            false
        });
    }

    /// The registry tells of all that it reads to make a manifest for an old
    /// client; the layer tells of the pull of what the client got.
    fn leave_out_rewritten(&mut self) {
        let name = "manifest rewritten for an old client";
        let (read, rest) = self.registry.drain(..).partition(|it| is_by(it, OLD));
        self.registry = rest;
        let (got, rest) = self.proxy.drain(..).partition(|it| is_by(it, OLD));
        self.proxy = rest;
        let (read, got): (Vec<_>, Vec<_>) = (read, got);
        let agents = |of: &[Event]| {
            let agents = of.iter().map(|it| it.request.user_agent.to_string());
            let mut agents: Vec<_> = agents.collect();
            agents.sort();
            agents
        };
        let (mut told, pulled) = (agents(&read), agents(&got));
        told.dedup();
        assert_eq!(told, pulled, "one pull for each client");
        assert!(read.len() > got.len(), "nothing was rewritten");
        assert!(got.iter().all(|it| it.action == Action::Pull));
        self.deliberate.insert(name, read.len());
    }

    /// Where query and form name different sources of a mount, the layer names
    /// none.
    fn leave_out_twofold_sources(&mut self) {
        let name = "source of a mount that query and form disagree about";
        for event in self.registry.iter_mut().filter(|it| is_by(it, TWOFOLD)) {
            event.target.from_repository = String::new();
            *self.deliberate.entry(name).or_default() += 1;
        }
    }

    /// Reads one host for another in what the registry tells.
    pub(crate) fn rename_host(&mut self, from: &str, to: &str) {
        for event in &mut self.registry {
            assert_eq!(event.request.host, from);
            let mut request = event.request.clone();
            request.host = to.to_owned();
            event.request = request;
        }
    }

    /// All URLs in events lead to the proxy, but where another one in front
    /// says where it is.
    pub(crate) fn assert_urls(&self, base: &str) {
        let events = self.proxy.iter().filter(|it| !is_by(it, FORWARDED));
        let urls = events.map(|event| &*event.target.url);
        let mut urls = urls.filter(|url| !url.is_empty());
        let other = urls.find(|url| !url.starts_with(base));
        assert_eq!(other, None, "leads around the proxy");
    }

    /// Each program has done something that is told of.
    pub(crate) fn assert_many(&self, programs: &[&str]) {
        for program in programs {
            let by = |event: &&Event| event.request.user_agent.starts_with(program);
            let count = self.registry.iter().filter(by).count();
            println!("{count} events by {program}");
            assert!(count > 10, "{count} events by {program} are too few");
        }
    }

    /// Prints the result; what is not explained.
    pub(crate) fn finish(self, name: &str) -> Vec<String> {
        let table = Table::new(&self.registry, &self.proxy);
        table.print();
        let unequal = table.unequal();
        println!(
            "differential, {name}: {} events of the registry, {} of the proxy, {} equal, {} \
             unexplained; left out as deliberate: {:?}",
            self.registry.len(),
            self.proxy.len(),
            table.equal(),
            unequal.len(),
            self.deliberate
        );
        unequal
    }
}

/// The registry behind the proxy knows the client's address without its port.
fn without_port(event: &mut Event) {
    if let Ok(address) = event.request.addr.parse::<SocketAddr>() {
        let mut request = event.request.clone();
        request.addr = address.ip().to_string();
        event.request = request;
    }
}
