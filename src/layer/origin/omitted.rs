//! The facts that events lack because a request does not state them clearly.

/// A fact that an event may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Actor,
    BaseUrl,
    Host,
    UserAgent,
}

impl Fact {
    const ALL: [Self; 4] = [Self::Actor, Self::BaseUrl, Self::Host, Self::UserAgent];

    fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::BaseUrl => "base_url",
            Self::Host => "host",
            Self::UserAgent => "user_agent",
        }
    }
}

/// The omitted facts of one request.
///
/// They are counted only once the request makes an event. Otherwise anybody
/// could drive up the counter with requests that the registry refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Omitted(u8);

impl Omitted {
    pub(super) fn add(&mut self, fact: Fact) {
        self.0 |= 1 << fact as u8;
    }

    pub(super) fn has(self, fact: Fact) -> bool {
        self.0 & (1 << fact as u8) != 0
    }

    /// Counts the facts in the metric. A missing actor is not counted if the response
    /// names one.
    pub(super) fn count(self, actor_is_known: bool) {
        let facts = Fact::ALL.into_iter().filter(|fact| self.has(*fact));
        for fact in facts.filter(|fact| *fact != Fact::Actor || !actor_is_known) {
            crate::metrics::missing_fact(fact.name());
        }
    }
}
