//! Networks of IP addresses, as they are configured.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::error::{BuildError, Mistakes};

/// A network. IPv4 addresses are stored as IPv4-mapped IPv6 addresses, so that both
/// spellings of an address are equal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: u128,
    /// The number of leading bits that addresses of the network have in common.
    prefix: u32,
}

/// The number of leading bits that all IPv4-mapped addresses have in common.
const MAPPED: u32 = 96;

impl Network {
    /// Makes a network of IPv6. For a network of IPv4, pass the IPv4-mapped address,
    /// and a prefix that is longer by 96 bits.
    pub(crate) const fn new(address: Ipv6Addr, prefix: u32) -> Self {
        Self {
            address: address.to_bits(),
            prefix,
        }
    }

    /// Reads a network (`10.0.0.0/8`) or an address (`::1`).
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (most, offset) = match address {
            IpAddr::V4(_) => (32, MAPPED),
            IpAddr::V6(_) => (128, 0),
        };
        let prefix = match prefix {
            // `parse` would accept a sign.
            Some(prefix) if prefix.starts_with('+') => return None,
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= most)?,
            None => most,
        };
        Some(Self::new(mapped(address), offset + prefix))
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = mapped(address).to_bits();
        // `::/0` and other networks of IPv6 contain the mapped addresses by accident:
        // they do not contain IPv4 addresses.
        let is_mapped = address >> 32 == 0xffff;
        if is_mapped && self.prefix < MAPPED {
            return false;
        }
        let differ = address ^ self.address;
        differ
            .checked_shr(128 - self.prefix)
            .is_none_or(|it| it == 0)
    }
}

/// Writes the network as it is configured, such as `10.0.0.0/8`.
impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.address);
        match address.to_ipv4_mapped() {
            Some(address) if self.prefix >= MAPPED => {
                write!(f, "{address}/{}", self.prefix - MAPPED)
            }
            _ => write!(f, "{address}/{}", self.prefix),
        }
    }
}

#[cfg(test)]
impl Network {
    /// Returns the first and the last address of a network of IPv4.
    pub(crate) fn ends_v4(&self) -> (u32, u32) {
        let first = self.address as u32;
        (
            first,
            first | u32::MAX.checked_shr(self.prefix - MAPPED).unwrap_or(0),
        )
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A list of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Network>);

impl Networks {
    /// Reads networks and addresses; `field` is the setting that they are in.
    pub(crate) fn parse<T: AsRef<str>>(
        field: &str,
        networks: impl IntoIterator<Item = T>,
    ) -> Result<Self, BuildError> {
        let mut mistakes = Mistakes::default();
        let mut parsed = Vec::new();
        for text in networks {
            let text = text.as_ref();
            let remedy = "write a network like 10.0.0.0/8 or an address like 192.0.2.1";
            let network = Network::parse(text).ok_or_else(|| BuildError::new(field, text, remedy));
            parsed.extend(mistakes.take(network));
        }
        mistakes.or(Self(parsed))
    }

    #[cfg(feature = "client")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }

    /// Whether the address is in one of the networks.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl IntoIterator for Networks {
    type Item = Network;
    type IntoIter = std::vec::IntoIter<Network>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<Network> for Networks {
    fn extend<T: IntoIterator<Item = Network>>(&mut self, networks: T) {
        self.0.extend(networks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_shown_as_they_are_configured() {
        let networks = ["10.0.0.0/8", "::1", "::ffff:10.0.0.1", "::/0", "fd00::/8"];
        let networks = Networks::parse("f", networks).unwrap();
        let shown = "Networks([10.0.0.0/8, ::1/128, 10.0.0.1/32, ::/0, fd00::/8])";
        assert_eq!(format!("{networks:?}"), shown);
    }

    #[test]
    fn an_address_is_found_however_it_and_the_network_are_written() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.9.9.9/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.1", "10.0.0.2", false),
            ("::/0", "10.0.0.1", false),
            ("::/0", "::ffff:10.0.0.1", false),
            ("::/0", "2001:db8::1", true),
            ("::ffff:0:0/95", "10.0.0.1", false),
            ("::ffff:0:0/96", "10.0.0.1", true),
            ("0.0.0.0/0", "10.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::1/128", "::1", true),
            ("::ffff:0:0/96", "192.0.2.1", true),
            ("::1", "::1", true),
            ("::/0", "2001:db8::1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
        ] {
            let networks = Networks::parse("f", [network]).unwrap();
            let address = address.parse().unwrap();
            assert_eq!(networks.contain(address), inside, "{network} {address}");
        }
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "localhost",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-8",
            "10.0.0.0/8/8",
            "::/129",
            "/8",
            "[::1]",
        ] {
            let error = Networks::parse("the field", [wrong])
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("the field: ") && error.contains(wrong),
                "{error}"
            );
        }
    }
}
