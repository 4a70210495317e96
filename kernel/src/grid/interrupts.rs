//! The Interrupt Resource (paper, section 3.3.2): interrupts become requests.
//!
//! A resource that operates a device registers for its interrupts ([`register`]). The low-level
//! handler does nothing but send it a request, by way of the core that was interrupted; who pays
//! for the rest is for the receiver to find out, until then it is the infrastructure. The handler's
//! own cycles are taken from whom it interrupted ([`vortex_toolkit::Platform::interrupt_cycles`]).
//!
//! A device that interrupts by its pin holds its line until it has been seen to: the line is masked
//! from the interrupt to then ([`seen_to`]).
//!
//! Invariants: the handler allocates nothing, and takes no lock but that of the I/O APICs, to mask a
//! line; of a device that is seen to by whatever request comes next, one request at most waits
//! ([`Waiting::One`], [`begins`]); an interrupt for which the core's inbox has no room is latched and
//! becomes a request later, so none is lost (two of one vector that wait at the same time are one, as in
//! the hardware).

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::Once;
use vortex_hal::cores::{self, MAX_CORES};
use vortex_hal::interrupts::{self, VectorError};
use vortex_hal::ioapic;
use vortex_queue::Marks;
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::{Platform, Request, System};

use super::{Processor, Shared, Wired};

/// The Interrupt Resource's name in the configuration.
const NAME: &str = "resource.interrupt";

/// What a resource wants to be told of an interrupt: the message for the vector.
pub(crate) type Describe<Y> = fn(u8) -> <Y as System>::Message;

/// How many requests of a vector may wait to be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// One for each interrupt.
    All,
    /// One: whoever executes it says so first ([`begins`]), and then sees to all that has come before.
    One,
}

/// What becomes of a vector's interrupts.
struct Route<Y: System> {
    waiting: Waiting,
    destination: ResourceId,
    source: ResourceId,
    describe: Describe<Y>,
}

/// One core's interrupts that wait to become requests.
struct Latch {
    /// A bit for each vector.
    vectors: [AtomicU64; 4],
    /// Whether there may be one: set after the bit, taken back before the bits are looked at.
    is_set: AtomicBool,
}

impl Latch {
    const fn new() -> Self {
        Self {
            vectors: [const { AtomicU64::new(0) }; 4],
            is_set: AtomicBool::new(false),
        }
    }
}

/// The interrupts of a system.
pub(super) struct Interrupts<Y: System> {
    /// By vector.
    routes: [Once<Route<Y>>; 256],
    /// By core of the grid.
    latches: [Latch; MAX_CORES],
}

/// For each vector the input of the I/O APICs that raises it, and 1; 0 for messages.
static INPUTS: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];

/// Vectors of [`Waiting::One`] of which a request is on its way.
static ON_THEIR_WAY: Marks = Marks::new();

/// Interrupts of [`Waiting::One`] that have come to a core.
struct Counts {
    came: AtomicU64,
    /// Those of them that have become requests.
    sent: AtomicU64,
}

/// By core; each is written in interrupts of that core alone.
static COUNTS: [Counts; MAX_CORES] = [const {
    Counts {
        came: AtomicU64::new(0),
        sent: AtomicU64::new(0),
    }
}; MAX_CORES];

