//! A registry, the layer around it, and what became of the requests.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Mutex;

use fastrand::Rng;
use tower_registry_notifications::Notifier;
use tower_registry_notifications::sink::{ChannelSink, Events};

use crate::common::raw::{RawConnection, RawRequest, RawResponse};
use crate::common::setting;
use crate::content::digest;
use crate::front::{TestServer, is_own};
use crate::mutation::mutate;
use crate::parameter_routes::{Named, ParameterRoutes};
use crate::request::{AGENT, Numbered, Traits, numbered};
use crate::tally::{Occurrence, Tally};
use crate::upstream::{Logged, deliberate_difference};

/// Connections at a time.
const CLIENTS: usize = 8;
/// Requests that a client sends at once, at most.
const PIPELINE: usize = 4;
/// Differences that are printed.
const SHOWN: usize = 40;
/// More events than there can be.
const EVENTS: usize = 1 << 20;

/// The events of the layer.
#[derive(Default)]
pub(crate) struct Notified(Mutex<Option<Events>>);

impl Notified {
    pub(crate) fn notifier(&self) -> Notifier {
        let (sink, events) = ChannelSink::new(EVENTS);
        *self.0.lock().unwrap() = Some(events);
        Notifier::builder().sink(sink).build().unwrap()
    }

    fn happenings(&self) -> Vec<Occurrence> {
        let mut events = self.0.lock().unwrap().take().unwrap();
        let events = std::iter::from_fn(|| events.try_recv()).map(|event| event.to_event());
        let check = |event: &tower_registry_notifications::event::Event| {
            assert!(!is_own(event), "the layer told of its own requests");
        };
        let events = events.inspect(check);
        events.map(|event| Occurrence::of(&event, AGENT)).collect()
    }
}

pub(crate) struct Run {
    registry: &'static str,
    direct: u16,
    front: TestServer,
    traits: Traits,
}

/// A request and its answer; without one if the server closed the connection.
struct Exchange {
    sent: Numbered,
    answer: Option<RawResponse>,
}

pub(crate) struct Outcome {
    registry: &'static str,
    seed: u64,
    exchanges: BTreeMap<usize, Exchange>,
    deliberate: BTreeMap<&'static str, usize>,
}

impl Run {
    /// `direct` is the registry's own port.
    pub(crate) fn start(
        registry: &'static str,
        direct: u16,
        front: TestServer,
        traits: Traits,
    ) -> Self {
        Self {
            registry,
            direct,
            front,
            traits,
        }
    }

    pub(crate) async fn send(self, count: usize) -> Outcome {
        self.send_after(count, async || ()).await
    }

    /// Calls `seeded` when the registry has what is pulled.
    pub(crate) async fn send_after<T>(
        self,
        count: usize,
        seeded: impl AsyncFnOnce() -> T,
    ) -> Outcome {
        let mut direct = RawConnection::open(self.direct).await;
        self.traits.seed(&mut direct).await;
        seeded().await;
        let seed = setting("SPELLING_SEED", 8);
        let clients = (0..CLIENTS).map(|client| {
            let numbers = (0..count).skip(client).step_by(CLIENTS);
            let random = Rng::with_seed(seed ^ ((client as u64) << 32));
            self.client(numbers, random)
        });
        let exchanges = futures_util::future::join_all(clients).await;
        let exchanges = exchanges.into_iter().flatten();
        let exchanges = exchanges.map(|it| (it.sent.number, it)).collect();
        self.front.stop().await;
        Outcome {
            registry: self.registry,
            seed,
            exchanges,
            deliberate: BTreeMap::new(),
        }
    }

    async fn client(&self, numbers: impl Iterator<Item = usize>, mut random: Rng) -> Vec<Exchange> {
        let mut direct = RawConnection::open(self.direct).await;
        let mut connection = RawConnection::open(self.front.port).await;
        let mut numbers = numbers.peekable();
        let mut exchanges = Vec::new();
        while numbers.peek().is_some() {
            let mut batch = Vec::new();
            for number in numbers.by_ref().take(random.usize(1..=PIPELINE)) {
                let mut next = numbered(number, &mut random, self.traits, &mut direct).await;
                mutate(&mut random, &mut next.request);
                batch.push(next);
            }
            let requests: Vec<_> = batch.iter().map(|it| it.request.clone()).collect();
            let answers = connection.pipeline(&requests).await;
            let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
            while answers.len() < batch.len() {
                // What is no HTTP ends the connection, and so do some errors:
                // the rest of the requests goes over another one.
                let rest = &requests[answers.len()..];
                connection = RawConnection::open(self.front.port).await;
                let more = connection.pipeline(rest).await;
                if more.is_empty() {
                    answers.push(None);
                }
                answers.extend(more.into_iter().map(Some));
            }
            let pairs = batch.into_iter().zip(answers);
            exchanges.extend(pairs.map(|(sent, answer)| Exchange { sent, answer }));
        }
        exchanges
    }
}

