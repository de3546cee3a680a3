//! What the server answers to a publish.

use async_nats::jetstream;
use serde::Deserialize;

/// The outcome of one publish.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored {
        duplicate: bool,
    },
    /// The stream has no room.
    Full(String),
    /// Publishing again may succeed.
    Failed(String),
    /// Publishing again will never succeed.
    Refused(String),
}

/// Reads the acknowledgements of one stream.
pub(super) struct Acknowledgements {
    /// What nearly all begin with.
    stream: String,
}

impl Acknowledgements {
    pub(super) fn of(stream: &str) -> Self {
        let stream = format!(r#"{{"stream":"{stream}","#);
        Self { stream }
    }

    pub(super) fn read(&self, payload: &[u8]) -> Outcome {
        if self.is_usual(payload) {
            return Outcome::Stored { duplicate: false };
        }
        parse(payload)
    }

    /// Whether it is spelled as servers spell an acknowledgement that says nothing but the
    /// sequence. To compare takes a tenth of what parsing does.
    fn is_usual(&self, payload: &[u8]) -> bool {
        let rest = payload.strip_prefix(self.stream.as_bytes());
        let rest = rest.map(<[u8]>::trim_ascii_start);
        let rest = rest.and_then(|rest| rest.strip_prefix(br#""seq":"#));
        let number = rest.and_then(|rest| rest.strip_suffix(b"}"));
        number.is_some_and(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit))
    }
}

fn parse(payload: &[u8]) -> Outcome {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<jetstream::Error>,
        #[serde(rename = "seq")]
        sequence: Option<u64>,
        #[serde(default)]
        duplicate: bool,
    }
    // The server uses this code for every failure to store. The usual one, a stream that
    // has reached its limit of bytes, lasts, so the next attempt waits longer.
    const STORE_FAILED: u64 = 10077;
    const TOO_LARGE: u64 = 10054;
    match serde_json::from_slice(payload) {
        Ok(Answer {
            error: None,
            sequence: Some(_),
            duplicate,
        }) => Outcome::Stored { duplicate },
        Ok(Answer {
            error: Some(error), ..
        }) => match error.error_code().0 {
            STORE_FAILED => Outcome::Full(full(&error)),
            TOO_LARGE => Outcome::Refused(error.to_string()),
            _ => Outcome::Failed(error.to_string()),
        },
        Ok(_) => Outcome::Failed("an acknowledgement without a sequence".into()),
        Err(error) => Outcome::Failed(format!("not an acknowledgement: {error}")),
    }
}

/// Returns the server's words, with what makes room.
fn full(error: &jetstream::Error) -> String {
    let words = error.to_string();
    match words.contains("maximum") {
        true => format!(
            "{words}: there is room again when every endpoint has the oldest events, or when \
             max_bytes of the stream is raised"
        ),
        false => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outcome {
        Acknowledgements::of("S").read(text.as_bytes())
    }

    #[test]
    fn answers_of_the_server_are_told_apart() {
        let error = |code: u64| {
            let text = r#"{"error":{"code":503,"err_code":N,"description":"d"},"seq":0}"#;
            read(&text.replace('N', &code.to_string()))
        };
        let stored = |duplicate| Outcome::Stored { duplicate };
        assert_eq!(read(r#"{"stream":"S","seq":7}"#), stored(false));
        assert_eq!(read(r#"{"stream":"S", "seq":7}"#), stored(false));
        assert_eq!(
            read(r#"{"stream":"S", "seq":7,"duplicate": true}"#),
            stored(true)
        );
        assert_eq!(
            read(r#"{"stream":"S", "seq":7,"domain":"d"}"#),
            stored(false)
        );
        assert!(matches!(error(10077), Outcome::Full(_)));
        assert!(matches!(error(10054), Outcome::Refused(_)));
        assert!(matches!(error(10008), Outcome::Failed(_)));
        for odd in [
            "",
            "{}",
            "[]",
            r#"{"seq":"x"}"#,
            r#"{"stream":"S"}"#,
            r#"{"stream":"S", "seq":}"#,
            r#"{"stream":"S", "seq":-1}"#,
            r#"{"stream":"S", "seq":"#,
        ] {
            assert!(matches!(read(odd), Outcome::Failed(_)), "{odd}");
        }
    }

    #[test]
    fn a_full_stream_is_told_with_the_remedy() {
        let full =
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        let Outcome::Full(error) = read(full) else {
            panic!("it is not full");
        };
        assert!(
            error.contains("10077") && error.contains("max_bytes"),
            "{error}"
        );
    }

    #[test]
    fn the_usual_acknowledgement_is_recognised_without_a_parser() {
        let usual = |text: &str| Acknowledgements::of("S").is_usual(text.as_bytes());
        // Server 2.15, and 2.9.
        assert!(usual(r#"{"stream":"S","seq":12}"#));
        assert!(usual(r#"{"stream":"S", "seq":12}"#));
        for other in [
            r#"{"stream":"T", "seq":12}"#,
            r#"{"stream":"S", "seq":12,"duplicate": true}"#,
            r#"{"stream":"S", "seq":}"#,
        ] {
            assert!(!usual(other), "{other}");
        }
    }
}
