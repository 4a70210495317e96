//! The network (paper, section 4.4 and table 1).
//!
//! | module | resource, or what it is |
//! | --- | --- |
//! | `demultiplex` | the Network Device Read Resource: whom a packet is for |
//! | `transmit` | the Network Device Write Resource: where a packet goes out |
//! | `tcp` | the TCP Resource, the TCP Timer Resource, connections and listeners |
//! | `udp` | the UDP Resource, and its sockets' ends |
//! | `icmp` | the ICMP Resource |
//! | [`interface`], [`buffer`] | what drivers are; memory for packets that arrive |
//! | [`packet`], [`data`] | packets, and the data in them |
//! | `socket`, `local`, `address`, `options` | sockets as open files |
//! | `label`, `outbox`, `ports`, `credit` | labels of requests, requests of who has no context, ports, senders' limits |
//!
//! Key types: [`Network`] (all of it, shared by all cores), [`NetMessage`].
//!
//! What a socket's calls do to it they do at once, where they are made; what has to be sent is left
//! to the resources. The loop-back interface is the way from `transmit` back to `demultiplex`.

mod address;
pub mod buffer;
#[cfg(any(test, feature = "fake"))]
pub mod cable;
mod credit;
pub mod data;
mod demultiplex;
mod environment;
mod icmp;
pub mod interface;
mod label;
mod local;
mod message;
mod options;
mod outbox;
pub mod packet;
mod ports;
mod socket;
mod tcp;
mod transmit;
mod udp;
mod work;

pub use address::{Address, MAX_ADDRESS};
pub use data::{Data, Payer, Purse, WORKERS};
pub use environment::Environment;
pub(crate) use environment::OfMachine;
pub use label::Lane;
pub use local::LocalSocket;
pub use message::NetMessage;
pub use packet::Reason;
pub(crate) use socket::{Connecting, Kind};
pub use socket::{Moving, Socket};
pub(crate) use tcp::Transfer;
pub use tcp::{Listener, Stream};
pub(crate) use udp::MAX_DATA;
pub use udp::{Departing, Endpoint};
pub(crate) use work::{handle, run_timers};

use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use vortex_tcp::{Config, Limits};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::memory::Owner;

use local::Names;
use outbox::{Outbox, Post};
use tcp::Tcp;
use udp::Endpoints;

/// Bytes of a packet on the loop-back interface.
const LOOPBACK_MTU: usize = 65_535;
/// Answers to what is for nobody, in a second, at most.
const REFUSALS: u64 = 1000;

/// All of the network that cores share.
#[derive(Debug)]
pub struct Network {
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Endpoints,
    /// Sockets inside the machine, by name.
    pub(crate) names: Names,
    outbox: Outbox,
    /// Packets that were dropped, by reason.
    dropped: [AtomicU64; Reason::ALL.len()],
    /// The second, and the answers in it.
    refusals: AtomicU64,
    /// The resource that demultiplexes.
    reader: Once<ResourceId>,
    /// Sockets that there have been.
    sockets: AtomicU64,
}

impl Network {
    /// Of a machine with so many cores.
    #[must_use]
    pub fn new(cores: usize, environment: Arc<dyn Environment>) -> Arc<Self> {
        Arc::new(Self {
            tcp: Tcp::new(cores, &*environment),
            environment,
            udp: Endpoints::new(),
            names: Names::default(),
            outbox: Outbox::new(cores),
            dropped: core::array::from_fn(|_| AtomicU64::new(0)),
            refusals: AtomicU64::new(0),
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

    /// Whether nobody has a socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0, 0, 0)
    }

    /// Whether one more answer may be given to what is for nobody.
    pub(crate) fn may_refuse(&self) -> bool {
        let second = self.environment.now().0 / vortex_tcp::SECOND;
        let step = |old: u64| {
            let (then, count) = (old >> 16, old & 0xffff);
            match then == second & 0xffff_ffff_ffff {
                true if count >= REFUSALS => None,
                true => Some(old + 1),
                false => Some(second << 16 | 1),
            }
        };
        self.refusals
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .is_ok()
    }

    /// Whether an address is one of this machine's, or stands for all of them.
    pub(crate) fn is_local(&self, address: Ipv4Addr) -> bool {
        address.is_loopback() || address.is_unspecified()
    }

    /// Whether packets for an address are taken.
    pub(crate) fn accepts(&self, address: Ipv4Addr) -> bool {
        address.is_loopback()
    }

    /// The address from which packets go to another one; `None` if there is no way.
    pub(crate) fn source_for(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        (destination.is_loopback() || destination.is_unspecified()).then_some(Ipv4Addr::LOCALHOST)
    }

    /// What a connection with an address can have.
    pub(crate) fn fit(&self, config: Config, remote: Ipv4Addr) -> Config {
        let mtu = match remote.is_loopback() {
            true => LOOPBACK_MTU,
            false => 1500,
        };
        Config { mtu, ..config }
    }

    /// What is sent to an address at once.
    pub(crate) fn limits(&self, _remote: Ipv4Addr) -> Limits {
        Limits::PLAIN
    }

    /// As whom the network has frames that are nobody's.
    pub(crate) fn own_frames(&self) -> Owner {
        Owner {
            resource: self.reader.get().copied().unwrap_or(ResourceId::OUTSIDE),
            activity: ActivityId::INFRASTRUCTURE,
            cookie: 0,
        }
    }
}
