//! Which addresses an endpoint may connect to: [`AddressPolicy`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::error::BuildError;
use crate::networks::{Network, Networks};

/// The addresses that an endpoint may connect to.
///
/// If endpoints are configured by people who do not run the registry, an endpoint
/// must not give them access to the network behind it (SSRF):
///
/// ```
/// use tower_registry_notifications::endpoint::AddressPolicy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = AddressPolicy::deny_private().allow(["10.1.0.0/16", "fd00::17"])?;
/// # Ok(())
/// # }
/// ```
///
/// The policy checks the address of each connection, after each resolution of
/// the name: a name that resolves to a public address at first and to a private
/// one later does not pass, and neither does an address in another spelling
/// (`127.1`, `::ffff:127.0.0.1`). Only the allowed addresses of a name are tried. If
/// there are none, the attempt fails with an error that contains the name, and is
/// repeated. An address in the URL itself is denied when the
/// [`Notifier`](crate::Notifier) is built.
///
/// If the environment names a proxy for the receiver, the connection goes to the proxy
/// and the policy checks the proxy's address: allow its network. The proxy then
/// resolves the receiver's name, and only an address in the URL itself is checked
/// here. If that is not enough, turn
/// [`proxy_from_env`](crate::Endpoint::proxy_from_env) off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    deny_private: bool,
    allowed: Networks,
}

impl AddressPolicy {
    /// Allows every address, the default.
    pub fn allow_all() -> Self {
        Self::default()
    }

    /// Allows only addresses of the public internet: none that is private, shared
    /// (100.64.0.0/10), loopback, link-local, unique local, unspecified,
    /// multicast, broadcast, or reserved for documentation, benchmarks,
    /// protocols or the future, after IANA's registries of special-purpose
    /// addresses (RFC 6890). Of IPv6 only 2000::/3 is public. An address that
    /// embeds one of IPv4 (IPv4-mapped, NAT64's 64:ff9b::/96, 6to4) is public if
    /// the embedded address is; Teredo and IPv4-compatible addresses are not.
    /// 168.63.129.16, where Azure's hosts serve their guests, is denied as well.
    ///
    /// Addresses below a NAT64 prefix that the network has chosen itself cannot be told
    /// from public ones and are allowed.
    pub fn deny_private() -> Self {
        Self {
            deny_private: true,
            ..Self::default()
        }
    }

    /// Returns the policy as the status shows it.
    pub(super) fn shown(&self) -> serde_json::Value {
        let allowed = self.allowed.iter().map(|network| format!("{network:?}"));
        serde_json::json!({
            "deny_private": self.deny_private,
            "allow": allowed.collect::<Vec<_>>(),
        })
    }

    /// Allows these networks (`10.0.0.0/8`) and addresses (`::1`) in addition. An
    /// IPv4 network allows its IPv4-mapped addresses too, but no other addresses
    /// that embed IPv4. A network of IPv6 allows no IPv4.
    ///
    /// # Errors
    ///
    /// When one of them is not an address or a network.
    pub fn allow<T: AsRef<str>>(
        mut self,
        networks: impl IntoIterator<Item = T>,
    ) -> Result<Self, BuildError> {
        self.allowed
            .extend(Networks::parse("address policy", networks)?);
        Ok(self)
    }

    pub(super) fn allows(&self, address: IpAddr) -> bool {
        !self.deny_private || is_public(address) || self.allowed.contain(address)
    }

    /// Refuses a URL whose host is a denied address, for which no resolver is asked.
    pub(super) fn check(&self, url: &Uri) -> Result<(), AddressDenied> {
        let host = url.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        match bare.unwrap_or(host).parse() {
            Ok(address) if !self.allows(address) => Err(AddressDenied(host.into())),
            _ => Ok(()),
        }
    }
}

/// A host without any address that the policy allows.
#[derive(Debug)]
pub(super) struct AddressDenied(pub(super) String);

