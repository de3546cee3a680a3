//! Copies of a recording with one thing changed in what the registry posted.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use tower_registry_notifications::event::{Action, ActorRecord, Descriptor, Event, RequestRecord};
use tower_registry_notifications::{Format, SourceRecord};

use crate::check::{Compared, Replayed, Summary, compare, conclude, encode, read};
use crate::corpus::Exchange;

/// What is changed in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Another character somewhere in a delivery.
    Byte,
    Dropped,
    /// The same delivery twice in a row.
    Duplicated,
    /// A delivery of another exchange as well.
    Copied,
    /// The same, its request record changed to fit.
    CopiedToFit,
    /// A delivery is another exchange's instead.
    Moved,
    /// The same, its request record changed to fit.
    MovedToFit,
    /// Two exchanges have each other's deliveries.
    Exchanged,
    /// Two deliveries of one exchange in the other order.
    Reordered,
    Field(Field),
}

/// A field of an event, changed and encoded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Id,
    Timestamp,
    Action,
    MediaType,
    /// Wherever the delivery names it.
    Digest,
    /// `size` and `length`.
    Size,
    Length,
    /// Wherever the delivery names it.
    Repository,
    FromRepository,
    Url,
    Tag,
    References,
    RequestId,
    Addr,
    Host,
    Method,
    UserAgent,
    Actor,
    Source,
}

impl Change {
    pub(crate) const ALL: [Self; 28] = {
        use Field::*;
        [
            Self::Byte,
            Self::Dropped,
            Self::Duplicated,
            Self::Copied,
            Self::CopiedToFit,
            Self::Moved,
            Self::MovedToFit,
            Self::Exchanged,
            Self::Reordered,
            Self::Field(Id),
            Self::Field(Timestamp),
            Self::Field(Action),
            Self::Field(MediaType),
            Self::Field(Digest),
            Self::Field(Size),
            Self::Field(Length),
            Self::Field(Repository),
            Self::Field(FromRepository),
            Self::Field(Url),
            Self::Field(Tag),
            Self::Field(References),
            Self::Field(RequestId),
            Self::Field(Addr),
            Self::Field(Host),
            Self::Field(Method),
            Self::Field(UserAgent),
            Self::Field(Actor),
            Self::Field(Source),
        ]
    };

    /// Whether it may change a fact that no exchange determines, so that only the
    /// summary shows it.
    fn may_be_undetermined(self) -> bool {
        use Field::{Addr, Id, RequestId, Source, Timestamp};
        matches!(
            self,
            Self::Byte | Self::Field(Id | Timestamp | RequestId | Addr | Source)
        )
    }
}

/// The exchanges of a recording that have other deliveries now, by their index.
type Altered = BTreeMap<usize, Vec<String>>;

/// A recording that fits, and its alterations.
pub(crate) struct Original<'a> {
    exchanges: &'a [Exchange],
    replayed: &'a [Replayed],
    compared: Vec<Compared>,
    summary: Summary,
    format: Format,
}

/// What showed that a recording was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShownBy {
    /// It contradicts itself, the layer or the rules.
    Check,
    /// Its summary is another: it fits, but is not the recording that was pinned.
    Summary,
}

impl<'a> Original<'a> {
    pub(crate) fn new(exchanges: &'a [Exchange], replayed: &'a [Replayed], format: Format) -> Self {
        let compared = crate::check::compare_all(exchanges, replayed, format);
        let compared = compared.unwrap_or_else(|mismatch| panic!("{mismatch}"));
        let summary = conclude(&compared);
        let summary = summary.unwrap_or_else(|mismatch| panic!("{mismatch}"));
        Self {
            exchanges,
            replayed,
            compared,
            summary,
            format,
        }
    }

    /// Returns the indexes of the exchanges that were posted about.
    pub(crate) fn posted(&self) -> Vec<usize> {
        self.indexes(|it| !self.exchanges[it].deliveries.is_empty())
    }

    /// Returns the indexes of the exchanges that differ from the reference.
    pub(crate) fn different(&self) -> Vec<usize> {
        self.indexes(|it| self.replayed[it].only_there.is_some())
    }

