//! The network interfaces of the system, and what they share.
//!
//! Key type: [`Nics`].

use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering};

use spin::Once;
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::Owner;

use super::buffer::Pool;
use super::flow::Labels;
use super::interface::{Counters, Interface, Loss, Packet, Properties};
use super::nic::{InterfaceId, Nic};
use crate::machine::Machine;
use crate::system::{Kind, Shared};

/// The most interfaces.
const MOST: usize = 16;
/// Of all memory, packets can have one frame in so many, but no more than so many frames.
const PART_OF_MEMORY: usize = 16;
const MOST_FRAMES: usize = 16 << 10;

/// What interfaces count is called how: packets received, frames sent, interrupts seen to, frames for
/// which there was no room, packets for which the device had none.
const EVENTS: [&str; 5] = [
    "net.events.received",
    "net.events.sent",
    "net.events.interrupts",
    "net.events.held",
    "net.events.missed",
];

/// Looks at a received packet before it is handed on.
pub type Tap = Box<dyn Fn(InterfaceId, &Packet) + Send + Sync>;

/// The interfaces of the system. None ever goes, so each is reached without a lock.
#[derive(Default)]
pub struct Nics {
    all: [Once<Nic>; MOST],
    count: AtomicU16,
    pool: Once<&'static Pool>,
    tap: Once<Tap>,
    /// The device write and the device interrupt resource, if they had to be made.
    rings: [Once<ResourceId>; 2],
}

impl Nics {
    /// Adds an interface, at boot. It comes up once it was serviced. `None` if there are 16 already.
    pub fn attach(&self, interface: Box<dyn Interface>) -> Option<InterfaceId> {
        let id = InterfaceId(self.count.fetch_add(1, Ordering::Relaxed));
        let place = self.all.get(usize::from(id.0))?;
        place.call_once(|| Nic::new(id, interface));
        Some(id)
    }

    /// Says which vector an interface's interrupts have. If it is not sure that they come, the
    /// interface is polled until the first does.
    pub fn set_vector(&self, id: InterfaceId, vector: u8, is_sure: bool) {
        if let Some(nic) = self.get(id) {
            nic.vector.set(vector, is_sure);
        }
    }

    /// Says that an interface's link carries no more than so many bits a second, more than none.
    pub fn set_rate(&self, id: InterfaceId, bits_per_second: u64) {
        if let Some(nic) = self.get(id) {
            nic.set_rate(bits_per_second);
        }
    }

    /// Has something look at every packet that is received; once.
    pub fn set_tap(&self, tap: Tap) {
        self.tap.call_once(|| tap);
    }

    /// The numbers of all interfaces.
    pub fn ids(&self) -> impl Iterator<Item = InterfaceId> {
        self.all().map(|nic| nic.id)
    }

    /// What an interface is called in the log, can do, has counted, and whether it has a link.
    #[must_use]
    pub fn describe(&self, id: InterfaceId) -> Option<(&'static str, Properties, Counters, bool)> {
        let nic = self.get(id)?;
        Some((nic.name, nic.properties(), nic.counters(), nic.has_link()))
    }

    /// Calls with what interfaces have counted, all together, by name.
    pub(crate) fn count(&self, mut tell: impl FnMut(&'static str, u64)) {
        let mut sums = [0; EVENTS.len()];
        for nic in self.all() {
            let counters = nic.counters();
            let numbers = [
                counters.received,
                counters.sent,
                nic.interrupts(),
                counters.full,
                counters.lost(Loss::Missed),
            ];
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum += number;
            }
        }
        for (name, sum) in EVENTS.into_iter().zip(sums) {
            tell(name, sum);
        }
    }

    /// The interfaces there are.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Nic> {
        self.all.iter().map_while(Once::get)
    }

    pub(crate) fn get(&self, id: InterfaceId) -> Option<&Nic> {
        self.all.get(usize::from(id.0))?.get()
    }

    /// The interface whose interrupts have this vector.
    pub(crate) fn interrupting(&self, vector: u8) -> Option<&Nic> {
        self.all().find(|one| one.vector.is(vector))
    }

    pub(crate) fn tap(&self) -> Option<&Tap> {
        self.tap.get()
    }

    /// The one resource of this kind, which `make` makes at first use.
    pub(crate) fn ring(&self, kind: Kind, make: impl FnOnce() -> ResourceId) -> ResourceId {
        let number = usize::from(kind == Kind::NetInterrupt);
        *self.rings[number].call_once(make)
    }
}

impl<M: Machine> Shared<M> {
    /// Memory for packets. It is the infrastructure's.
    pub fn packets(&self) -> &'static Pool {
        self.nics.pool.call_once(|| {
            let memory = self.memory.clone();
            let activity = ActivityId::INFRASTRUCTURE;
            let resource = self.destination(Kind::NetInterrupt, activity);
            let most = (memory.available() / PART_OF_MEMORY).clamp(64, MOST_FRAMES);
            Pool::new(most as u32, move || {
                let cookie = 0;
                let frame = memory.allocate(Owner {
                    resource,
                    activity,
                    cookie,
                });
                // A device may write it as long as there is the pool.
                frame.inspect(|frame| memory.pin(*frame)).ok()
            })
        })
    }

    /// The labels of what belongs together.
    pub fn labels(&self) -> &Labels {
        &self.network.labels
    }
}

impl fmt::Debug for Nics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}
