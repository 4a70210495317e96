//! The network (paper, section 4.4 and table 1).
//!
//! | module | resource, or what it is |
//! | --- | --- |
//! | `ring` | the Device Interrupt Resource and the Device Write Resource: out of an interface's ring, labelled by addresses and ports, and into it, which may be full |
//! | `demultiplex` | the Network Device Read Resource: whom a packet is for |
//! | `transmit` | the Network Device Write Resource: where a packet goes out |
//! | `tcp` | the TCP Resource, the TCP Timer Resource, connections and listeners |
//! | `udp` | the UDP Resource, and its sockets' ends |
//! | `icmp`, `arp`, `leases` | the ICMP, ARP and DHCP Resources |
//! | `link`, `neighbours`, `dhcp` | interfaces as the protocols see them: addresses and ways |
//! | [`interface`], [`buffer`], `nic`, `nics` | what drivers are; memory for packets that arrive; the interfaces there are |
//! | [`packet`], [`data`], `chunk` | packets, the data in them, and the frames that it lies in |
//! | `socket`, `local`, `address`, `options` | sockets as open files |
//! | `label`, `outbox`, `ports`, `credit`, `refusals` | labels of requests, requests of who has no context, ports, limits of senders, and of answers to what is for nobody |
//!
//! Key types: [`Network`] (all of it, shared by all cores), [`NetMessage`].
//!
//! What a socket's calls do to it they do at once, where they are made; what has to be sent is left
//! to the resources. The loop-back interface is the way from `transmit` back to `demultiplex`.

mod address;
mod arp;
pub mod buffer;
#[cfg(any(test, feature = "fake"))]
pub mod cable;
mod chunk;
mod credit;
pub mod data;
mod demultiplex;
mod dhcp;
mod environment;
mod flow;
mod icmp;
pub mod interface;
mod label;
mod leases;
mod limit;
mod link;
mod local;
mod message;
mod neighbours;
mod nic;
mod nics;
mod options;
mod outbox;
mod pace;
pub mod packet;
mod ports;
mod refusals;
pub(crate) mod ring;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod transmit;
mod udp;
mod work;

pub use address::{Address, MAX_ADDRESS};
pub use chunk::Chunk;
pub(crate) use chunk::RUN;
#[cfg(test)]
pub(crate) use data::{Bill, Paid};
pub use data::{Data, Part, Payer, Purse, WORKERS};
pub use environment::Environment;
pub(crate) use environment::OfMachine;
pub use flow::{Flow, Labels};
pub use label::Lane;
pub use link::{Addressing, Settings};
pub use local::LocalSocket;
pub use message::NetMessage;
pub use nic::InterfaceId;
pub use nics::{Nics, Tap};
pub use packet::Reason;
pub(crate) use socket::{Connecting, Kind};
pub use socket::{Moving, Socket};
pub(crate) use tcp::Transfer;
pub use tcp::{Listener, Stream};
pub(crate) use udp::MAX_DATA;
pub use udp::{Departing, Endpoint};
pub use vortex_tcp::Algorithm;
pub(crate) use work::{handle, run_timers};

use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU64, Ordering};

use smoltcp::wire::IpProtocol;
use spin::Once;
use vortex_tcp::{Config, FourTuple, Instant, Limits, Losses};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::memory::Owner;

use crate::machine::Machine;
use crate::system::{self, Shared};
use interface::Properties;
use link::{Link, Links};
use local::Names;
use outbox::{Outbox, Post};
use packet::{Headers, IP_HEADER, MAX_PACKET, Packet, UDP_HEADER};
use refusals::Refusals;
use tcp::Tcp;
use udp::Endpoints;

/// Bytes of a packet on the loop-back interface.
const LOOPBACK_MTU: usize = 65_535;
/// Bytes of a packet on an interface of which nothing is known.
const ETHERNET_MTU: usize = 1500;
/// What is called how in the statistics: segments that were sent again, timeouts, and recoveries that
/// were taken back.
const LOSSES: [&str; 3] = [
    "net.losses.retransmitted",
    "net.losses.timeouts",
    "net.losses.undone",
];

/// All of the network that cores share.
#[derive(Debug)]
pub struct Network {
    pub(crate) environment: &'static dyn Environment,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Endpoints,
    /// Sockets inside the machine, by name.
    pub(crate) names: Names,
    outbox: Outbox,
    /// Packets that were dropped, by reason.
    dropped: [AtomicU64; Reason::ALL.len()],
    /// What connections have sent again, how often by a timeout, and what of it was for nothing.
    losses: [AtomicU64; LOSSES.len()],
    refusals: Refusals,
    /// The resource that demultiplexes, and the one that inserts into rings.
    reader: Once<ResourceId>,
    writer: Once<ResourceId>,
    /// Interfaces.
    links: Links,
    /// What packets are labelled by.
    labels: Labels,
    addressing: Once<Addressing>,
    /// Sockets that there have been.
    sockets: AtomicU64,
}

