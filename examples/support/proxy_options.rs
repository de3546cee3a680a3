//! The command line of the proxy.

use std::path::PathBuf;
use std::time::Duration;

use examples::flags::{Common, Flags, Value};
use examples::nats::NatsOptions;
use tower_registry_notifications::Format;

/// The values of the options.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) common: Common,
    pub(crate) nats: NatsOptions,
    pub(crate) upstream: String,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) timeout: Duration,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) format: Option<Format>,
    pub(crate) public_host: Option<String>,
    pub(crate) json: bool,
    pub(crate) prefix: String,
    pub(crate) bearer_actor: bool,
    pub(crate) untag_lookup: bool,
    pub(crate) trust_forwarded: bool,
    pub(crate) max_connections: usize,
    pub(crate) without_layer: bool,
}

impl Options {
    /// Returns the path that the distribution API begins with.
    pub(crate) fn api(&self) -> String {
        let mut segments: Vec<_> = self.segments().collect();
        if segments.last() != Some(&"v2") {
            segments.push("v2");
        }
        format!("/{}/", segments.join("/"))
    }

    /// Returns the segments of the prefix. Repeated slashes count as one.
    fn segments(&self) -> impl Iterator<Item = &str> {
        self.prefix.split('/').filter(|segment| !segment.is_empty())
    }
}

impl Flags for Options {
    fn help() -> String {
        format!(
            "\
A proxy that makes events for the registry behind it.

Usage: cargo run --features config --example proxy -- --upstream URL [options]

Options:
  --upstream URL        The registry, http://host:port or https://host:port
  --upstream-ca FILE    Root certificates for an https upstream, as PEM (default: the system's)
  --timeout SECONDS     How long the registry may take to respond (default: 60)
  --tls-cert FILE       Serve https with this certificate chain, as PEM; needs --tls-key
  --tls-key FILE        Private key of --tls-cert, as PEM
  --prefix PATH         Path in front of the registry's /v2/, as in distribution's http.prefix
  --max-connections N   Client connections that may be open at a time (default: 400)
  --config FILE         Distribution's configuration file, for its notifications section.
                        REGISTRY_NOTIFICATIONS_… variables are read with or without it
  --format NAME         Format of each --endpoint: v2 (distribution 3, the default), v1 (2.8),
                        cloudevents, azure, harbor or imageupdater
  --public-host HOST    Host and port of the registry in image names, for azure, harbor and
                        imageupdater (default: the host of each request)
  --json                Print events as JSON. Events are printed only if there is no endpoint
  --bearer-actor        Take the actor from the bearer token. Safe only if the registry
                        verifies the token of every request, because the proxy verifies none
  --untag-lookup        A delete by digest also makes an event for each tag of the manifest
  --trust-forwarded     Take client address and host from the Forwarded and X-Forwarded-*
                        headers of a proxy in front of this one
  --without-layer       Only forward requests, to measure the cost of the layer
{}{}",
            NatsOptions::HELP,
            Common::help()
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
            "--format" => self.format = Some(format(name, value)?),
            "--public-host" => self.public_host = Some(value.text()?),
            "--json" => self.json = true,
            "--prefix" => self.prefix = value.text()?,
            "--bearer-actor" => self.bearer_actor = true,
            "--max-connections" => self.max_connections = value.count()?,
            "--untag-lookup" => self.untag_lookup = true,
            "--trust-forwarded" => self.trust_forwarded = true,
            "--without-layer" => self.without_layer = true,
            _ => return Ok(self.nats.take(name, value)? || self.common.take(name, value)?),
        }
        Ok(true)
    }

    fn check(&self) -> Result<(), String> {
        if self.upstream.is_empty() {
            return Err("--upstream URL is needed (try --help)".into());
        }
        let plain = |c: char| c.is_alphanumeric() || "-_.~".contains(c);
        let is_name = |it: &str| it.chars().all(plain) && !matches!(it, "." | "..");
        if !self.segments().all(is_name) {
            return Err("--prefix needs a path like /registry/".into());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err("--tls-cert and --tls-key must be given together".into());
        }
        if self.format.is_some() && self.common.endpoints.is_empty() {
            return Err(
                "--format applies to --endpoint only: in a file, each endpoint has its own format"
                    .into(),
            );
        }
        if self.common.admin && self.common.page.is_none() {
            return Err("--admin needs --page HOST:PORT".into());
        }
        self.nats.check()
    }
}

fn format(name: &str, value: &mut Value<'_>) -> Result<Format, String> {
    let text = value.text()?;
    let format = Format::ALL.iter().find(|format| format.name() == text);
    format.copied().ok_or_else(|| {
        let names: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
        format!("{name} must be one of {}", names.join(", "))
    })
}

impl Default for Options {
    fn default() -> Self {
        Self {
            common: Common::default(),
            nats: NatsOptions::default(),
            upstream: String::new(),
            upstream_ca: None,
            timeout: Duration::from_secs(60),
            tls_cert: None,
            tls_key: None,
            config: None,
            format: None,
            public_host: None,
            json: false,
            prefix: String::new(),
            bearer_actor: false,
            max_connections: 400,
            untag_lookup: false,
            trust_forwarded: false,
            without_layer: false,
        }
    }
}