    fn indexes(&self, want: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.exchanges.len()).filter(|it| want(*it)).collect()
    }

    /// Changes something at the exchange `at`, and checks that it shows.
    ///
    /// Returns `None` if this exchange has nothing of the kind. Panics, with the
    /// seed in the message, if it does not show.
    pub(crate) fn alter(&self, change: Change, at: usize, seed: u64) -> Option<ShownBy> {
        let altered = self.altered(change, at, &mut Rng::with_seed(seed))?;
        let n = self.exchanges[at].n;
        let shown = self.shown(&altered);
        let by_check = shown == Some(ShownBy::Check);
        assert!(
            by_check || (shown.is_some() && change.may_be_undetermined()),
            "{change:?} at exchange {n} with seed {seed} is shown by {shown:?}: {altered:#?}",
        );
        shown
    }

    /// Checks the altered recording: again where it is altered, then as a whole.
    fn shown(&self, altered: &Altered) -> Option<ShownBy> {
        let mut again = BTreeMap::new();
        for (at, deliveries) in altered {
            let (exchange, replayed) = (&self.exchanges[*at], &self.replayed[*at]);
            match compare(exchange, deliveries, replayed, self.format) {
                Ok(compared) => again.insert(*at, compared),
                Err(_) => return Some(ShownBy::Check),
            };
        }
        let compared = self.compared.iter().enumerate();
        let compared = compared.map(|(at, compared)| again.get(&at).unwrap_or(compared));
        match conclude(compared) {
            Err(_) => Some(ShownBy::Check),
            Ok(summary) => (summary != self.summary).then_some(ShownBy::Summary),
        }
    }

    fn altered(&self, change: Change, at: usize, rng: &mut Rng) -> Option<Altered> {
        let deliveries = &self.exchanges[at].deliveries;
        let nth = rng.usize(..deliveries.len());
        let (delivery, mut here) = (&deliveries[nth], deliveries.clone());
        // One that nothing was posted about, as likely as any other.
        let others = match change == Change::Exchanged || rng.bool() {
            true => self.posted(),
            false => self.indexes(|it| self.exchanges[it].deliveries.is_empty()),
        };
        let elsewhere = one_of(others.into_iter().filter(|it| *it != at), rng)?;
        let mut there = self.exchanges[elsewhere].deliveries.clone();
        let place = rng.usize(..=there.len());
        match change {
            Change::Byte => here[nth] = another_byte(delivery, rng),
            Change::Dropped => drop(here.remove(nth)),
            Change::Duplicated => here.insert(nth, delivery.clone()),
            Change::Copied => there.insert(place, delivery.clone()),
            Change::CopiedToFit => there.insert(place, self.fitted(delivery, elsewhere)),
            Change::Moved => there.insert(place, here.remove(nth)),
            Change::MovedToFit => {
                here.remove(nth);
                there.insert(place, self.fitted(delivery, elsewhere));
            }
            Change::Exchanged => std::mem::swap(&mut here, &mut there),
            Change::Reordered => {
                // The first has its place; the tags that went with a manifest have
                // no order among themselves.
                let last = here.len().checked_sub(1).filter(|last| *last > 0)?;
                here.swap(0, rng.usize(1..=last));
            }
            Change::Field(field) => here[nth] = self.changed(field, delivery, rng)?,
        }
        let mut altered = Altered::from([(at, here), (elsewhere, there)]);
        altered.retain(|at, deliveries| self.exchanges[*at].deliveries != *deliveries);
        assert!(!altered.is_empty(), "{change:?} of {at} changed nothing");
        Some(altered)
    }

    /// The delivery with the request record and time of another exchange.
    fn fitted(&self, delivery: &str, elsewhere: usize) -> String {
        let mut event = read(delivery).unwrap();
        let exchange = &self.exchanges[elsewhere];
        if let Some(model) = exchange.deliveries.first() {
            let model = read(model).unwrap();
            event.request = model.request;
            event.timestamp = model.timestamp;
        } else {
            let mut request = RequestRecord::clone(&event.request);
            let (headers, date) = (&exchange.request.headers, &exchange.response.headers);
            request.method = exchange.request.method.clone().into();
            request.user_agent = headers.get("user-agent").unwrap().into();
            event.request = request;
            if let Some(date) = date.get("date") {
                event.timestamp = httpdate::parse_http_date(date).unwrap();
            }
        }
        encode(&event, self.format)
    }

    fn changed(&self, field: Field, delivery: &str, rng: &mut Rng) -> Option<String> {
        let event = read(delivery).unwrap();
        let target = &event.target;
        match field {
            Field::Digest if !target.descriptor.digest.is_empty() => {
                let digest = &target.descriptor.digest;
                return Some(delivery.replace(&**digest, &another_digit(digest, rng)));
            }
            Field::Repository => {
                let other = format!("{}x", target.repository);
                return Some(delivery.replace(&target.repository, &other));
            }
            _ => {}
        }
        let changed = encode(&another(event, field, rng), self.format);
        // Format v1 has no field for some of what v2 has.
        (changed != delivery).then_some(changed)
    }
}

