//! Requests to the server, and the addresses and answers that it sends.

use std::time::Duration;

use async_nats::Message;
use serde::{Deserialize, Serialize};

use super::partition::Progress;
use super::poll;

/// The group of a consumer's clients that share a pin.
pub(super) const GROUP: &str = "workers";

const PIN: &str = "Nats-Pin-Id";

/// Returns the request for the next messages of a consumer.
pub(super) fn pull_request(pins: bool, pin: Option<&str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Pull<'a> {
        batch: usize,
        expires: u128,
        idle_heartbeat: u128,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    }
    let pull = Pull {
        batch: poll::BATCH,
        expires: poll::EXPIRES.as_nanos(),
        idle_heartbeat: poll::HEARTBEAT.as_nanos(),
        group: pins.then_some(GROUP),
        id: pin.filter(|_| pins),
    };
    // Numbers and texts can always be serialized.
    serde_json::to_vec(&pull).unwrap_or_default()
}

/// The facts about a delivery in its address for acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub(super) consumer: &'a str,
    pub(super) sequence: u64,
    pub(super) number: u64,
    /// Messages that the consumer has not delivered yet.
    pub(super) left: u64,
}

impl<'a> Address<'a> {
    /// Reads `$JS.ACK.<stream>.<consumer>.<repetitions>.<sequence>.<number>.<time>.<left>`.
    /// Newer servers insert domain and account before the stream, and may append more
    /// tokens.
    pub(super) fn read(reply: &'a str) -> Option<Self> {
        let tokens: Vec<_> = reply.split('.').collect();
        let start = match (&*tokens, tokens.len()) {
            (["$JS", "ACK", ..], 9) => 2,
            (["$JS", "ACK", ..], 11..) => 4,
            _ => return None,
        };
        let number = |at: usize| tokens.get(start + at)?.parse().ok();
        Some(Self {
            consumer: tokens.get(start + 1)?,
            sequence: number(3)?,
            number: number(4)?,
            left: number(6)?,
        })
    }
}

/// Returns the pin under which a message was delivered. A publisher can set this header
/// too, so the last one counts, which the server has added.
pub(super) fn pin(message: &Message) -> Option<String> {
    let headers = message.headers.as_ref()?;
    headers.get_last(PIN).map(|pin| pin.as_str().to_owned())
}

/// The server's answer to a question for a consumer.
#[derive(Debug, Deserialize)]
struct Info {
    delivered: Sequences,
    num_ack_pending: usize,
    num_pending: u64,
}

#[derive(Debug, Deserialize)]
struct Sequences {
    stream_seq: u64,
}

/// Reads the server's answer to a question for the state of a consumer. Returns its
/// progress, and how many messages it has not delivered.
pub(super) fn read_info(payload: &[u8]) -> Option<(Progress, u64)> {
    let Info {
        delivered,
        num_ack_pending,
        num_pending,
    } = serde_json::from_slice(payload).ok()?;
    let progress = Progress {
        delivered: delivered.stream_seq,
        pending: num_ack_pending,
    };
    Some((progress, num_pending))
}

/// A question or message of a worker to the server. It is written into the address of the
/// answer, so that nothing has to be remembered about open questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The next messages.
    Messages,
    /// The state of the consumer, asked at this time after the start.
    Info(Duration),
    /// The message that work on this event continues, sent at this time after the start.
    Progress(u64, Duration),
    /// The message that this event has ended.
    End(u64),
    /// The message that the pin is given up.
    Unpin,
}

impl Question {
    /// Returns the address for the answer about a partition, below `inbox`.
    pub(super) fn to_address(self, inbox: &str, partition: usize) -> String {
        let nanos = |after: Duration| u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        match self {
            Self::Messages => format!("{inbox}.{partition}.m"),
            Self::Info(after) => format!("{inbox}.{partition}.i.{}", nanos(after)),
            Self::Progress(sequence, after) => {
                format!("{inbox}.{partition}.p.{sequence}.{}", nanos(after))
            }
            Self::End(sequence) => format!("{inbox}.{partition}.e.{sequence}"),
            Self::Unpin => format!("{inbox}.{partition}.u"),
        }
    }

