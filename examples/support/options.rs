//! The command line of the registry.

use examples::flags::{Common, Flags, Value};
use examples::nats::NatsOptions;

/// The values of the options.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) common: Common,
    pub(crate) nats: NatsOptions,
    pub(crate) json: bool,
}

impl Flags for Options {
    fn help() -> String {
        let metrics = match cfg!(feature = "prometheus") {
            true => "",
            false => "\n/metrics needs --features prometheus.",
        };
        format!(
            "\
A registry in memory that prints an event for every push, pull, mount and delete.

Usage: cargo run --example registry -- [options]

Without --page, the page is at http://127.0.0.1:5080/, or at another port if that one is taken.{metrics}

Options:
  --json                Print events as JSON, one on a line
{}{}",
            NatsOptions::HELP,
            Common::help()
        )
    }

    fn take(&mut self, name: &str, value: &mut Value<'_>) -> Result<bool, String> {
        match name {
            "--json" => self.json = true,
            _ => return Ok(self.nats.take(name, value)? || self.common.take(name, value)?),
        }
        Ok(true)
    }

    fn check(&self) -> Result<(), String> {
        self.nats.check()
    }
}
