//! Addresses of sockets, as programs write them (`struct sockaddr`).
//!
//! Key types: [`Address`].

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use linux_raw_sys::net::{AF_INET, AF_UNIX, AF_UNSPEC};

use crate::errno::Errno;

/// Bytes of `struct sockaddr_in`, and of `struct sockaddr_un` and the family in it.
const INTERNET: usize = 16;
const LOCAL: usize = 110;
const FAMILY: usize = 2;
/// The longest address that a call takes (`struct sockaddr_storage`).
pub const MAX_ADDRESS: usize = 128;

/// An address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// None (`AF_UNSPEC`).
    None,
    /// Of a machine, with a port (`AF_INET`).
    Internet(Ipv4Addr, u16),
    /// A name inside the machine (`AF_UNIX`): a path, or with a zero before it no path; empty for a
    /// socket without one.
    Local(Vec<u8>),
}

impl Address {
    /// From its bytes.
    ///
    /// # Errors
    /// EINVAL for what is too short or too long, EAFNOSUPPORT for other families.
    pub fn decode(bytes: &[u8]) -> Result<Self, Errno> {
        let (family, rest) = bytes.split_first_chunk::<FAMILY>().ok_or(Errno::EINVAL)?;
        match u32::from(u16::from_ne_bytes(*family)) {
            AF_UNSPEC => Ok(Self::None),
            AF_INET => match *rest {
                [p, q, a, b, c, d, ..] if bytes.len() >= INTERNET => {
                    let port = u16::from_be_bytes([p, q]);
                    Ok(Self::Internet(Ipv4Addr::new(a, b, c, d), port))
                }
                _ => Err(Errno::EINVAL),
            },
            AF_UNIX if bytes.len() > LOCAL => Err(Errno::EINVAL),
            AF_UNIX => {
                let is_path = rest.first().is_some_and(|first| *first != 0);
                let end = rest.iter().position(|byte| *byte == 0);
                let end = end.filter(|_| is_path).unwrap_or(rest.len());
                Ok(Self::Local(rest[..end].into()))
            }
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let family = |family: u32| (family as u16).to_ne_bytes();
        match self {
            Self::None => family(AF_UNSPEC).into(),
            Self::Internet(address, port) => {
                let mut bytes = Vec::from(family(AF_INET));
                bytes.extend(port.to_be_bytes());
                bytes.extend(address.octets());
                bytes.resize(INTERNET, 0);
                bytes
            }
            Self::Local(name) => {
                let mut bytes = Vec::from(family(AF_UNIX));
                bytes.extend(name);
                // A path ends with a zero.
                bytes.extend(name.first().filter(|first| **first != 0).map(|_| 0));
                bytes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_back() {
        for address in [
            Address::Internet(Ipv4Addr::new(127, 0, 0, 1), 8080),
            Address::Local(b"/run/socket".to_vec()),
            Address::Local(b"\0abstract\0name".to_vec()),
            Address::Local(Vec::new()),
            Address::None,
        ] {
            assert_eq!(Address::decode(&address.encode()), Ok(address));
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..130)) {
            if let Ok(address) = Address::decode(&bytes) {
                prop_assert_eq!(Address::decode(&address.encode()), Ok(address));
            }
        }
    }
}
