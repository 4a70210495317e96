//! The cores and the data each has of its own, found through the GS base.
//!
//! Key types: [`Core`] (one per core, in the static [`all`]), [`CoreIndex`].
//!
//! Invariants: core 0 is the one the firmware started; indices are dense; a core's entry is
//! reached by GS from the first instructions it runs in the kernel ([`install`]), so [`current`]
//! works everywhere, traps and panics included.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The most cores there can be: every 8-bit APIC ID but the broadcast one, and one more.
pub const MAX_CORES: usize = 256;

/// Which core, counted from 0: a dense number of ours, not the APIC ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreIndex(u32);

impl CoreIndex {
    /// The core the firmware started.
    pub const BOOT: Self = Self(0);

    /// The core with that number, when it is below [`MAX_CORES`].
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        (index < MAX_CORES).then_some(Self(index as u32))
    }

    /// As an index into an array with an element for each core.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl core::fmt::Display for CoreIndex {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What belongs to one core. Other cores may read it; all of it is atomic.
#[repr(C, align(128))]
pub struct Core {
    /// At offset 0, where `gs:[0]` finds it.
    index: AtomicU32,
    /// Its own address, where `gs:[..]` finds it.
    address: AtomicUsize,
    /// The local APIC's ID, by which other cores address interrupts to this one.
    apic_id: AtomicU32,
    /// Set by the core itself once it can take interrupts.
    online: AtomicBool,
    /// One bit for each lock level held, see [`crate::sync`].
    pub(crate) held_levels: AtomicU32,
    /// See [`crate::wakeup`].
    pub(crate) wakeup: crate::wakeup::State,
    /// The last request this core has carried out, see [`crate::shootdown`].
    pub(crate) flushed: AtomicU64,
    /// Set by the core itself when it has stopped for good, see [`crate::stop`].
    pub(crate) stopped: AtomicBool,
    /// See [`crate::timer`].
    pub(crate) timer: crate::timer::State,
    /// Whose tables are loaded, see [`crate::address_space`].
    pub(crate) space: crate::address_space::LoadedRoot,
    /// See [`crate::user`].
    pub(crate) user: crate::user::State,
    /// See [`crate::interrupts::cycles`].
    pub(crate) interrupt_cycles: AtomicU64,
}

/// Where in a [`Core`] assembly finds the APIC ID.
pub(crate) const APIC_ID_OFFSET: usize = core::mem::offset_of!(Core, apic_id);

impl Core {
    const fn new() -> Self {
        Self {
            index: AtomicU32::new(0),
            address: AtomicUsize::new(0),
            apic_id: AtomicU32::new(0),
            online: AtomicBool::new(false),
            held_levels: AtomicU32::new(0),
            wakeup: crate::wakeup::State::new(),
            flushed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            timer: crate::timer::State::new(),
            space: AtomicU64::new(0),
            user: crate::user::State::new(),
            interrupt_cycles: AtomicU64::new(0),
        }
    }

    /// Which one this is.
    #[must_use]
    pub fn index(&self) -> CoreIndex {
        CoreIndex(self.index.load(Ordering::Relaxed))
    }

    /// The ID of its local APIC.
    #[must_use]
    pub fn apic_id(&self) -> u32 {
        self.apic_id.load(Ordering::Relaxed)
    }

    /// Whether it has come up and takes interrupts.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// Tells the others that this core takes interrupts.
    pub fn set_online(&self) {
        self.online.store(true, Ordering::Release);
    }
}

pub(crate) static CORES: [Core; MAX_CORES] = [const { Core::new() }; MAX_CORES];

/// How many of [`CORES`] the machine has.
pub(crate) static COUNT: AtomicUsize = AtomicUsize::new(1);

/// The machine's cores, in the order of their indices, online or not.
#[must_use]
pub fn all() -> &'static [Core] {
    &CORES[..COUNT.load(Ordering::Acquire)]
}

/// Those of [`all`] that have come up.
pub fn online() -> impl Iterator<Item = &'static Core> {
    all().iter().filter(|core| core.is_online())
}

/// The cores of [`online`] but for the one this runs on.
pub fn online_others() -> impl Iterator<Item = &'static Core> {
    let me = current_index();
    online().filter(move |core| core.index() != me)
}

/// Enters the APIC IDs of the machine's cores, the boot core's first; called once, before any
/// other core is started. IDs beyond [`MAX_CORES`] are left out; returns how many were taken.
pub fn enumerate(apic_ids: impl IntoIterator<Item = u32>) -> usize {
    let mut count = 0;
    for (index, (core, apic_id)) in CORES.iter().zip(apic_ids).enumerate() {
        core.index.store(index as u32, Ordering::Relaxed);
        core.apic_id.store(apic_id, Ordering::Relaxed);
        count = index + 1;
    }
    COUNT.store(count.max(1), Ordering::Release);
    count.max(1)
}

/// The core with that index.
#[must_use]
pub fn get(index: CoreIndex) -> &'static Core {
    &CORES[index.as_usize()]
}

/// The core this runs on.
#[cfg(target_os = "none")]
#[must_use]
pub fn current() -> &'static Core {
    let core: *const Core;
    // SAFETY: `install` has pointed GS at this core's `Core`, which has its own address there.
    unsafe {
        core::arch::asm!(
            "mov {0}, gs:[{1}]",
            out(reg) core,
            const core::mem::offset_of!(Core, address),
            options(nostack, readonly, preserves_flags)
        );
    }
    // SAFETY: the address is that of an element of `CORES`.
    unsafe { &*core }
}

/// The core this runs on.
#[cfg(not(target_os = "none"))]
#[must_use]
pub fn current() -> &'static Core {
    get(current_index())
}

/// The index of the core this runs on.
#[cfg(target_os = "none")]
#[must_use]
pub fn current_index() -> CoreIndex {
    let index: u32;
    // SAFETY: `install` has pointed GS at this core's `Core`, whose first field is the index.
    unsafe {
        core::arch::asm!(
            "mov {0:e}, gs:[0]",
            out(reg) index,
            options(nostack, readonly, preserves_flags)
        );
    }
    CoreIndex(index)
}

/// On the host every thread counts as a core of its own.
#[cfg(not(target_os = "none"))]
#[must_use]
pub fn current_index() -> CoreIndex {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::thread_local! {
        static INDEX: u32 = NEXT.fetch_add(1, Ordering::Relaxed) % MAX_CORES as u32;
    }
    CoreIndex(INDEX.with(|index| *index))
}

/// Points this core's GS base at its [`Core`]: the first thing a core does in Rust.
pub fn install(index: CoreIndex) {
    let core = get(index);
    core.index.store(index.0, Ordering::Relaxed);
    let address = core::ptr::from_ref(core).expose_provenance();
    core.address.store(address, Ordering::Relaxed);
    x86_64::registers::model_specific::GsBase::write(x86_64::VirtAddr::from_ptr(core));
}