/// One more of what this core alone writes.
fn count_up(one: &AtomicU64) {
    one.store(one.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// How often an interrupt had to be latched.
static LATCHED: AtomicU64 = AtomicU64::new(0);

/// How often an interrupt found no room and had to wait.
pub(crate) fn times_latched() -> u64 {
    LATCHED.load(Ordering::Relaxed)
}

/// Interrupts of [`Waiting::One`] that have come, and how many requests have come of them.
pub(crate) fn counted() -> (u64, u64) {
    let all = |count: fn(&Counts) -> &AtomicU64| {
        let each = COUNTS.iter().map(|one| count(one).load(Ordering::Relaxed));
        each.sum()
    };
    (all(|one| &one.came), all(|one| &one.sent))
}

/// Has the interrupts of a device become requests to `destination`. The device is to be told the
/// vector that is returned.
///
/// # Errors
/// When no vector is left.
pub(crate) fn register<Y: Wired>(
    shared: &Shared<Y>,
    destination: ResourceId,
    describe: Describe<Y>,
    waiting: Waiting,
) -> Result<u8, VectorError> {
    let vector = interrupts::allocate_vector(handle::<Y>)?;
    let source = shared.grid.resource_named(NAME);
    Y::wiring().interrupts.routes[usize::from(vector)].call_once(|| Route {
        waiting,
        destination,
        source: source.unwrap_or(ResourceId::OUTSIDE),
        describe,
    });
    Ok(vector)
}

/// This vector is raised by a line, at this input of the I/O APICs.
pub(crate) fn is_of_line(vector: u8, input: u32) {
    INPUTS[usize::from(vector)].store(input + 1, Ordering::Release);
}

/// A request of this vector is executed: what interrupts from now on makes another one.
pub(crate) fn begins(vector: u8) {
    ON_THEIR_WAY.take(vector);
}

/// The device that has interrupted by this vector has been seen to.
pub(crate) fn seen_to(vector: u8) {
    set_masked(vector, false);
}

/// Masks or unmasks the line that raises a vector, if that is what raises it.
fn set_masked(vector: u8, masked: bool) {
    let input = INPUTS[usize::from(vector)].load(Ordering::Acquire);
    if let Some(input) = input.checked_sub(1)
        && let Err(error) = ioapic::set_masked(input, masked)
    {
        log::error!("{error}");
    }
}

/// The low-level handler.
fn handle<Y: Wired>(vector: u8) {
    set_masked(vector, true);
    let wiring = Y::wiring();
    if let Some(shared) = wiring.shared.get() {
        let platform = Processor::new(&shared.places);
        wiring.interrupts.come(shared, &platform, vector);
    }
}

impl<Y: System> Interrupts<Y> {
    /// None registered.
    pub(super) const fn new() -> Self {
        Self {
            routes: [const { Once::new() }; 256],
            latches: [const { Latch::new() }; MAX_CORES],
        }
    }
}

impl<Y: Wired> Interrupts<Y> {
    /// An interrupt has come: a request, unless one that will do for it has not begun yet.
    fn come(&self, shared: &Shared<Y>, platform: &Processor, vector: u8) {
        let route = self.routes[usize::from(vector)].get();
        if route.is_some_and(|route| route.waiting == Waiting::One) {
            let counts = &COUNTS[cores::current_index().as_usize()];
            count_up(&counts.came);
            if !ON_THEIR_WAY.set(vector) {
                return;
            }
            count_up(&counts.sent);
        }
        self.submit(shared, platform, vector);
    }

    /// Makes a request of an interrupt; latches it where that is not possible now.
    fn submit(&self, shared: &Shared<Y>, platform: &Processor, vector: u8) {
        let Some(route) = self.routes[usize::from(vector)].get() else {
            return;
        };
        let message = (route.describe)(vector);
        let mut request = Request::new(route.destination, ActivityId::INFRASTRUCTURE, message);
        request.head.source = route.source;
        if shared.grid.submit(platform, request).is_err() {
            let core = platform.core();
            let (word, bit) = (usize::from(vector) / 64, vector % 64);
            let latch = &self.latches[core.index()];
            latch.vectors[word].fetch_or(1 << bit, Ordering::Relaxed);
            latch.is_set.store(true, Ordering::Release);
            LATCHED.fetch_add(1, Ordering::Relaxed);
            // The core may be another one, which has just looked at its latch.
            platform.wake(core);
        }
    }

    /// Makes requests of what is latched for this core of the grid; on that core, before every
    /// step.
    #[inline]
    pub(super) fn submit_latched(&self, platform: &Processor) {
        let latch = &self.latches[platform.core().index()];
        if latch.is_set.load(Ordering::Relaxed) {
            self.submit_all(platform, latch);
        }
    }

    #[cold]
    fn submit_all(&self, platform: &Processor, latch: &Latch) {
        let Some(shared) = Y::wiring().shared.get() else {
            return;
        };
        latch.is_set.swap(false, Ordering::Acquire);
        for (word, first) in latch.vectors.iter().zip((0_u8..).step_by(64)) {
            let mut bits = word.swap(0, Ordering::Acquire);
            while bits != 0 {
                self.submit(shared, platform, first + bits.trailing_zeros() as u8);
                bits &= bits - 1;
            }
        }
    }
}