impl fmt::Display for AddressDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address policy denies {}", self.0)
    }
}

impl std::error::Error for AddressDenied {}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u32) -> Network {
    Network::new(Ipv4Addr::new(a, b, c, d).to_ipv6_mapped(), 96 + prefix)
}

const fn v6(a: u16, b: u16, prefix: u32) -> Network {
    Network::new(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry/>
const SPECIAL_V4: [Network; 16] = [
    // "This network", and the unspecified address.
    v4(0, 0, 0, 0, 8),
    // Private.
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    // Shared between a carrier and its customers.
    v4(100, 64, 0, 0, 10),
    // Loopback.
    v4(127, 0, 0, 0, 8),
    // Azure's hosts.
    v4(168, 63, 129, 16, 32),
    // Link-local: where clouds serve their metadata.
    v4(169, 254, 0, 0, 16),
    // Protocol assignments; 6to4 relays, which are no more.
    v4(192, 0, 0, 0, 24),
    v4(192, 88, 99, 0, 24),
    // Documentation.
    v4(192, 0, 2, 0, 24),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // Benchmarks.
    v4(198, 18, 0, 0, 15),
    // Multicast.
    v4(224, 0, 0, 0, 4),
    // Reserved, and broadcast.
    v4(240, 0, 0, 0, 4),
];

/// The whole range that is assigned as global unicast.
const GLOBAL_V6: Network = v6(0x2000, 0, 3);

/// The special addresses in it: <https://www.iana.org/assignments/iana-ipv6-special-registry/>
const SPECIAL_V6: [Network; 3] = [
    // Protocol assignments: Teredo, benchmarks, ORCHID.
    v6(0x2001, 0, 23),
    // Documentation.
    v6(0x2001, 0xdb8, 32),
    v6(0x3fff, 0, 20),
];

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_public_v4(address),
            None => {
                GLOBAL_V6.contains(address.into())
                    && !SPECIAL_V6.iter().any(|it| it.contains(address.into()))
            }
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|it| it.contains(address.into()))
}

