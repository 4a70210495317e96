//! The addresses of a network interface.

use alloc::string::String;
use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

use super::{ValueError, serde_as_text};

/// Where an interface has its address from: `dhcp`, or an IPv4 address with the length of its
/// network's prefix such as `10.0.2.15/24`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Address {
    /// Asked for by DHCP (RFC 2131). The default.
    #[default]
    Dhcp,
    /// Always this address. It is a host's own unicast address (see [`Address::fixed`]).
    Static {
        /// The address of the interface.
        address: Ipv4Addr,
        /// How many leading bits name the network, 1 to 31.
        prefix: u8,
    },
}

impl Address {
    const EXPECTED: &str =
        "`dhcp`, or an IPv4 address and the length of its prefix, such as `10.0.2.15/24`";

    /// A static address.
    ///
    /// # Errors
    /// When a host cannot have the address: the prefix is not 1 to 31, the address is unspecified,
    /// loopback, multicast or reserved, or it is the network's own or its broadcast address
    /// (which a network of prefix 31 does not have, RFC 3021).
    pub fn fixed(address: Ipv4Addr, prefix: u8) -> Result<Self, ValueError> {
        if !(1..=31).contains(&prefix) {
            return Err(ValueError {
                wrong: "has a prefix that leaves no network",
                expected: String::from("a prefix from 1 to 31, such as `10.0.2.15/24`"),
            });
        }
        check_unicast(address)?;
        let host = u32::from(address) & !mask(prefix);
        if prefix < 31 && (host == 0 || host == !mask(prefix)) {
            return Err(ValueError {
                wrong: "is the address of the network itself or its broadcast address",
                expected: String::from("the address of one host in that network"),
            });
        }
        Ok(Self::Static { address, prefix })
    }

    /// Whether `other` is in the network of this address. Of a network known by DHCP alone that
    /// cannot be said, so it is not.
    #[must_use]
    pub fn is_neighbour(self, other: Ipv4Addr) -> bool {
        match self {
            Self::Dhcp => false,
            Self::Static { address, prefix } => {
                (u32::from(address) ^ u32::from(other)) & mask(prefix) == 0
            }
        }
    }
}

/// The network mask of a prefix of 1 to 32 bits.
fn mask(prefix: u8) -> u32 {
    u32::MAX << 32u32.saturating_sub(u32::from(prefix)).min(31)
}

fn check_unicast(address: Ipv4Addr) -> Result<(), ValueError> {
    let first = address.octets()[0];
    let wrong = match first {
        0 => "is in 0.0.0.0/8, which no host has",
        127 => "is a loopback address",
        224..=239 => "is a multicast address",
        240.. => "is a reserved address",
        _ => return Ok(()),
    };
    Err(ValueError {
        wrong,
        expected: String::from("the unicast address of a host"),
    })
}

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "dhcp" {
            return Ok(Self::Dhcp);
        }
        let error = |wrong| ValueError {
            wrong,
            expected: String::from(Self::EXPECTED),
        };
        let Some((address, prefix)) = text.split_once('/') else {
            let known = text.parse::<Ipv4Addr>().is_ok();
            return Err(error(if known {
                "has no prefix"
            } else {
                "is not an address"
            }));
        };
        let address = address
            .parse()
            .map_err(|_| error("is not an IPv4 address"))?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(error("has a prefix that is not a number"));
        }
        Self::fixed(address, prefix.parse().unwrap_or(u8::MAX))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dhcp => out.write_str("dhcp"),
            Self::Static { address, prefix } => write!(out, "{address}/{prefix}"),
        }
    }
}

/// The IPv4 address of the router that packets for other networks go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gateway(Ipv4Addr);

impl Gateway {
    /// A gateway at this address.
    ///
    /// # Errors
    /// When no router can have the address.
    pub fn new(address: Ipv4Addr) -> Result<Self, ValueError> {
        check_unicast(address).map(|()| Self(address))
    }

    /// The address.
    #[must_use]
    pub const fn get(self) -> Ipv4Addr {
        self.0
    }
}

impl FromStr for Gateway {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let address = text.parse().map_err(|_| ValueError {
            wrong: "is not an IPv4 address",
            expected: String::from("the address of a router, such as `10.0.2.2`"),
        })?;
        Self::new(address)
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

serde_as_text!(Address, Gateway);
