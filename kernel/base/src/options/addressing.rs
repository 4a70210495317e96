//! `ip=`: the address of the first network interface.
//!
//! Key types: [`Addressing`].

use core::net::Ipv4Addr;

/// How network interfaces get their addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// From a DHCP server, each.
    #[default]
    Dhcp,
    /// Not at all.
    None,
    /// The first has this one, others ask for theirs.
    Fixed {
        /// The address.
        address: Ipv4Addr,
        /// How many bits of it all neighbours have in common, at most 32.
        prefix: u8,
        /// The neighbour that passes on what is for others.
        gateway: Option<Ipv4Addr>,
    },
}

impl Addressing {
    /// `dhcp`, `none`, or an address with a prefix and perhaps a gateway: `10.0.2.15/24,10.0.2.2`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "dhcp" => return Some(Self::Dhcp),
            "none" => return Some(Self::None),
            _ => {}
        }
        let (address, gateway) = match text.split_once(',') {
            Some((address, gateway)) => (address, Some(gateway.trim().parse().ok()?)),
            None => (text, None),
        };
        let (address, prefix) = address.trim().split_once('/')?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        Some(Self::Fixed {
            address: address.parse().ok()?,
            prefix,
            gateway,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_and_perhaps_a_gateway() {
        let fixed = |gateway| Addressing::Fixed {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway,
        };
        let gateway = Some(Ipv4Addr::new(10, 0, 2, 2));
        for (text, expected) in [
            ("dhcp", Some(Addressing::Dhcp)),
            ("none", Some(Addressing::None)),
            ("10.0.2.15/24", Some(fixed(None))),
            ("10.0.2.15/24,10.0.2.2", Some(fixed(gateway))),
            ("10.0.2.15/24, 10.0.2.2", Some(fixed(gateway))),
            ("10.0.2.15", None),
            ("10.0.2.15/33", None),
            ("10.0.2.256/24", None),
            ("10.0.2.15/24,", None),
            ("", None),
        ] {
            assert_eq!(Addressing::parse(text), expected, "{text}");
        }
    }
}