impl Network {
    /// Of a machine with so many cores.
    #[must_use]
    pub fn new(cores: usize, environment: &'static dyn Environment) -> Arc<Self> {
        let mut key = [0; 16];
        environment.random(&mut key);
        Arc::new(Self {
            tcp: Tcp::new(cores, environment),
            labels: Labels::new(key),
            links: Links::default(),
            addressing: Once::new(),
            writer: Once::new(),
            environment,
            udp: Endpoints::new(),
            names: Names::default(),
            outbox: Outbox::new(cores),
            dropped: core::array::from_fn(|_| AtomicU64::new(0)),
            losses: core::array::from_fn(|_| AtomicU64::new(0)),
            refusals: Refusals::new(),
            reader: Once::new(),
            sockets: AtomicU64::new(0),
        })
    }

    /// Notes down a request that is to be sent from this core.
    fn post(&self, post: Post) {
        self.outbox.post(self.environment.here(), post);
    }

    /// Whether there is something noted down on a core.
    #[inline]
    pub(crate) fn has_posts(&self, here: CoreId) -> bool {
        self.outbox.is_used(here)
    }

    /// A number for another socket.
    pub(crate) fn next_number(&self) -> u64 {
        self.sockets.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A packet is dropped.
    pub(crate) fn drop_for(&self, reason: Reason) {
        self.dropped[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many packets were dropped for a reason.
    #[must_use]
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }

    /// Connections, half-open ones, ones in TIME-WAIT, and ends of datagram sockets.
    #[must_use]
    pub fn len(&self) -> (usize, usize, usize, usize) {
        let (connections, half_open, waiting) = self.tcp.len();
        (connections, half_open, waiting, self.udp.len())
    }

    /// Calls with everything that is counted, by name.
    pub(crate) fn count(&self, mut tell: impl FnMut(&'static str, u64)) {
        let (connections, half_open, waiting, ends) = self.len();
        for (name, number) in [
            ("net.connections", connections),
            ("net.half-open", half_open),
            ("net.time-wait", waiting),
            ("net.datagram-ends", ends),
        ] {
            tell(name, number as u64);
        }
        for reason in Reason::ALL {
            tell(reason.counter(), self.dropped(reason));
        }
        for (name, losses) in LOSSES.into_iter().zip(&self.losses) {
            tell(name, losses.load(Ordering::Relaxed));
        }
    }

    /// A connection has counted so much before, and so much now.
    fn note_losses(&self, before: Losses, now: Losses) {
        let numbers = |losses: Losses| [losses.retransmissions, losses.timeouts, losses.undone];
        let both = numbers(before).into_iter().zip(numbers(now));
        for (total, (before, now)) in self.losses.iter().zip(both) {
            total.fetch_add(now.saturating_sub(before), Ordering::Relaxed);
        }
    }

    /// Whether nobody has a socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0, 0, 0)
    }

    /// Whether one more echo may be answered.
    pub(crate) fn may_echo(&self) -> bool {
        self.refusals.take(self.environment.now())
    }

    /// Whether this machine may be told once more that nobody is at a port.
    pub(crate) fn may_refuse(&self, peer: Ipv4Addr) -> bool {
        self.accepts(peer) || self.refusals.take_for(peer, self.environment.now())
    }

    /// Whether a packet is a datagram for a port at which nobody is, and nobody is told of that.
    pub(crate) fn is_for_nobody(&self, headers: &Headers<'_>) -> bool {
        let (peer, (_, port)) = (headers.source(), headers.ports());
        headers.protocol() == IpProtocol::Udp
            && !self.udp.is_used(port)
            && port != dhcp::CLIENT
            && self.accepts(headers.destination())
            && !self.accepts(peer)
            && !self.refusals.is_left_for(peer, self.environment.now())
    }

    /// Says how interfaces get their addresses, before there is any.
    pub fn configure(&self, addressing: Addressing) {
        self.addressing.call_once(|| addressing);
    }

    /// The addresses of interfaces.
    pub fn addresses(&self) -> impl Iterator<Item = (InterfaceId, Ipv4Addr)> {
        let links = self.links.ready();
        links.filter_map(|(id, link)| Some((id, link.address()?)))
    }

    /// When something is to be done about an interface's address.
    fn leases_due(&self) -> Option<Instant> {
        let links = self.links.ready();
        let due = |(_, link): (_, &link::Link)| Some(link.client.lock().as_ref()?.due());
        links.filter_map(due).min()
    }

    /// The labels of packets of a protocol that arrive at an end from another one.
    fn lane(&self, protocol: IpProtocol, local: (Ipv4Addr, u16), remote: (Ipv4Addr, u16)) -> Lane {
        let flow = Flow {
            source: remote.0,
            destination: local.0,
            protocol: protocol.into(),
            ports: [remote.1, local.1],
        };
        let (dependency, affinity) = self.labels.of(Some(&flow));
        Lane {
            dependency,
            affinity,
        }
    }

    fn lane_of_tuple(&self, tuple: &FourTuple) -> Lane {
        self.lane(IpProtocol::Tcp, tuple.local, tuple.remote)
    }

    /// The labels of a packet that arrives.
    fn lane_of(&self, packet: &Packet) -> Lane {
        let (source, destination) = match packet.protocol() {
            IpProtocol::Tcp | IpProtocol::Udp => packet.ports(),
            _ => (0, 0),
        };
        let local = (packet.destination(), destination);
        self.lane(packet.protocol(), local, (packet.source(), source))
    }

    /// Whether an address is one of this machine's, or stands for all of them.
    pub(crate) fn is_local(&self, address: Ipv4Addr) -> bool {
        address.is_unspecified() || self.accepts(address)
    }

    /// Whether packets for an address are taken.
    pub(crate) fn accepts(&self, address: Ipv4Addr) -> bool {
        address.is_loopback() || self.links.has(address)
    }

    /// The address from which packets go to another one; `None` if there is no way.
    pub(crate) fn source_for(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        if destination.is_loopback() || destination.is_unspecified() {
            return Some(Ipv4Addr::LOCALHOST);
        }
        if self.links.has(destination) {
            return Some(destination);
        }
        self.links.route(destination).map(|route| route.source)
    }

    /// Says how connections by an interface find their shares of the network, at boot.
    pub fn set_algorithm(&self, id: InterfaceId, algorithm: Algorithm) {
        if let Some(link) = self.links.get(id) {
            link.set_algorithm(algorithm);
        }
    }

    /// The interface by which packets go to an address; `None` for the loop-back interface.
    fn link_for(&self, destination: Ipv4Addr) -> Option<&Link> {
        if self.accepts(destination) {
            return None;
        }
        let route = self.links.route(destination)?;
        self.links.get(route.id)
    }

    fn properties_for(&self, destination: Ipv4Addr) -> Option<&Properties> {
        self.link_for(destination)?.properties()
    }

    /// What a connection with an address can have.
    pub(crate) fn fit(&self, config: Config, remote: Ipv4Addr) -> Config {
        let mtu = match self.properties_for(remote) {
            Some(properties) => usize::from(properties.mtu),
            None if self.accepts(remote) => LOOPBACK_MTU,
            None => ETHERNET_MTU,
        };
        let usual = || self.link_for(remote)?.algorithm();
        Config {
            mtu,
            algorithm: config.algorithm.or_else(usual),
            ..config
        }
    }

    /// The most data of a datagram to an address.
    pub(crate) fn max_datagram(&self, remote: Ipv4Addr) -> usize {
        let properties = self.properties_for(remote);
        let packet = properties.map_or(MAX_PACKET, |properties| properties.mtu.into());
        packet.saturating_sub(IP_HEADER + UDP_HEADER)
    }

    /// What is sent to an address at once.
    pub(crate) fn limits(&self, remote: Ipv4Addr) -> Limits {
        let segmentation = self
            .properties_for(remote)
            .map_or(0, |properties| properties.segmentation as usize);
        Limits {
            bytes: segmentation.saturating_sub(interface::HEAD),
            pieces: interface::PARTS,
        }
    }
}

impl<M: Machine> Shared<M> {
    /// The resource that demultiplexes.
    fn reader(&self) -> ResourceId {
        let find = || self.destination(system::Kind::NetRead, ActivityId::INFRASTRUCTURE);
        *self.network.reader.call_once(find)
    }

    /// As whom the network has frames that are nobody's.
    fn own_frames(&self) -> Owner {
        Owner {
            resource: self.reader(),
            activity: ActivityId::INFRASTRUCTURE,
            cookie: 0,
        }
    }
}
