//! The command line of the proxy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
A proxy that tells what happens in the registry behind it.

Usage: cargo run --features config --example proxy -- --upstream URL [options]

Options:
  --upstream URL        The registry, http://host:port or https://host:port
  --upstream-ca FILE    Believe these certificates of an https upstream (PEM; default: the system's)
  --timeout SECONDS     How long the registry may take to answer (default: 60)
  --listen ADDR         Address to serve on (default: 127.0.0.1:5000)
  --tls-cert FILE       Serve https with this certificate chain (PEM)
  --tls-key FILE        and its key
  --config FILE         Read the notifications section of this file, as distribution has it,
                        and the REGISTRY_NOTIFICATIONS_… variables
  --endpoint URL        Post events to this URL too; may be given several times
  --v1                  Post the format of distribution 2.8
  --include-references  Events of manifests say what the manifest refers to
  --untag-lookup        Deletions by digest also tell which tags went with it
  --trust-forwarded     A proxy before this one says who the client is
  --metrics ADDR        Serve /metrics and /debug/notifications on this address
  --without-layer       Only forward, to measure what the layer costs
  --help                Print this text
";

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) upstream: String,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) timeout: Duration,
    pub(crate) listen: SocketAddr,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) endpoints: Vec<String>,
    pub(crate) v1: bool,
    pub(crate) include_references: bool,
    pub(crate) untag_lookup: bool,
    pub(crate) trust_forwarded: bool,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) without_layer: bool,
    pub(crate) help: bool,
}

impl Options {
    /// Reads the arguments, the program's name not among them.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            options.take(&argument, &mut || arguments.next())?;
        }
        if !options.help {
            options.check()?;
        }
        Ok(options)
    }

    fn take(
        &mut self,
        argument: &str,
        next: &mut dyn FnMut() -> Option<String>,
    ) -> Result<(), String> {
        let (name, mut inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || {
            let value = inline.take().or_else(&mut *next);
            value.ok_or_else(|| format!("{name} needs a value"))
        };
        match name {
            "--upstream" => self.upstream = value()?,
            "--upstream-ca" => self.upstream_ca = Some(value()?.into()),
            "--timeout" => self.timeout = seconds(&value()?)?,
            "--listen" => self.listen = address(name, &value()?)?,
            "--tls-cert" => self.tls_cert = Some(value()?.into()),
            "--tls-key" => self.tls_key = Some(value()?.into()),
            "--config" => self.config = Some(value()?.into()),
            "--endpoint" => self.endpoints.push(value()?),
            "--v1" => self.v1 = true,
            "--include-references" => self.include_references = true,
            "--untag-lookup" => self.untag_lookup = true,
            "--trust-forwarded" => self.trust_forwarded = true,
            "--metrics" => self.metrics = Some(address(name, &value()?)?),
            "--without-layer" => self.without_layer = true,
            "--help" | "-h" => self.help = true,
            _ => return Err(format!("no such option: {argument} (try --help)")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.upstream.is_empty() {
            return Err("--upstream URL is needed (try --help)".into());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err("--tls-cert and --tls-key go together".into());
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            upstream: String::new(),
            upstream_ca: None,
            timeout: Duration::from_secs(60),
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            tls_cert: None,
            tls_key: None,
            config: None,
            endpoints: Vec::new(),
            v1: false,
            include_references: false,
            untag_lookup: false,
            trust_forwarded: false,
            metrics: None,
            without_layer: false,
            help: false,
        }
    }
}

fn address(name: &str, text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{name} needs ip:port, for example 127.0.0.1:5000, not {text}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!(
            "--timeout needs a number of seconds, at least 1, not {text}"
        )),
    }
}
