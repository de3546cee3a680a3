//! Networks of IP addresses, as they are configured.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::error::BuildError;

/// Some networks; an IPv4 address is the same however it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads networks (`10.0.0.0/8`) and addresses (`::1`), the setting `field`.
    pub(crate) fn parse<T: AsRef<str>>(
        field: &str,
        networks: impl IntoIterator<Item = T>,
    ) -> Result<Self, BuildError> {
        let parse = |network: T| {
            let text = network.as_ref();
            let network = text.parse::<IpNet>();
            let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map(canonical).map_err(|_| {
                let remedy = "write a network like 10.0.0.0/8 or an address like 192.0.2.1";
                BuildError::new(field, text, remedy)
            })
        };
        let networks = networks.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self(networks))
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Is the address in one of them?
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// A network of IPv4-mapped addresses is one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    let mapped = || {
        let address = match network.addr() {
            IpAddr::V6(address) => address.to_ipv4_mapped()?,
            IpAddr::V4(_) => return None,
        };
        Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok()
    };
    mapped().map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

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
