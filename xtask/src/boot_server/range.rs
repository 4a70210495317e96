//! The addresses that a server may give out.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Result, ensure};

use super::Interface;

/// The addresses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: Ipv4Addr,
    /// The last; not below the first.
    pub last: Ipv4Addr,
}

/// `FIRST-LAST`.
impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected FIRST-LAST, two IPv4 addresses, such as 10.0.0.100-10.0.0.199";
        let (first, last) = text.split_once('-').ok_or(expected)?;
        let address = |text: &str| text.trim().parse::<Ipv4Addr>().map_err(|_| expected);
        let range = Self {
            first: address(first)?,
            last: address(last)?,
        };
        if range.first > range.last {
            return Err(format!("{range}: the last address is before the first"));
        }
        Ok(range)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Range {
    /// Whether the interface's network has the addresses, and nobody else has them already.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn check(&self, interface: &Interface) -> Result<()> {
        let own = interface.address;
        let network = format!("{own}/{}", interface.prefix);
        ensure!(
            interface.has(self.first) && interface.has(self.last),
            "the addresses {self} are not of the network of {} ({network})",
            interface.name
        );
        ensure!(
            !(self.first..=self.last).contains(&own),
            "{} itself has {own}, which is among the addresses {self}",
            interface.name
        );
        Ok(())
    }
}
