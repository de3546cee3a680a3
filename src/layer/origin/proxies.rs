//! The proxies whose forwarding headers are trusted: [`TrustedProxies`].

use std::net::{IpAddr, SocketAddr};

use crate::error::BuildError;
use crate::networks::Networks;

/// The proxies whose `X-Forwarded-For`, `X-Real-IP`, `Forwarded`,
/// `X-Forwarded-Host`, `X-Forwarded-Proto` and `X-Request-Id` are trusted.
///
/// Anybody can send these headers. Trust a proxy only if it sets or removes all
/// of them in every request. The reference trusts everyone.
///
/// With the feature `tower-http-0-6`, the `RequestId` extension ranks before
/// `X-Request-Id`. `SetRequestIdLayer` keeps an id that the client has sent. If
/// clients must not choose ids, remove that header in a layer outside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Trust);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Trust {
    #[default]
    None,
    All,
    Networks(Networks),
}

impl TrustedProxies {
    /// Trusts nobody. This is the default.
    pub fn none() -> Self {
        Self(Trust::None)
    }

    /// Trusts everybody, as the reference does.
    pub fn all() -> Self {
        Self(Trust::All)
    }

    /// Trusts peers in these networks, for example `10.0.0.0/8` or `::1`.
    ///
    /// The client is then the last address in `X-Forwarded-For` or `Forwarded`
    /// that is in none of them. Addresses before it are not trusted, because the
    /// client may have sent them. Host and scheme in `Forwarded` are taken from the
    /// same element. A request whose peer address is unknown is not trusted.
    ///
    /// # Errors
    ///
    /// If one of them is neither an address nor a network.
    pub fn networks<T: AsRef<str>>(
        networks: impl IntoIterator<Item = T>,
    ) -> Result<Self, BuildError> {
        let networks = Networks::parse("trusted proxies", networks)?;
        Ok(Self(Trust::Networks(networks)))
    }

    /// Whether trust depends on the peer's address.
    pub(super) fn are_networks(&self) -> bool {
        matches!(self.0, Trust::Networks(_))
    }

    pub(super) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match &self.0 {
            Trust::None => false,
            Trust::All => true,
            // An unknown peer may be anybody.
            Trust::Networks(networks) => peer.is_some_and(|peer| networks.contain(peer)),
        }
    }

    /// Returns the hop that is the client among the addresses that a request
    /// passed, the outermost first. `None` if there are none.
    ///
    /// Every proxy appends the address of its peer. Read from the end, the
    /// addresses of trusted proxies are true, and so is the first that is not one
    /// of them: it is the client's. The client may have sent everything before
    /// it. The search also ends at an address that cannot be read, because nothing
    /// proves what is before it.
    pub(super) fn client<T>(
        &self,
        mut hops: impl DoubleEndedIterator<Item = T>,
        address: impl Fn(&T) -> Option<IpAddr>,
    ) -> Option<T> {
        if !matches!(self.0, Trust::Networks(_)) {
            return hops.next();
        }
        let mut client = None;
        while let Some(hop) = hops.next_back() {
            let is_trusted = address(&hop).is_some_and(|it| self.trusts(Some(it)));
            client = Some(hop);
            if !is_trusted {
                break;
            }
        }
        client
    }
}

/// Reads an address, alone or with a port, as `Forwarded` and some proxies
/// write it.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let address = address.or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_peer_is_not_a_trusted_proxy() {
        let everywhere = TrustedProxies::networks(["0.0.0.0/0", "::/0"]).unwrap();
        assert!(!everywhere.trusts(None));
        assert!(everywhere.trusts(Some([10, 0, 0, 1].into())));
        assert!(!TrustedProxies::none().trusts(None));
        assert!(TrustedProxies::all().trusts(None));
    }

    #[test]
    fn addresses_with_and_without_ports() {
        for (text, read) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1:80 ", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("[::ffff:10.0.0.1]:5", Some("10.0.0.1")),
            ("\"192.0.2.1\"", None),
            ("[192.0.2.1", None),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
        ] {
            let read = read.map(|it| it.parse().unwrap());
            assert_eq!(address(text), read, "{text}");
        }
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_no_proxy() {
        let some = TrustedProxies::networks(["10.0.0.0/8"]).unwrap();
        let all = TrustedProxies::all();
        let of = |proxies: &TrustedProxies, hops: &str| {
            let hop = proxies.client(hops.split(',').map(str::trim), |it| address(it));
            hop.unwrap().to_owned()
        };
        for (hops, last, first) in [
            ("6.6.6.6, 7.7.7.7, 10.0.0.9", "7.7.7.7", "6.6.6.6"),
            ("7.7.7.7", "7.7.7.7", "7.7.7.7"),
            ("10.0.0.8, 10.0.0.9", "10.0.0.8", "10.0.0.8"),
            ("6.6.6.6, junk, 10.0.0.9", "junk", "6.6.6.6"),
            ("6.6.6.6, ::ffff:10.0.0.9", "6.6.6.6", "6.6.6.6"),
            ("6.6.6.6,", "", "6.6.6.6"),
        ] {
            assert_eq!(of(&some, hops), last, "{hops}");
            assert_eq!(of(&all, hops), first, "{hops}");
        }
        assert!(all.client(std::iter::empty::<&str>(), |_| None).is_none());
    }
}