fn one_of<T>(choice: impl Iterator<Item = T>, rng: &mut Rng) -> Option<T> {
    rng.choice(choice.collect::<Vec<_>>())
}

fn another_byte(delivery: &str, rng: &mut Rng) -> String {
    let mut bytes = delivery.as_bytes().to_vec();
    let at = loop {
        let at = rng.usize(..bytes.len());
        if bytes[at].is_ascii() {
            break at;
        }
    };
    let before = bytes[at];
    while bytes[at] == before {
        bytes[at] = rng.u8(b' '..=b'~');
    }
    String::from_utf8(bytes).unwrap()
}

/// Another hexadecimal digit at the end of the text.
fn another_digit(text: &str, rng: &mut Rng) -> String {
    let (rest, last) = text.split_at(text.len() - 1);
    loop {
        let digit = rng.digit(16).to_string();
        if digit != last {
            return rest.to_owned() + &digit;
        }
    }
}

/// The event with another value of the field.
fn another(mut event: Event, field: Field, rng: &mut Rng) -> Event {
    let mut request = RequestRecord::clone(&event.request);
    let mut source = SourceRecord::clone(&event.source);
    let target = &mut event.target;
    let more = |text: &mut String| text.push('x');
    match field {
        Field::Id => event.id = another_digit(&event.id, rng),
        Field::Timestamp => event.timestamp = another_time(event.timestamp, rng),
        Field::Action => {
            let actions = [Action::Push, Action::Pull, Action::Mount, Action::Delete];
            let others = actions.into_iter().filter(|it| *it != event.action);
            event.action = one_of(others, rng).unwrap();
        }
        Field::MediaType => more(target.descriptor.media_type.to_mut()),
        Field::Digest => more(&mut target.descriptor.digest),
        Field::Size => {
            target.descriptor.size += 1;
            target.length += 1;
        }
        Field::Length => target.length += 1,
        Field::Repository => more(&mut target.repository),
        Field::FromRepository => more(&mut target.from_repository),
        Field::Url => more(&mut target.url),
        Field::Tag => more(&mut target.tag),
        Field::References => match target.references.len() {
            0 => target
                .references
                .push(Descriptor::new("a/b", "sha256:0", 1)),
            count => match &mut target.references[rng.usize(..count)] {
                reference if rng.bool() => reference.size += 1,
                reference => more(&mut reference.digest),
            },
        },
        Field::RequestId => request.id = another_digit(&request.id, rng),
        Field::Addr => another_number(&mut request.addr),
        Field::Host => more(&mut request.host),
        Field::Method => more(request.method.to_mut()),
        Field::UserAgent => more(&mut request.user_agent),
        Field::Actor => event.actor = ActorRecord::new("x"),
        Field::Source => match rng.bool() {
            true => more(&mut source.addr),
            false => source.instance_id = another_digit(&source.instance_id, rng),
        },
    }
    event.request = request;
    event.source = source;
    event
}

/// A time up to an hour before or after.
fn another_time(time: SystemTime, rng: &mut Rng) -> SystemTime {
    let most = [1, 1_000, 1_000_000, 1_000_000_000, 3_600_000_000_000];
    let most = most[rng.usize(..most.len())];
    let difference = Duration::from_nanos(rng.u64(1..=most));
    match rng.bool() {
        true => time + difference,
        false => time - difference,
    }
}

/// Another number at the end: of the port, or of an address without one.
fn another_number(addr: &mut String) {
    let last = addr.pop();
    addr.push(if last == Some('1') { '2' } else { '1' });
}
