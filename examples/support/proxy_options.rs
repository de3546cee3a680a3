//! The command line of the proxy.

use std::path::PathBuf;
use std::time::Duration;

use crate::flags::{Common, Flags, Value};

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) common: Common,
    pub(crate) upstream: String,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) timeout: Duration,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) v1: bool,
    pub(crate) untag_lookup: bool,
    pub(crate) trust_forwarded: bool,
    pub(crate) without_layer: bool,
}

impl Flags for Options {
    fn help() -> String {
        format!(
            "\
A proxy that tells what happens in the registry behind it.

Usage: cargo run --features config --example proxy -- --upstream URL [options]

Options:
  --upstream URL        The registry, http://host:port or https://host:port
  --upstream-ca FILE    Believe these certificates of an https upstream (PEM; default: the system's)
  --timeout SECONDS     How long the registry may take to answer (default: 60)
  --tls-cert FILE       Serve https with this certificate chain (PEM)
  --tls-key FILE        and its key
  --config FILE         Read the notifications section of this file, as distribution has it,
                        and the REGISTRY_NOTIFICATIONS_… variables
  --v1                  Post the format of distribution 2.8 to each --endpoint
  --untag-lookup        Deletions by digest also tell which tags went with it
  --trust-forwarded     A proxy before this one says who the client is
  --without-layer       Only forward, to measure what the layer costs
{}",
            Common::HELP
        )
    }

    fn take(&mut self, name: &str, value: &mut Value<'_>) -> Result<bool, String> {
        match name {
            "--upstream" => self.upstream = value.text()?,
            "--upstream-ca" => self.upstream_ca = Some(value.file()?),
            "--timeout" => self.timeout = value.seconds()?,
            "--tls-cert" => self.tls_cert = Some(value.file()?),
            "--tls-key" => self.tls_key = Some(value.file()?),
            "--config" => self.config = Some(value.file()?),
            "--v1" => self.v1 = true,
            "--untag-lookup" => self.untag_lookup = true,
            "--trust-forwarded" => self.trust_forwarded = true,
            "--without-layer" => self.without_layer = true,
            _ => return self.common.take(name, value),
        }
        Ok(true)
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
            common: Common::default(),
            upstream: String::new(),
            upstream_ca: None,
            timeout: Duration::from_secs(60),
            tls_cert: None,
            tls_key: None,
            config: None,
            v1: false,
            untag_lookup: false,
            trust_forwarded: false,
            without_layer: false,
        }
    }
}
