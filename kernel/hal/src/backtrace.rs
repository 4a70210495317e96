//! The chain of calls that led to some point, by frame pointers.
//!
//! Key types: [`Backtrace`], an iterator over return addresses.
//!
//! Invariants: only memory of a known kernel stack is read, so walking a corrupt chain never
//! faults; each step goes up, so it ends.

use crate::stacks;

/// Deeper chains are cut off. Enough for a stack full of the smallest frames that are likely.
const MAX_DEPTH: usize = 2048;

/// The code addresses of a chain of calls, innermost first.
pub struct Backtrace {
    first: Option<u64>,
    frame_pointer: u64,
    depth: usize,
}

impl Backtrace {
    /// From the interrupted instruction at `rip` with its frame pointer `rbp`.
    #[must_use]
    pub fn from_registers(rip: u64, rbp: u64) -> Self {
        Self {
            first: Some(rip),
            frame_pointer: rbp,
            depth: 0,
        }
    }

    /// From a call to where no code is: the return address is still on top of the stack.
    #[must_use]
    pub fn from_wild_call(rsp: u64, rbp: u64) -> Self {
        let readable = rsp.is_multiple_of(8) && stacks::holds(rsp, 16);
        let caller = readable.then(|| read_pair(rsp)[0]);
        Self {
            first: caller,
            frame_pointer: rbp,
            depth: 0,
        }
    }

    /// From the caller of the function that calls this.
    #[inline(always)]
    #[must_use]
    pub fn from_here() -> Self {
        let frame_pointer: u64;
        // SAFETY: reads a register.
        unsafe {
            core::arch::asm!("mov {}, rbp", out(reg) frame_pointer, options(nomem, nostack));
        }
        Self {
            first: None,
            frame_pointer,
            depth: 0,
        }
    }

    /// One step along the chain: the return address at the frame pointer.
    fn step(&mut self) -> Option<u64> {
        let at = self.frame_pointer;
        if !at.is_multiple_of(8) || !stacks::holds(at, 16) {
            return None;
        }
        let [next, return_address] = read_pair(at);
        // The chain goes up; anything else ends it after this step.
        self.frame_pointer = if next > at { next } else { 0 };
        (return_address != 0).then_some(return_address)
    }
}

impl Iterator for Backtrace {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        self.step()
    }
}

/// Reads the saved frame pointer and the return address at `at`, which the caller has checked to
/// be 16 bytes of a mapped stack.
fn read_pair(at: u64) -> [u64; 2] {
    let pointer = core::ptr::with_exposed_provenance::<[u64; 2]>(at as usize);
    // SAFETY: `at` is aligned and both words are in a stack that stays mapped; whatever bytes are
    // there are valid integers. Volatile, since the compiler knows nothing of frames.
    unsafe { pointer.read_volatile() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wild_frame_pointer_ends_the_chain_at_the_first_step() {
        for wild in [0, 1, 0x1000, u64::MAX, u64::MAX - 15, crate::paging::STACKS] {
            let mut trace = Backtrace::from_registers(0x1234, wild);
            assert_eq!(trace.next(), Some(0x1234));
            assert_eq!(trace.next(), None);
        }
    }
}
