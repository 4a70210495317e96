//! One interface: its driver, and who waits for room in its rings.
//!
//! Key types: [`Nic`], [`InterfaceId`].
//!
//! A lock is held while the driver is called. Where the device write and the device interrupt
//! resource run on one core (paper, section 4.4) nobody ever waits for it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vortex_toolkit::ids::ResourceId;

use super::buffer::Pool;
use super::interface::{
    Buffer, Counters, Host, Interface, Notice, Outgoing, Packet, Properties, Refusal,
};
use super::limit::Limit;
use super::pace::Pace;
use crate::lock::Lock;
use crate::machine::Machine;
use crate::vector::Vector;

/// An interface's number, in the order in which they were attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u16);

/// About the most packets that one request takes out of an interface: others get a turn between.
pub(super) const BUDGET: usize = 64;
/// How often an interface is looked at that does not interrupt, in nanoseconds.
const POLL_NS: u64 = 1_000_000;
/// How often one for whose ring somebody waits: the device interrupts when it has sent half of what it has,
/// if that is earlier.
const CONGESTED_NS: u64 = 3_000_000;

/// An interface.
pub(crate) struct Nic {
    pub(crate) id: InterfaceId,
    pub(crate) name: &'static str,
    /// Its interrupts.
    pub(crate) vector: Vector,
    /// When it is to be looked at, in nanoseconds; `u64::MAX` for never.
    due_ns: AtomicU64,
    /// A request to look at it is on its way: another one would find nothing to do.
    is_awaited: AtomicBool,
    /// Interrupts that were seen to.
    interrupts: AtomicU64,
    state: Lock<State>,
}

struct State {
    interface: Box<dyn Interface>,
    limit: Limit,
    /// What its link carries, if that is less than what it takes.
    pace: Option<Pace>,
    /// Times that it refused a frame.
    held: u64,
    /// Something has come back since a frame was refused.
    has_room: bool,
    /// Resources that were refused and may be suspended.
    refused: Vec<Refused>,
    /// When to look at it although it has not interrupted, or because it may not; `u64::MAX` for never.
    poll_ns: u64,
}

/// A resource whose last frame on a core was refused.
#[derive(Clone, Copy)]
struct Refused {
    resource: ResourceId,
    core: usize,
}

impl Refused {
    fn is_of(&self, resource: ResourceId, core: usize) -> bool {
        self.resource == resource && self.core == core
    }
}

/// What came of an insertion.
pub(crate) struct Inserted {
    /// If it was not taken: the frame, and why.
    pub(crate) result: Result<(), (Box<Outgoing>, Refusal)>,
    /// When to service the interface, in nanoseconds.
    pub(crate) deadline: Option<u64>,
}

/// What came of a service.
#[derive(Default)]
pub(crate) struct Serviced {
    /// What was received.
    pub(crate) packets: Vec<Packet>,
    pub(crate) notices: Vec<Notice>,
    /// Frames that the device is done with.
    #[expect(
        clippy::vec_box,
        reason = "they come in boxes, and are not copied out of them"
    )]
    pub(crate) sent: Vec<Box<Outgoing>>,
    /// Resources that may go on.
    pub(crate) resume: Vec<ResourceId>,
    /// There is more to take.
    pub(crate) has_more: bool,
    /// When to come again, in nanoseconds.
    pub(crate) deadline: Option<u64>,
}

impl Nic {
    pub(crate) fn new(id: InterfaceId, interface: Box<dyn Interface>) -> Self {
        Self {
            id,
            name: interface.name(),
            vector: Vector::new(),
            due_ns: AtomicU64::new(u64::MAX),
            is_awaited: AtomicBool::new(false),
            interrupts: AtomicU64::new(0),
            state: Lock::new(State {
                interface,
                limit: Limit::default(),
                pace: None,
                held: 0,
                has_room: true,
                refused: Vec::new(),
                poll_ns: u64::MAX,
            }),
        }
    }

    /// When it is to be looked at, in nanoseconds; `u64::MAX` for never.
    pub(crate) fn due_ns(&self) -> u64 {
        self.due_ns.load(Ordering::Relaxed)
    }

    /// Whether a request to look at it has to be sent, which is then on its way until
    /// [`Self::service`]. Two cores may both be told so: then it is looked at twice.
    pub(crate) fn is_to_be_sent_for(&self) -> bool {
        let is_awaited = self.is_awaited.load(Ordering::Relaxed);
        if !is_awaited {
            self.is_awaited.store(true, Ordering::Relaxed);
        }
        !is_awaited
    }

    /// Interrupts that were seen to.
    pub(crate) fn interrupts(&self) -> u64 {
        self.interrupts.load(Ordering::Relaxed)
    }

    pub(crate) fn properties(&self) -> Properties {
        self.state.lock().interface.properties()
    }

    pub(crate) fn has_link(&self) -> bool {
        self.state.lock().interface.has_link()
    }

    /// Its link carries no more than so many bits a second, more than none.
    pub(crate) fn set_rate(&self, bits_per_second: u64) {
        self.state.lock().pace = Some(Pace::new(bits_per_second));
    }

    pub(crate) fn counters(&self) -> Counters {
        let state = self.state.lock();
        let mut counters = state.interface.counters();
        counters.full += state.held;
        counters
    }

