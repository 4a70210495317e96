//! Kernel stacks: one for each core to run on and one for each trap that switches stacks, every
//! one above an unmapped guard page.
//!
//! Key types: [`Stack`], [`Purpose`]. An address alone tells which core's stack for which purpose
//! it is in: core `c`'s stack for purpose `p` is in slot `c × 4 + p` of the stacks' region.
//!
//! Invariant: in every slot the stack is at the top and all below it is never mapped.

use core::sync::atomic::{AtomicBool, Ordering};

use spin::Once;
use vortex_kernel_base::address::FRAME_SIZE;

use crate::cores::{CoreIndex, MAX_CORES};
use crate::gdt::IstStack;
use crate::paging::{self, Access, MapError};

/// What a stack is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What the core runs on.
    Main,
    /// A trap that switches stacks.
    Trap(IstStack),
}

impl Purpose {
    /// All of them, in the order of their slots.
    const ALL: [Self; 4] = [
        Self::Main,
        Self::Trap(IstStack::DoubleFault),
        Self::Trap(IstStack::NonMaskable),
        Self::Trap(IstStack::MachineCheck),
    ];

    /// The stack's size in bytes.
    const fn size(self) -> u64 {
        match self {
            Self::Main => 64 << 10,
            Self::Trap(_) => 16 << 10,
        }
    }

    const fn slot(self) -> u64 {
        match self {
            Self::Main => 0,
            Self::Trap(stack) => 1 + stack as u64,
        }
    }
}

/// The address space of one slot: the largest stack and at least as much unmapped below it.
const SLOT_BYTES: u64 = 128 << 10;
/// The slots of one core.
const SLOTS: u64 = Purpose::ALL.len() as u64;
/// The distance from one core's stacks to the next one's.
pub(crate) const CORE_STRIDE: u64 = SLOT_BYTES * SLOTS;
/// Where the boot core's main stack ends; core `c`'s ends `c ×` [`CORE_STRIDE`] above it.
pub(crate) const FIRST_MAIN_TOP: u64 = paging::STACKS + SLOT_BYTES;

/// A kernel stack's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Whose it is.
    pub core: CoreIndex,
    /// What it is for.
    pub purpose: Purpose,
}

/// Which cores' stacks are mapped.
static MAPPED: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];

impl Stack {
    /// All stacks of a core.
    pub fn all_of(core: CoreIndex) -> impl Iterator<Item = Self> {
        Purpose::ALL
            .into_iter()
            .map(move |purpose| Self { core, purpose })
    }

    /// The stack whose slot `address` is in: in the stack itself or in the guard below it.
    #[must_use]
    pub fn containing(address: u64) -> Option<Self> {
        let slot = address.checked_sub(paging::STACKS)? / SLOT_BYTES;
        let core = CoreIndex::new(usize::try_from(slot / SLOTS).ok()?)?;
        let purpose = Purpose::ALL[(slot % SLOTS) as usize];
        MAPPED[core.as_usize()]
            .load(Ordering::Acquire)
            .then_some(Self { core, purpose })
    }

    /// One past its highest address.
    #[must_use]
    pub fn top(&self) -> u64 {
        let core = self.core.as_usize() as u64;
        FIRST_MAIN_TOP + core * CORE_STRIDE + self.purpose.slot() * SLOT_BYTES
    }

    /// Its lowest address; the page below is the guard.
    #[must_use]
    pub fn bottom(&self) -> u64 {
        self.top() - self.purpose.size()
    }

    /// Whether `address` is in the unmapped part below it, where only an overflow gets to.
    #[must_use]
    pub fn is_guard(&self, address: u64) -> bool {
        (self.top() - SLOT_BYTES..self.bottom()).contains(&address)
    }

    /// Whether all `length` bytes from `address` on are in it.
    #[must_use]
    pub fn holds(&self, address: u64, length: u64) -> bool {
        self.bottom() <= address
            && address
                .checked_add(length)
                .is_some_and(|end| end <= self.top())
    }
}

/// The boot loader's stack, from its lowest address to its end.
static EARLY: Once<core::ops::Range<u64>> = Once::new();

/// Tells where the stack is that the boot loader made, for backtraces before there are others.
/// It is gone when the kernel switches to its own page tables.
pub fn set_early(bottom: u64, length: u64) {
    EARLY.call_once(|| bottom..bottom.saturating_add(length));
}

/// Whether all `length` bytes from `address` on can be read as part of one stack.
#[must_use]
pub fn holds(address: u64, length: u64) -> bool {
    let own = Stack::containing(address).is_some_and(|stack| stack.holds(address, length));
    let early = || {
        let stack = EARLY.get().filter(|_| !paging::is_own());
        stack.is_some_and(|stack| {
            stack.start <= address && address.saturating_add(length) <= stack.end
        })
    };
    own || early()
}

/// Maps all stacks of a core; once for each.
///
/// # Errors
/// When memory runs out.
pub fn create(core: CoreIndex) -> Result<(), MapError> {
    for stack in Stack::all_of(core) {
        let pages = stack.purpose.size() / FRAME_SIZE;
        paging::map_fresh(stack.bottom(), pages, Access::Write)?;
    }
    MAPPED[core.as_usize()].store(true, Ordering::Release);
    Ok(())
}

/// The ends of a core's stacks for traps, for its TSS.
#[must_use]
pub fn trap_stack_tops(core: CoreIndex) -> [u64; 3] {
    IstStack::ALL.map(|stack| {
        let purpose = Purpose::Trap(stack);
        Stack { core, purpose }.top()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(core: usize, purpose: Purpose) -> Stack {
        let core = CoreIndex::new(core).expect("there can be such a core");
        Stack { core, purpose }
    }

    #[test]
    fn an_address_tells_core_and_purpose() {
        for core in [0, 1, 255] {
            MAPPED[core].store(true, Ordering::Release);
            for purpose in Purpose::ALL {
                let stack = stack(core, purpose);
                assert_eq!(Stack::containing(stack.bottom()), Some(stack));
                assert_eq!(Stack::containing(stack.top() - 1), Some(stack));
                assert_eq!(Stack::containing(stack.bottom() - 1), Some(stack));
                assert!(stack.is_guard(stack.bottom() - 1));
                assert!(!stack.is_guard(stack.bottom()));
                assert!(stack.holds(stack.top() - 16, 16));
                assert!(!stack.holds(stack.top() - 15, 16));
                assert!(!stack.holds(u64::MAX, 16));
            }
        }
    }

    #[test]
    fn other_addresses_are_in_no_stack() {
        assert_eq!(Stack::containing(0), None);
        assert_eq!(Stack::containing(paging::STACKS - 1), None);
        assert_eq!(Stack::containing(u64::MAX), None);
        // A core without stacks.
        assert_eq!(Stack::containing(stack(77, Purpose::Main).bottom()), None);
    }

    #[test]
    fn every_slot_has_a_guard_page() {
        for purpose in Purpose::ALL {
            assert!(purpose.size() + FRAME_SIZE <= SLOT_BYTES);
        }
    }
}
