//! The text that all events of a request share: [`Origin`].

use std::time::SystemTime;

use super::id::{self, NO_BITS, new_bits};
use super::text::{Field, LIMIT, ORIGIN_FIELDS};
use super::word::Word;
use crate::event::RequestRecord;
use crate::event::timestamp::since_1970;

/// What all events of one request have in common: the request, the actor and
/// what URLs begin with.
///
/// Its text is the beginning of the text of each of its events, so that an
/// event takes it over with one copy. Fields may be set in any order and more
/// than once. Setting them in the order of [`Field`] moves no text.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(super) text: String,
    pub(super) ends: [u32; ORIGIN_FIELDS],
    pub(super) request_id: id::Bits,
    pub(super) method: Word,
    /// Id of the request, if it is not a UUID, and the method, if it is not a known one.
    pub(super) other_request_id: String,
    pub(super) other_method: String,
    /// Whether the host follows [`Field::Url`] in URLs. It is not kept twice then.
    pub(super) host_in_url: bool,
}

/// Room for the actor and the beginning of URLs, which follow the request.
const ROOM: usize = 64;

impl Default for Origin {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Origin {
    /// Creates an empty origin with room for this many bytes of text.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ends: [0; ORIGIN_FIELDS],
            request_id: NO_BITS,
            method: Word::EMPTY,
            other_request_id: String::new(),
            other_method: String::new(),
            host_in_url: false,
        }
    }

    /// Gives the request a new id, a UUIDv7.
    pub(crate) fn set_new_request_id(&mut self) {
        self.other_request_id.clear();
        self.request_id = new_bits(since_1970(SystemTime::now()));
    }

    /// Sets the id of the request.
    pub(crate) fn set_request_id(&mut self, id: &str) {
        self.request_id = id::bits(id);
        let other = if self.request_id == NO_BITS { id } else { "" };
        other.clone_into(&mut self.other_request_id);
    }

    pub(crate) fn set_addr(&mut self, addr: &str) {
        self.set(Field::Addr, addr);
    }

    /// Sets the host that the client asked for.
    pub(crate) fn set_host(&mut self, host: &str) {
        let base = self.host_in_url.then(|| self.base_url());
        self.set(Field::Host, host);
        if let Some(base) = base {
            self.set_base_url(&base);
        }
    }

    pub(crate) fn set_user_agent(&mut self, user_agent: &str) {
        self.set(Field::UserAgent, user_agent);
    }

    pub(crate) fn set_trace_parent(&mut self, trace_parent: &str) {
        self.set(Field::TraceParent, trace_parent);
    }

    pub(crate) fn set_method(&mut self, method: &str) {
        self.method = Word::of_method(method);
        let other = if self.method == Word::OTHER {
            method
        } else {
            ""
        };
        other.clone_into(&mut self.other_method);
    }

    /// Sets what is before `/v2/` in URLs. An empty base makes them relative.
    pub(crate) fn set_base_url(&mut self, base: &str) {
        let host = self.get(Field::Host);
        let before = base.strip_suffix(host).filter(|_| !host.is_empty());
        let before_length = before.map(str::len);
        self.host_in_url = before_length.is_some();
        self.set(Field::Url, &base[..before_length.unwrap_or(base.len())]);
    }

    /// The same, of what is before the host, the host, and the rest.
    pub(crate) fn set_base_url_of(&mut self, [before, host, rest]: [&str; 3]) {
        if host.is_empty() && rest.is_empty() {
            return self.set_base_url(before);
        }
        self.host_in_url = rest.is_empty() && self.get(Field::Host) == host;
        match self.host_in_url {
            true => self.set(Field::Url, before),
            false => self.set_base_url(&[before, host, rest].concat()),
        }
    }

    pub(crate) fn set_actor(&mut self, name: &str) {
        self.set(Field::Actor, name);
    }

    pub(super) fn set_verbatim_url(&mut self, url: &str) {
        self.host_in_url = false;
        self.set(Field::Url, url);
    }

    pub(super) fn base_url(&self) -> String {
        let host = match self.host_in_url {
            true => self.get(Field::Host),
            false => "",
        };
        [self.get(Field::Url), host].concat()
    }

    fn get(&self, field: Field) -> &str {
        let field = field as usize;
        let start = field.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text
            .get(start as usize..self.ends[field] as usize)
            .unwrap_or_default()
    }

    fn set(&mut self, field: Field, text: &str) {
        self.set_at(field as usize, text);
    }

    #[inline]
    fn set_at(&mut self, field: usize, text: &str) {
        let start = field.checked_sub(1).map_or(0, |before| self.ends[before]) as usize;
        let end = self.ends[field] as usize;
        let rest = self.text.len() - (end - start);
        let text = if text.len() > LIMIT - rest { "" } else { text };
        if start == self.text.len() {
            // All that follow are empty, as they are while fields are set in order.
            if !text.is_empty() {
                self.text.push_str(text);
                self.ends[field..].fill(self.text.len() as u32);
            }
            return;
        }
        self.replace(field, start, text);
    }

    #[inline(never)]
    fn replace(&mut self, field: usize, start: usize, text: &str) {
        let end = self.ends[field] as usize;
        if start == end {
            self.text.insert_str(start, text);
        } else {
            self.text.replace_range(start..end, text);
        }
        // All of the text is within the limit, so its ends fit.
        let (old, new) = ((end - start) as u32, text.len() as u32);
        for end in &mut self.ends[field..] {
            *end = *end - old + new;
        }
    }
}

impl From<&RequestRecord> for Origin {
    fn from(request: &RequestRecord) -> Self {
        // In the order of the fields.
        let fields = [
            &*request.addr,
            &*request.host,
            &*request.user_agent,
            &*request.trace_parent,
        ];
        let bytes: usize = fields.iter().map(|text| text.len()).sum();
        let mut origin = Self::with_capacity(bytes.min(LIMIT) + ROOM);
        origin.set_request_id(&request.id);
        origin.set_method(&request.method);
        for (field, text) in fields.into_iter().enumerate() {
            origin.set_at(field, text);
        }
        origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_be_set_in_any_order_and_again() {
        let mut request = RequestRecord::new("r", "BREW");
        request.addr = "a:1".into();
        request.host = "h".into();
        request.user_agent = "ua".into();
        request.trace_parent = "t".into();
        let mut ordered = Origin::from(&request);
        ordered.set_base_url("https://h");
        ordered.set_actor("me");

        let mut origin = Origin::default();
        origin.set_actor("somebody else");
        origin.set_base_url("https://h");
        origin.set_host("other");
        origin.set_method("BREW");
        origin.set_user_agent("ua");
        origin.set_request_id("longer");
        origin.set_trace_parent("t");
        origin.set_addr("a:1");
        origin.set_request_id("r");
        origin.set_host("h");
        origin.set_base_url("https://h");
        origin.set_actor("me");
        assert_eq!((&origin.text, origin.ends), (&ordered.text, ordered.ends));
        assert_eq!(
            (&*origin.other_request_id, &*origin.other_method),
            ("r", "BREW")
        );
        assert_eq!(origin.base_url(), "https://h");
        assert!(origin.host_in_url);

        origin.set_host("another");
        assert_eq!(origin.base_url(), "https://h");
        assert_eq!(origin.get(Field::Actor), "me");
    }
}
