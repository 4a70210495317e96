//! What the resources need of the machine, as small traits: the kernel implements them on the
//! hardware, tests on a fake one.
//!
//! Key types: [`Machine`] (a cheap handle, cloned freely), [`PageTables`] (one address space's),
//! [`Registers`] (a thread's state in user mode), [`Exit`] (why user mode was left).

use core::fmt::Debug;

pub use vortex_toolkit::memory::Frame;

use crate::executable::Processor;

/// Bytes of a page and of a frame.
pub const PAGE_SIZE: u64 = 4096;

/// One past the last address that a user may have: 47 bits, less one page (as on Linux, so that
/// no system call instruction ends at a non-canonical address).
pub const USER_END: u64 = (1 << 47) - PAGE_SIZE;

/// What user mode may do with a page; reading goes without saying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// May write.
    pub write: bool,
    /// May execute.
    pub execute: bool,
}

/// A page that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The frame.
    pub frame: Frame,
    /// What user mode may do.
    pub access: Access,
    /// It has been used since the mark was last taken.
    pub accessed: bool,
    /// It has been written since it was mapped.
    pub dirty: bool,
}

/// One address space's page tables. Changed under the space's lock only; [`PageTables::Root`] is
/// what a processor runs on meanwhile.
pub trait PageTables: Send + 'static {
    /// What [`Machine::run`] takes. Stays usable as long as these tables live.
    type Root: Clone + Send + Sync + 'static;

    /// The handle to run on.
    fn root(&self) -> Self::Root;

    /// Maps `frame` at the page of `address` (below [`USER_END`]), which is not mapped. `frames`
    /// gives frames for tables. False, with nothing mapped, if it gave none.
    fn map(
        &mut self,
        address: u64,
        frame: Frame,
        access: Access,
        frames: &mut dyn FnMut() -> Option<Frame>,
    ) -> bool;

    /// Unmaps a page. Its frame must not be used otherwise before [`Self::flush`].
    fn unmap(&mut self, address: u64) -> Option<Mapped>;

    /// Changes what may be done with a page that is mapped; after taking rights away, flush.
    fn protect(&mut self, address: u64, access: Access) -> bool;

    /// What is mapped at the page of `address`.
    fn lookup(&self, address: u64) -> Option<Mapped>;

    /// Clears the accessed mark of a page, and says what it was.
    fn take_accessed(&mut self, address: u64) -> bool;

    /// The first mapped page at or above `address` and below `end`.
    fn next_mapped(&self, address: u64, end: u64) -> Option<(u64, Mapped)>;

    /// Has every processor forget translations of these pages that have changed.
    fn flush(&self, start: u64, pages: u64);

    /// Gives up to `limit` of the frames that tables are in to `free`, after all pages have been
    /// unmapped and nobody runs on these tables any more. True when none is left.
    fn release(&mut self, limit: usize, free: &mut dyn FnMut(Frame)) -> bool;
}

/// A thread's state in user mode.
pub trait Registers: Send + Sized + 'static {
    /// Of a program that begins: the calling convention's cleared state.
    fn new(entry: u64, stack: u64) -> Self;
    /// Of a thread that goes on where this one is (clone).
    fn fork(&mut self) -> Self;
    /// `rax` at a system call: its number.
    fn number(&self) -> u64;
    /// The arguments of a system call: rdi, rsi, rdx, r10, r8, r9.
    fn arguments(&self) -> [u64; 6];
    /// Sets `rax`.
    fn set_result(&mut self, value: u64);
    /// `rip`.
    fn instruction_pointer(&self) -> u64;
    /// `rsp`.
    fn stack_pointer(&self) -> u64;
    /// Sets `rsp`.
    fn set_stack_pointer(&mut self, value: u64);
    /// Goes back to the system call instruction just executed, so that it is executed again;
    /// `number` is the call's number.
    fn restart_call(&mut self, number: u64);
    /// The base of FS.
    fn fs_base(&self) -> u64;
    /// Sets the base of FS; false if the address is not a user's.
    fn set_fs_base(&mut self, base: u64) -> bool;
    /// The base of GS.
    fn gs_base(&self) -> u64;
    /// Sets the base of GS; false if the address is not a user's.
    fn set_gs_base(&mut self, base: u64) -> bool;
    /// The general registers, in the order of `struct sigcontext`: r8 to r15, rdi, rsi, rbp, rbx,
    /// rdx, rax, rcx, rsp, rip, eflags.
    fn general(&mut self) -> [u64; 18];
    /// Sets the general registers; what a user may not set (flags, addresses) is made harmless.
    fn set_general(&mut self, values: &[u64; 18]);
    /// The state of the floating-point and vector registers, as XSAVE or FXSAVE lays it out.
    fn floating_point(&mut self) -> &[u8];
    /// Sets that state from what a user wrote; made harmless, or false if it cannot be.
    fn set_floating_point(&mut self, state: &[u8]) -> bool;
}

