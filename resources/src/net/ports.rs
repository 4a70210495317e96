//! Ports: which are in use, and which are given to who asks for any (RFC 6335).
//!
//! Key types: [`Ports`] (those of one protocol), [`Bound`] (one that is in use, until it is dropped).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use spin::Mutex;

use crate::errno::Errno;

/// Where ports begin that are given to who asks for any, and how many there are: as on Linux.
const FIRST: u16 = 32_768;
const COUNT: u16 = 28_232;

#[derive(Debug)]
struct Use {
    number: u64,
    address: Ipv4Addr,
    /// It may be shared with others that say so (`SO_REUSEADDR`), until somebody listens there.
    shares: bool,
    /// It may be shared in any case with others that say so (`SO_REUSEPORT`).
    shares_all: bool,
}

#[derive(Debug, Default)]
struct Uses {
    by_port: BTreeMap<u16, Vec<Use>>,
    count: u64,
    /// Where the search for a free one begins.
    next: u16,
}

/// How a port may be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sharing {
    /// `SO_REUSEADDR`.
    pub(crate) address: bool,
    /// `SO_REUSEPORT`.
    pub(crate) port: bool,
}

/// The ports of one protocol.
#[derive(Debug, Default)]
pub(crate) struct Ports(Mutex<Uses>);

impl Uses {
    fn is_free(&self, address: Ipv4Addr, port: u16, sharing: Sharing) -> bool {
        let all = self.by_port.get(&port);
        let mut all = all.into_iter().flatten();
        all.all(|other| {
            let meets = other.address == address
                || other.address.is_unspecified()
                || address.is_unspecified();
            !meets || (other.shares && sharing.address) || (other.shares_all && sharing.port)
        })
    }
}

impl Ports {
    /// Takes a port at an address; any that is free for 0.
    ///
    /// # Errors
    /// EADDRINUSE.
    pub(crate) fn bind(
        self: &Arc<Self>,
        address: Ipv4Addr,
        port: u16,
        sharing: Sharing,
    ) -> Result<Bound, Errno> {
        let mut uses = self.0.lock();
        let port = match port {
            0 => {
                let start = uses.next;
                let ports = (0..COUNT).map(|step| FIRST + (start + step) % COUNT);
                let alone = Sharing::default();
                let mut free = ports.filter(|port| uses.is_free(address, *port, alone));
                let port = free.next().ok_or(Errno::EADDRINUSE)?;
                uses.next = (port - FIRST + 1) % COUNT;
                port
            }
            port if uses.is_free(address, port, sharing) => port,
            _ => return Err(Errno::EADDRINUSE),
        };
        uses.count += 1;
        let number = uses.count;
        uses.by_port.entry(port).or_default().push(Use {
            number,
            address,
            shares: sharing.address,
            shares_all: sharing.port,
        });
        let ports = self.clone();
        Ok(Bound {
            ports,
            address,
            port,
            number,
        })
    }

    /// A port to try for a connection that does not say which: not one that somebody has.
    pub(crate) fn candidate(&self, random: u16) -> u16 {
        let uses = self.0.lock();
        let ports = (0..COUNT).map(|step| FIRST + (random % COUNT + step) % COUNT);
        let mut free = ports.filter(|port| !uses.by_port.contains_key(port));
        free.next().unwrap_or(FIRST + random % COUNT)
    }
}

/// A port that is in use.
#[derive(Debug)]
pub(crate) struct Bound {
    ports: Arc<Ports>,
    address: Ipv4Addr,
    port: u16,
    number: u64,
}

impl Bound {
    /// Where.
    pub(crate) const fn local(&self) -> (Ipv4Addr, u16) {
        (self.address, self.port)
    }

    /// Somebody listens here, so that it is not shared any more (but by `SO_REUSEPORT`).
    pub(crate) fn keep(&self) {
        let mut uses = self.ports.0.lock();
        let all = uses.by_port.entry(self.port).or_default();
        for own in all.iter_mut().filter(|own| own.number == self.number) {
            own.shares = false;
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let mut uses = self.ports.0.lock();
        if let Some(all) = uses.by_port.get_mut(&self.port) {
            all.retain(|own| own.number != self.number);
            if all.is_empty() {
                uses.by_port.remove(&self.port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
    const ALONE: Sharing = Sharing {
        address: false,
        port: false,
    };
    const SHARED: Sharing = Sharing {
        address: true,
        port: false,
    };

    #[test]
    fn a_port_is_had_once_and_comes_back() {
        let ports = Arc::new(Ports::default());
        let one = ports.bind(ALL, 80, ALONE).expect("it is free");
        assert!(ports.bind(Ipv4Addr::LOCALHOST, 80, ALONE).is_err());
        assert!(ports.bind(ALL, 80, SHARED).is_err());
        assert!(ports.bind(ALL, 81, ALONE).is_ok());
        drop(one);
        assert!(ports.bind(ALL, 80, ALONE).is_ok());
        assert!(ports.0.lock().by_port.is_empty());
    }

    #[test]
    fn what_is_shared_is_until_somebody_listens() {
        let ports = Arc::new(Ports::default());
        let one = ports.bind(ALL, 80, SHARED).expect("it is free");
        let two = ports.bind(ALL, 80, SHARED).expect("both share");
        one.keep();
        assert!(ports.bind(ALL, 80, SHARED).is_err());
        drop((one, two));
        assert!(ports.bind(ALL, 80, ALONE).is_ok());
    }

    #[test]
    fn any_is_one_that_nobody_has() {
        let ports = Arc::new(Ports::default());
        let first = ports.bind(ALL, 0, ALONE).expect("one is free");
        let second = ports.bind(ALL, 0, ALONE).expect("one is free");
        assert_ne!(first.port, second.port);
        assert!(first.port >= FIRST);
        assert_ne!(ports.candidate(first.port - FIRST), first.port);
    }
}