impl Outcome {
    /// Digests of the manifests that are pushed, and the requests that do it.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = (&str, usize)> {
        let sent = self.exchanges.values().map(|it| &it.sent);
        sent.filter_map(|it| Some((it.pushes.as_deref()?, it.number)))
    }

    /// Digests and repositories of the manifests that requests delete.
    pub(crate) fn deletable_manifests(&self) -> impl Iterator<Item = (&str, &str)> {
        let sent = self.exchanges.values().map(|it| &it.sent);
        sent.filter_map(|it| it.deletes.as_ref())
            .map(|(digest, repository)| (&**digest, &**repository))
    }

    /// The targets of requests that were not answered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = &str> {
        let exchanges = self.exchanges.values().filter(|it| it.answer.is_none());
        exchanges.map(|it| &*it.sent.request.target)
    }

    /// The request that deletes this manifest, and its answer.
    pub(crate) fn deletion(&self, digest: &str) -> String {
        let mut exchanges = self.exchanges.values();
        let deletes = |it: &&Exchange| matches!(&it.sent.deletes, Some((it, _)) if it == digest);
        exchanges.find(deletes).unwrap().to_string()
    }

    /// What the answers say that happened, to what the registry's router reads
    /// in the path.
    pub(crate) async fn truth(&self, parameter_routes: &ParameterRoutes) -> Vec<Occurrence> {
        let mut truth = Vec::new();
        for exchange in self.exchanges.values() {
            let Some(answer) = &exchange.answer else {
                continue;
            };
            if !(200..300).contains(&answer.status) {
                continue;
            }
            let target = &exchange.sent.request.target;
            if let Some(named) = parameter_routes.named(target).await {
                truth.extend(exchange.happening(answer, named));
            }
        }
        truth
    }

    /// Leaves out what docker-registry tells of and the layer deliberately does
    /// not, and counts it by name. The registry's access log has the status of
    /// each request, also where the answer broke off.
    pub(crate) fn without_deliberate_differences(
        &mut self,
        mut truth: Vec<Occurrence>,
        access_log: &[Logged],
    ) -> Vec<Occurrence> {
        let number = |it: &Logged| it.agent.strip_prefix(AGENT)?.parse().ok();
        let statuses = access_log
            .iter()
            .filter_map(|it| Some((number(it)?, it.status)));
        let statuses: HashMap<usize, u16> = statuses.collect();
        truth.retain(|happening| {
            let status = statuses[&happening.number];
            let Some(name) = deliberate_difference(happening.action, status) else {
                return true;
            };
            *self.deliberate.entry(name).or_default() += 1;
            false
        });
        truth
    }

    /// Prints what came of it; nothing may be missing or wrong.
    pub(crate) fn compare(self, truth: Vec<Occurrence>, notified: &Notified) {
        let mut told = notified.happenings();
        let mut truth = truth;
        let omitted = self.settle_omissions(&mut truth, &mut told);
        let tally = Tally::new(truth, told);
        let answered = self.exchanges.values().filter_map(|it| it.answer.as_ref());
        let successes = answered.clone().filter(|it| it.status < 300).count();
        println!(
            "spelling run at {}, seed {}: {} requests, {} answered, {successes} with success; {}; \
             omitted where readings differ: {omitted}; deliberate differences: {:?}",
            self.registry,
            self.seed,
            self.exchanges.len(),
            answered.count(),
            tally.summary(),
            self.deliberate
        );
        assert!(
            tally.truth() > self.exchanges.len() / 5,
            "too few succeeded"
        );
        let unequal = tally.unequal();
        let lines = unequal.iter().take(SHOWN);
        let lines = lines.map(|(number, text)| format!("{text}\n{}", self.exchanges[number]));
        let lines: Vec<_> = lines.collect();
        assert!(unequal.is_empty(), "for example:\n{}", lines.join("\n"));
    }

    /// An event leaves out the names of which it is not known how the registry
    /// reads them: an encoded slash separates segments for some. The source of
    /// a mount is left out where query and form disagree. Takes such pairs out
    /// of both sides; how many there were.
    fn settle_omissions(&self, truth: &mut Vec<Occurrence>, told: &mut Vec<Occurrence>) -> usize {
        let mut by_number: HashMap<usize, Vec<Occurrence>> = HashMap::new();
        for happening in truth.drain(..) {
            let same_request = by_number.entry(happening.number).or_default();
            same_request.push(happening);
        }
        let mut omitted = 0;
        told.retain(|event| {
            let request = &self.exchanges[&event.number].sent.request;
            let candidates = by_number.entry(event.number).or_default();
            let found = candidates.iter().position(|it| omits(event, it, request));
            let Some(at) = found.filter(|_| !candidates.contains(event)) else {
                return true;
            };
            candidates.swap_remove(at);
            omitted += 1;
            false
        });
        truth.extend(by_number.into_values().flatten());
        omitted
    }
}

