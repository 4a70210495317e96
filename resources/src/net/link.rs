//! Interfaces as the protocols see them: addresses, neighbours, and which way packets go.
//!
//! Key types: [`Links`] (all of them), [`Link`] (one), [`Settings`] (an address and a way out),
//! [`Route`].

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::{Mutex, Once};
use vortex_tcp::Algorithm;

use super::InterfaceId;
use super::dhcp::Client;
use super::interface::Properties;
use super::neighbours::Neighbours;

/// As many as there can be interfaces.
const MOST: usize = 16;

/// An address, and where packets go that are for no neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address.
    pub address: Ipv4Addr,
    /// How many bits of it all neighbours have in common.
    pub prefix: u8,
    /// The neighbour that passes on what is for others.
    pub gateway: Option<Ipv4Addr>,
}

/// How interfaces get their addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// From a server, each.
    #[default]
    Dhcp,
    /// Not at all.
    None,
    /// The first has this one, others ask for theirs.
    Fixed(Settings),
}

/// An interface.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Once it was ready.
    properties: Once<Properties>,
    /// How its connections find their shares, if that was said.
    algorithm: Once<Algorithm>,
    address: AtomicU32,
    mask: AtomicU32,
    gateway: AtomicU32,
    pub(crate) neighbours: Mutex<Neighbours>,
    pub(crate) client: Mutex<Option<Client>>,
}

/// A way for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) id: InterfaceId,
    /// The address that they come from.
    pub(crate) source: Ipv4Addr,
    /// The neighbour that they go to.
    pub(crate) next: Ipv4Addr,
}

/// All interfaces.
#[derive(Debug, Default)]
pub(crate) struct Links([Link; MOST]);

impl Link {
    /// What it can do, once it was ready.
    pub(crate) fn properties(&self) -> Option<&Properties> {
        self.properties.get()
    }

    /// It is ready.
    pub(crate) fn is_ready(&self, properties: Properties) {
        self.properties.call_once(|| properties);
    }

    /// How its connections find their shares, if that was said.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm.get().copied()
    }

    /// Says how.
    pub(crate) fn set_algorithm(&self, algorithm: Algorithm) {
        self.algorithm.call_once(|| algorithm);
    }

    /// Its address, if it has one.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        let address = Ipv4Addr::from_bits(self.address.load(Ordering::Relaxed));
        (!address.is_unspecified()).then_some(address)
    }

    /// From now on it has this address; none for `None`.
    pub(crate) fn configure(&self, settings: Option<Settings>) {
        let (address, mask, gateway) = match settings {
            None => (0, 0, 0),
            Some(settings) => {
                let free = 32 - u32::from(settings.prefix.min(32));
                let mask = u32::MAX.checked_shl(free).unwrap_or(0);
                let gateway = settings.gateway.map_or(0, Ipv4Addr::to_bits);
                (settings.address.to_bits(), mask, gateway)
            }
        };
        self.mask.store(mask, Ordering::Relaxed);
        self.gateway.store(gateway, Ordering::Relaxed);
        self.address.store(address, Ordering::Relaxed);
    }

    /// Whether an address is that of all neighbours.
    fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        let (own, mask) = (
            self.address.load(Ordering::Relaxed),
            self.mask.load(Ordering::Relaxed),
        );
        own != 0 && mask != u32::MAX && address.to_bits() == own | !mask
    }

    fn next(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        let own = self.address.load(Ordering::Relaxed);
        let mask = self.mask.load(Ordering::Relaxed);
        if own == 0 {
            return None;
        }
        if (destination.to_bits() ^ own) & mask == 0 || destination.is_broadcast() {
            return Some(destination);
        }
        let gateway = Ipv4Addr::from_bits(self.gateway.load(Ordering::Relaxed));
        (!gateway.is_unspecified()).then_some(gateway)
    }
}

impl Links {
    /// An interface.
    pub(crate) fn get(&self, id: InterfaceId) -> Option<&Link> {
        self.0.get(usize::from(id.0))
    }

    /// Those that have been ready, with their numbers.
    pub(crate) fn ready(&self) -> impl Iterator<Item = (InterfaceId, &Link)> {
        let numbered = (0..).map(InterfaceId).zip(&self.0);
        numbered.take_while(|(_, link)| link.properties.get().is_some())
    }

    /// Whether an address is that of an interface.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        self.ready()
            .any(|(_, link)| link.address() == Some(address))
    }

    /// Whether an address is that of all neighbours of an interface.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast() || self.ready().any(|(_, link)| link.is_broadcast(address))
    }

    /// The way to an address: by the interface whose neighbour it is, else by one with a gateway.
    pub(crate) fn route(&self, destination: Ipv4Addr) -> Option<Route> {
        let mut by_gateway = None;
        for (id, link) in self.ready() {
            if let (Some(next), Some(source)) = (link.next(destination), link.address()) {
                let route = Route { id, source, next };
                if next == destination {
                    return Some(route);
                }
                by_gateway.get_or_insert(route);
            }
        }
        by_gateway
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(settings: &[Settings]) -> Links {
        let links = Links::default();
        for (link, settings) in links.0.iter().zip(settings) {
            link.is_ready(Properties::NONE);
            link.configure(Some(*settings));
        }
        links
    }

    #[test]
    fn packets_go_to_neighbours_and_else_to_a_gateway() {
        let gateway = Ipv4Addr::new(10, 0, 2, 2);
        let links = links(&[
            Settings {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Some(gateway),
            },
            Settings {
                address: Ipv4Addr::new(192, 168, 1, 1),
                prefix: 16,
                gateway: None,
            },
        ]);
        let next = |to: [u8; 4]| links.route(to.into()).map(|route| (route.id.0, route.next));
        assert_eq!(next([10, 0, 2, 9]), Some((0, [10, 0, 2, 9].into())));
        assert_eq!(next([192, 168, 9, 9]), Some((1, [192, 168, 9, 9].into())));
        assert_eq!(next([8, 8, 8, 8]), Some((0, gateway)));
        assert!(links.has([192, 168, 1, 1].into()));
        assert!(links.is_broadcast([192, 168, 255, 255].into()));
        assert!(!links.is_broadcast([192, 168, 255, 254].into()));
        links.0[0].configure(None);
        assert_eq!(next([8, 8, 8, 8]), None);
    }

    #[test]
    fn any_prefix_is_dealt_with() {
        for prefix in 0..=40 {
            let links = links(&[Settings {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix,
                gateway: None,
            }]);
            let own = links.route(Ipv4Addr::new(10, 0, 2, 15));
            assert!(own.is_some(), "{prefix}");
        }
    }
}