/// Returns the IPv4 address at which packets for an IPv6 address arrive through NAT64
/// (RFC 6052) or 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(policy: &AddressPolicy, address: &str) -> bool {
        policy.allows(address.parse().unwrap())
    }

    #[test]
    fn public_and_special_addresses_at_their_borders() {
        let policy = AddressPolicy::deny_private();
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700::1111",
            "3ffe:ffff::",
            "3fff:1000::",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(allows(&policy, public), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.255",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::8.8.8.8",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "64:ff9b:0:1::808:808",
            "100::",
            "2001::1",
            "2001:1ff:ffff::",
            "2001:2::",
            "2001:10::",
            "2001:db8::",
            "2001:db8:ffff::",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:a9fe:a9fe::",
            "3fff::",
            "3fff:fff:ffff::",
            "4000::",
            "5f00::",
            "fc00::",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "1fff:ffff::",
        ] {
            assert!(!allows(&policy, special), "{special}");
            assert!(allows(&AddressPolicy::allow_all(), special), "{special}");
        }
    }

    #[test]
    fn only_listed_addresses_are_allowed() {
        let listed = ["127.0.0.0/8", "::1", "64:ff9b::a00:0/120"];
        let policy = AddressPolicy::deny_private()
            .allow(["10.0.0.0/24"])
            .unwrap();
        let policy = policy.allow(listed).unwrap();
        for address in [
            "127.9.9.9",
            "::ffff:127.0.0.1",
            "::1",
            "10.0.0.9",
            "64:ff9b::a00:1",
        ] {
            assert!(allows(&policy, address), "{address}");
        }
        for address in [
            "10.0.1.0",
            "::2",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            assert!(!allows(&policy, address), "{address}");
        }
        let error = AddressPolicy::deny_private().allow(["local"]).unwrap_err();
        assert!(error.to_string().contains("address policy"), "{error}");
    }

    #[test]
    fn addresses_in_urls_are_checked_and_names_are_not() {
        let policy = AddressPolicy::deny_private();
        for (url, denied) in [
            ("http://127.0.0.1/", true),
            ("https://10.0.0.1:8443/x", true),
            ("http://[::1]:80/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://[::ffff:7f00:1]/", true),
            ("http://8.8.8.8/", false),
            ("http://[2606:4700::1111]/", false),
            // The resolver's answer is checked instead.
            ("http://127.1/", false),
            ("http://0x7f.1/", false),
            ("http://localhost./", false),
        ] {
            let checked = policy.check(&url.parse().unwrap());
            assert_eq!(checked.is_err(), denied, "{url}");
        }
    }

    /// The same rules once more, as the standard library's predicates and bit
    /// patterns say them.
    fn is_special(address: Ipv4Addr) -> bool {
        let [a, b, c, d] = address.octets();
        address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_multicast()
            || a == 0
            || a >= 240
            || (a == 100 && b & 0b1100_0000 == 64)
            || (a == 198 && b & 0xfe == 18)
            || (a == 192 && b == 0 && c == 0)
            || (a == 192 && b == 88 && c == 99)
            || (a, b, c, d) == (168, 63, 129, 16)
    }

    /// Addresses at random, and more of them near the special ones.
    fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
        let near = (0..SPECIAL_V4.len(), any::<u32>(), -2_i64..3).prop_map(|(n, bits, off)| {
            let (first, last) = SPECIAL_V4[n].ends_v4();
            let inside = first | (bits & (last - first));
            let border = if bits % 2 == 0 { first } else { last };
            let at = if bits % 3 == 0 { inside } else { border };
            Ipv4Addr::from_bits((i64::from(at) + off).rem_euclid(1 << 32) as u32)
        });
        prop_oneof![any::<u32>().prop_map(Ipv4Addr::from_bits), near]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn an_address_is_as_public_in_every_embedding(address in any_v4(), rest: [u16; 5]) {
            let policy = AddressPolicy::deny_private();
            let public = !is_special(address);
            prop_assert_eq!(policy.allows(address.into()), public);
            prop_assert_eq!(policy.allows(address.to_ipv6_mapped().into()), public);
            let [high, low] = [(address.to_bits() >> 16) as u16, address.to_bits() as u16];
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            prop_assert_eq!(policy.allows(nat64.into()), public);
            let [c, d, e, f, g] = rest;
            let to4 = Ipv6Addr::new(0x2002, high, low, c, d, e, f, g);
            prop_assert_eq!(policy.allows(to4.into()), public);
            let compatible = Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low);
            prop_assert!(!policy.allows(compatible.into()));
        }

        #[test]
        fn of_ipv6_only_global_unicast_passes(bits: u128, low in 0_u128..1 << 125) {
            let policy = AddressPolicy::deny_private();
            if bits >> 125 != 1 && bits >> 32 != 0x64_ff9b << 64 && bits >> 32 != 0xffff {
                prop_assert!(!policy.allows(Ipv6Addr::from_bits(bits).into()));
            }
            let global = Ipv6Addr::from_bits(1 << 125 | low);
            let [a, b, ..] = global.segments();
            let special = a == 0x2002 || (a == 0x3fff && b < 0x1000)
                || (a == 0x2001 && (b < 0x200 || b == 0xdb8));
            if !special {
                prop_assert!(policy.allows(global.into()));
            }
        }

        #[test]
        fn what_is_listed_is_allowed_whatever_it_is(bits: u128, prefix in 0_u8..=128) {
            let address = IpAddr::from(Ipv6Addr::from_bits(bits));
            let network = format!("{address}/{prefix}");
            let policy = AddressPolicy::deny_private().allow([network]).unwrap();
            prop_assert!(policy.allows(address));
        }
    }
}