    /// Reads an address. Returns the partition and the question.
    pub(super) fn read(address: &str, inbox: &str) -> Option<(usize, Self)> {
        let rest = address.strip_prefix(inbox)?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        let partition = tokens.next()?.parse().ok()?;
        let kind = tokens.next()?;
        let mut number = || tokens.next()?.parse::<u64>().ok();
        let question = match kind {
            "m" => Self::Messages,
            "i" => Self::Info(Duration::from_nanos(number()?)),
            "p" => Self::Progress(number()?, Duration::from_nanos(number()?)),
            "e" => Self::End(number()?),
            "u" => Self::Unpin,
            _ => return None,
        };
        Some((partition, question))
    }
}

/// Returns the name of the consumer of an endpoint and a partition. Bytes that names of
/// consumers cannot have are written as `_` and two hexadecimal digits, so that no two
/// endpoints share a consumer.
pub(crate) fn consumer_name(endpoint: &str, partition: u16) -> String {
    let mut name = String::with_capacity(endpoint.len() + 6);
    for byte in endpoint.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    format!("{name}-{partition}")
}

/// Reads what [`consumer_name`] has written: the endpoint and the partition.
pub(crate) fn endpoint_of(consumer: &str) -> Option<(String, u16)> {
    let (name, partition) = consumer.rsplit_once('-')?;
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    let endpoint = String::from_utf8(bytes).ok()?;
    let partition = partition.parse().ok()?;
    // Of anybody else's, there may be several spellings.
    (consumer_name(&endpoint, partition) == consumer).then_some((endpoint, partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_servers_are_read() {
        let expected = Address {
            consumer: "ci-7",
            sequence: 11,
            number: 12,
            left: 5,
        };
        for reply in [
            "$JS.ACK.S.ci-7.1.11.12.1700000000000000000.5",
            "$JS.ACK.hub.ACCHASH.S.ci-7.1.11.12.1700000000000000000.5",
            "$JS.ACK._.ACCHASH.S.ci-7.1.11.12.1700000000000000000.5.token",
        ] {
            assert_eq!(Address::read(reply), Some(expected), "{reply}");
        }
        for odd in [
            "",
            "$JS.ACK",
            "$JS.ACK.S.ci-7.1.11.12.17.5.6",
            "$JS.ACK.S.ci-7.1.x.12.17.5",
            "$JS.ACK.S.ci-7.1.99999999999999999999999.12.17.5",
            "X.ACK.S.ci-7.1.11.12.17.5",
        ] {
            assert_eq!(Address::read(odd), None, "{odd}");
        }
    }

    #[test]
    fn questions_come_back_with_their_answers() {
        let after = Duration::from_nanos(1_234_567_890);
        for question in [
            Question::Messages,
            Question::Info(after),
            Question::Progress(7, after),
            Question::End(7),
            Question::Unpin,
        ] {
            let address = question.to_address("_INBOX.a", 15);
            assert_eq!(Question::read(&address, "_INBOX.a"), Some((15, question)));
        }
        for odd in [
            "",
            "_INBOX.a",
            "_INBOX.a.",
            "_INBOX.a.1",
            "_INBOX.a.1.x",
            "_INBOX.a.1.p.7",
        ] {
            assert_eq!(Question::read(odd, "_INBOX.a"), None, "{odd}");
        }
    }

    #[test]
    fn a_request_names_group_and_pin_where_there_are_pins() {
        let text = |pins, pin| String::from_utf8(pull_request(pins, pin)).unwrap();
        let plain = r#"{"batch":256,"expires":3000000000,"idle_heartbeat":1000000000}"#;
        assert_eq!(text(false, Some("p")), plain);
        assert!(text(true, None).ends_with(r#","group":"workers"}"#));
        assert!(text(true, Some("p")).ends_with(r#","group":"workers","id":"p"}"#));
    }

    #[test]
    fn no_two_endpoints_share_a_consumer() {
        let names = [
            "ci", "c.i", "c_i", "c i", "c_2ei", "ci-1", "é", "*", ">", "",
        ];
        let all: std::collections::HashSet<_> = names
            .iter()
            .flat_map(|it| [1, 11].map(|partition| consumer_name(it, partition)))
            .collect();
        assert_eq!(all.len(), 2 * names.len());
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(all.iter().all(|name| name.bytes().all(valid)));
        for name in names {
            let consumer = consumer_name(name, 11);
            assert_eq!(endpoint_of(&consumer), Some((name.into(), 11)));
        }
        for odd in [
            "", "ci", "ci-", "ci-x", "c_-1", "c_zz-1", "c_61-1", "ci-01", "a.b-1", "_ff-1",
        ] {
            assert_eq!(endpoint_of(odd), None, "{odd}");
        }
    }
}
