//! The command line of the example.

use std::net::SocketAddr;

pub(crate) const HELP: &str = "\
A registry in memory that tells what happens in it.

Usage: cargo run --example registry -- [options]

Options:
  --listen ADDR         Address to serve on (default: 127.0.0.1:5000)
  --endpoint URL        Post events to this URL; may be given several times
  --include-references  Events of manifests say what the manifest refers to
  --metrics ADDR        Serve /metrics and /debug/notifications on this address
  --json                Print events as JSON, one a line
  --help                Print this text
";

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) endpoints: Vec<String>,
    pub(crate) include_references: bool,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) json: bool,
    pub(crate) help: bool,
}

impl Options {
    /// Reads the arguments, the program's name not among them.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            endpoints: Vec::new(),
            include_references: false,
            metrics: None,
            json: false,
            help: false,
        };
        while let Some(argument) = arguments.next() {
            let (name, mut inline) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (&*argument, None),
            };
            let mut value = || {
                let value = inline.take().or_else(|| arguments.next());
                value.ok_or_else(|| format!("{name} needs a value"))
            };
            match name {
                "--listen" => options.listen = address(name, &value()?)?,
                "--metrics" => options.metrics = Some(address(name, &value()?)?),
                "--endpoint" => options.endpoints.push(value()?),
                "--include-references" => options.include_references = true,
                "--json" => options.json = true,
                "--help" | "-h" => options.help = true,
                _ => return Err(format!("no such option: {argument} (try --help)")),
            }
        }
        Ok(options)
    }
}

fn address(name: &str, text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{name} needs ip:port, for example 127.0.0.1:5000, not {text}"))
}
