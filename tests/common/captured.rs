//! Keeps log lines and spans.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// An event, or a span that begins.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    /// The module that it comes from.
    pub(crate) target: String,
    pub(crate) text: String,
}

impl Line {
    /// Whether it comes from this crate, not from a dependency.
    pub(crate) fn is_ours(&self) -> bool {
        self.target.starts_with("tower_registry_notifications")
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<Line>>>);

impl Captured {
    /// Keeps everything that is traced on this thread until the guard is dropped.
    pub(crate) fn all() -> (Self, DefaultGuard) {
        let captured = Self::default();
        let guard = tracing::subscriber::set_default(captured.subscriber());
        (captured, guard)
    }

    /// Keeps everything that is traced in the process from now on.
    pub(crate) fn everywhere() -> Self {
        let captured = Self::default();
        tracing::subscriber::set_global_default(captured.subscriber()).unwrap();
        captured
    }

    fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_ansi(false)
            .with_span_events(FmtSpan::NEW)
            .with_writer(self.clone())
            .finish()
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the lines of the crate at these levels.
    pub(crate) fn at(&self, levels: &[Level]) -> Vec<String> {
        let lines = self.lines().into_iter();
        let ours = lines.filter(|line| line.is_ours() && levels.contains(&line.level));
        ours.map(|line| line.text).collect()
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Writer<'a>;

    fn make_writer(&'a self) -> Writer<'a> {
        unreachable!("the formatter says what it writes about")
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Writer<'a> {
        Writer {
            captured: self,
            level: *about.level(),
            target: about.target().to_owned(),
        }
    }
}

pub(crate) struct Writer<'a> {
    captured: &'a Captured,
    level: Level,
    target: String,
}

impl io::Write for Writer<'_> {
    /// Takes a whole line. The formatter never writes parts of one.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.captured.0.lock().unwrap().push(Line {
            level: self.level,
            target: self.target.clone(),
            text: String::from_utf8_lossy(text).into_owned(),
        });
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