    /// Gives the device a frame for `resource`. If it was not taken for now, `resource` will be resumed.
    pub(crate) fn insert(
        &self,
        frame: Box<Outgoing>,
        resource: ResourceId,
        core: usize,
        now_ns: u64,
    ) -> Inserted {
        let mut state = self.state.lock();
        let state = &mut *state;
        let (bytes, on_link) = (frame.length() as u64, frame.length_on_link() as u64);
        let result = if state.paces_at(now_ns) {
            state.held += 1;
            Err((frame, Refusal::Full))
        } else if state.limit.admits(bytes) {
            state.interface.transmit(core, frame, now_ns)
        } else {
            state.held += 1;
            state.interface.expect_room(now_ns);
            Err((frame, Refusal::Full))
        };
        if result.is_ok() {
            state.limit.give(bytes);
            if let Some(pace) = &mut state.pace {
                pace.give(on_link, now_ns);
            }
        }
        if !state.refused.is_empty() {
            state.refused.retain(|one| !one.is_of(resource, core));
        }
        if let Err((_, Refusal::Full)) = &result {
            state.has_room = false;
            state.refused.push(Refused { resource, core });
        }
        let poll_ns = self.poll_ns(!state.refused.is_empty(), now_ns);
        state.poll_ns = state.poll_ns.min(poll_ns);
        let deadline = self.deadline(state, now_ns);
        Inserted { result, deadline }
    }

    /// Takes what the device has to say, and lets it interrupt when that is all; `interrupts` of its have
    /// led to that.
    pub(crate) fn service<M: Machine>(
        &self,
        machine: &M,
        pool: &'static Pool,
        (now_ns, interrupts): (u64, u64),
    ) -> Serviced {
        let mut state = self.state.lock();
        let state = &mut *state;
        // Written under the lock alone.
        let before = self.interrupts.load(Ordering::Relaxed);
        self.interrupts
            .store(before + interrupts, Ordering::Relaxed);
        // Under the lock: who finds that it is to be looked at again has not been seen to here.
        self.is_awaited.store(false, Ordering::Relaxed);
        let mut taker = Taker {
            machine,
            pool,
            taken: Serviced::default(),
        };
        let has_more = state.interface.service(now_ns, BUDGET, &mut taker);
        let mut serviced = taker.taken;
        // While frames wait for the ring, what is received may as well: it is looked at soon, much at a
        // time, and does not interrupt.
        let is_congested = !state.refused.is_empty();
        state.poll_ns = self.poll_ns(is_congested, now_ns);
        serviced.has_more = has_more || !is_congested && state.interface.arm();
        let sent = serviced.sent.iter().map(|frame| frame.length() as u64);
        state.limit.take(sent.sum());
        state.limit.looked(now_ns);
        let is_new = |notice: &Notice| matches!(notice, Notice::Ready | Notice::Gone);
        state.has_room |= !serviced.sent.is_empty() || serviced.notices.iter().any(is_new);
        state.has_room |= state.pace.is_some();
        if state.has_room && !state.paces_at(now_ns) && !state.refused.is_empty() {
            // One that was refused just now, and is not suspended yet, tries once more before it is.
            let all = state.refused.drain(..).map(|one| one.resource);
            serviced.resume.extend(all);
        }
        serviced.deadline = self.deadline(state, now_ns);
        serviced
    }

    /// When to look at it if it does not interrupt.
    fn poll_ns(&self, is_congested: bool, now_ns: u64) -> u64 {
        if self.vector.is_polled() {
            now_ns + POLL_NS
        } else if is_congested {
            now_ns + CONGESTED_NS
        } else {
            u64::MAX
        }
    }

    /// When to look at it, and notes it down.
    fn deadline(&self, state: &State, now_ns: u64) -> Option<u64> {
        let poll = Some(state.poll_ns).filter(|at| *at != u64::MAX);
        let own = state.interface.deadline();
        let pace = state.pace.filter(|_| !state.refused.is_empty());
        let pace = pace.map(|pace| pace.next_ns()).filter(|at| *at > now_ns);
        let deadline = own.into_iter().chain(poll).chain(pace).min();
        self.due_ns
            .store(deadline.unwrap_or(u64::MAX), Ordering::Relaxed);
        deadline
    }
}

impl State {
    /// Whether the link has enough for now.
    fn paces_at(&self, now_ns: u64) -> bool {
        self.pace.is_some_and(|pace| pace.next_ns() > now_ns)
    }
}

/// Takes what a driver has.
struct Taker<'a, M> {
    machine: &'a M,
    pool: &'static Pool,
    taken: Serviced,
}

impl<M: Machine> Host for Taker<'_, M> {
    fn buffer(&mut self) -> Option<Buffer> {
        self.pool.take()
    }

    fn buffers(&mut self, wanted: usize, give: &mut dyn FnMut(Buffer)) {
        self.pool.take_many(wanted, give);
    }

    fn peek(&self, buffer: &Buffer, at: usize, into: &mut [u8]) {
        self.machine
            .read_frame(buffer.frame(), buffer.offset() + at, into);
    }

    fn received(&mut self, _queue: usize, packet: Packet) {
        self.taken.packets.push(packet);
    }

    fn sent(&mut self, frame: Box<Outgoing>) {
        self.taken.sent.push(frame);
    }

    fn notice(&mut self, notice: Notice) {
        self.taken.notices.push(notice);
    }
}

impl fmt::Debug for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Nic");
        all.field("id", &self.id).field("name", &self.name);
        all.finish_non_exhaustive()
    }
}