/// Why user mode was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A `syscall` instruction; the instruction pointer is behind it.
    SystemCall,
    /// A page fault.
    PageFault {
        /// The address.
        address: u64,
        /// It was a write.
        write: bool,
        /// It was an instruction fetch.
        execute: bool,
    },
    /// Another exception, by its vector and error code.
    Exception {
        /// The vector, below 32.
        vector: u8,
        /// The error code, 0 without one.
        code: u64,
    },
    /// An interrupt, which has been handled.
    Interrupt,
    /// User mode was not entered: there was something to do first.
    NotEntered,
}

/// The machine. A handle: clones are the same machine.
pub trait Machine: Clone + Send + Sync + Debug + vortex_toolkit::memory::Frames + 'static {
    /// The processor under the toolkit.
    type Platform: vortex_toolkit::Platform;
    /// Page tables.
    type Tables: PageTables;
    /// A thread's state.
    type Registers: Registers;

    /// Fills a frame with zeros.
    fn zero_frame(&self, frame: Frame);
    /// Copies a frame.
    fn copy_frame(&self, from: Frame, to: Frame);
    /// Copies `length` bytes from one frame into another, each place given by frame and offset in it.
    fn copy_part(&self, from: (Frame, usize), to: (Frame, usize), length: usize);
    /// Reads from a frame, within it.
    fn read_frame(&self, frame: Frame, offset: usize, into: &mut [u8]);
    /// Writes into a frame, within it.
    fn write_frame(&self, frame: Frame, offset: usize, from: &[u8]);
    /// Reads four aligned bytes at once.
    fn load_u32(&self, frame: Frame, offset: usize) -> u32;
    /// Compares and exchanges four aligned bytes at once; what was there before.
    ///
    /// # Errors
    /// What was there, if it was not `current`.
    fn compare_exchange_u32(
        &self,
        frame: Frame,
        offset: usize,
        current: u32,
        new: u32,
    ) -> Result<u32, u32>;

    /// New page tables, with no user pages. `frames` gives frames for tables.
    fn new_tables(&self, frames: &mut dyn FnMut() -> Option<Frame>) -> Option<Self::Tables>;

    /// Runs a thread in user mode on this processor, until something happens. `may_enter` is asked
    /// last, when no interrupt can come between the answer and user mode.
    fn run(
        &self,
        root: &<Self::Tables as PageTables>::Root,
        registers: &mut Self::Registers,
        may_enter: &mut dyn FnMut() -> bool,
    ) -> Exit;

    /// This processor holds nothing of the thread's state, nor its tables, any longer: it may be
    /// run by another, or be dropped.
    fn leave(&self, registers: &mut Self::Registers);

    /// Asks for an interrupt on this processor at a time, in cycles of the platform's clock,
    /// besides the toolkit's own; `u64::MAX` for none.
    fn set_deadline(&self, at: u64);
    /// The processor that this is.
    fn here(&self) -> vortex_toolkit::ids::CoreId;
    /// Interrupts a processor, so that it leaves user mode or wakes up.
    fn interrupt(&self, core: vortex_toolkit::ids::CoreId);
    /// The platform's clock now, in cycles.
    fn now(&self) -> u64;
    /// When the kernel was entered, in cycles of the platform's clock.
    fn entered_at(&self) -> u64 {
        0
    }

    /// What programs are told of the processor.
    fn processor(&self) -> Processor {
        Processor::default()
    }

    /// A request of this vector's interrupt begins, and looks at the device after this: an interrupt
    /// from now on makes another request.
    fn interrupt_begins(&self, _vector: u8) {}

    /// The device that has interrupted by this vector has been seen to, and may do so again. One that
    /// interrupts by a message need not be told of.
    fn interrupt_seen_to(&self, _vector: u8) {}

    /// Cycles of the platform's clock in a second.
    fn hertz(&self) -> u64;
    /// Nanoseconds since 1970 when the clock was 0.
    fn epoch_ns(&self) -> u64;
    /// Random bytes, for what must not be guessed.
    fn random(&self, into: &mut [u8]);
    /// Writes to the console, as it is.
    fn write_console(&self, bytes: &[u8]);
    /// Reads from the console what there is; the number of bytes.
    fn read_console(&self, into: &mut [u8]) -> usize;
}