/// Whether the event tells of what is true but for what it must leave out. Query
/// and form may disagree where both name a source.
fn omits(event: &Occurrence, truth: &Occurrence, request: &RawRequest) -> bool {
    let has_encoded_slash = request.target.to_lowercase().contains("%2f");
    let form = String::from_utf8_lossy(&request.body);
    let may_disagree = request.target.contains("from=") && form.contains("from");
    let is = |told: &str, truth: &str| told == truth || told.is_empty() && has_encoded_slash;
    event.action == truth.action
        && event.digest == truth.digest
        && is(&event.repository, &truth.repository)
        && is(&event.tag, &truth.tag)
        && (event.from == truth.from || event.from.is_empty() && may_disagree)
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.sent.request;
        let own = ["user-agent", "authorization", "accept"];
        let headers = request.headers.iter();
        let headers = headers.filter(|(name, _)| !own.contains(&&*name.to_lowercase()));
        let headers: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let body: String = String::from_utf8_lossy(&request.body)
            .chars()
            .take(120)
            .collect();
        let status = self.answer.as_ref().map(|answer| answer.status);
        let (method, target) = (&request.method, &request.target);
        write!(f, "    {method} {target} {headers:?} {body:?}: {status:?}")
    }
}

impl Exchange {
    /// What an answer of success means.
    fn happening(&self, answer: &RawResponse, named: Named) -> Option<Occurrence> {
        let (method, status) = (&*self.sent.request.method, answer.status);
        let said = answer.header("docker-content-digest").map(str::to_owned);
        let is_pull = matches!(method, "GET" | "HEAD") && matches!(status, 200 | 203 | 206);
        let (action, repository, tag, digest) = match named {
            Named::Manifest {
                repository,
                reference,
            } => {
                let content = match (method, status) {
                    ("GET", 200) => Some(digest(&answer.body)),
                    ("PUT", _) => Some(digest(&self.sent.request.body)),
                    _ => None,
                };
                let (tag, own) = match reference.contains(':') {
                    true => (String::new(), Some(reference)),
                    false => (reference, None),
                };
                let digest = said.or(content).or(own.clone()).unwrap_or_default();
                match method {
                    _ if is_pull => ("pull", repository, tag, digest),
                    "PUT" => ("push", repository, tag, digest),
                    "DELETE" => ("delete", repository, tag, own.unwrap_or_default()),
                    _ => return None,
                }
            }
            Named::Blob { repository, digest } => match method {
                _ if is_pull => ("pull", repository, String::new(), said.unwrap_or(digest)),
                "DELETE" => ("delete", repository, String::new(), digest),
                _ => return None,
            },
            Named::Upload { repository } => match (method, status) {
                ("POST", 201) | ("PUT", 201) => {
                    ("push", repository, String::new(), said.unwrap_or_default())
                }
                _ => return None,
            },
        };
        Some(Occurrence {
            number: self.sent.number,
            action,
            repository,
            tag,
            digest: digest.to_lowercase(),
            from: String::new(),
        })
    }
}
