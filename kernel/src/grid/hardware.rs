//! The machine as the resources see it: `vortex_resources::machine` on the hardware layer.
//!
//! Key types: [`Hardware`] (the machine: a handle without contents), [`Tables`], [`Registers`].
//! Everything is handed on; what is decided here is how time, wake-ups and frames of the two sides
//! fit together.

use vortex_hal::address_space::{self, AddressSpace, Root};
use vortex_hal::traps::Exception;
use vortex_hal::user;
use vortex_hal::{clock, cores, cpu, frames, logging, random, timer, user_frames, wakeup};
use vortex_kernel_base::address::Frame as Physical;
use vortex_resources::machine::{self, Access, Exit, Machine, Mapped, PageTables};
use vortex_toolkit::ids::CoreId;
use vortex_toolkit::memory::{Frame, Frames};

use super::{Places, Processor, Wired, interrupts, platform};
use crate::processes::System;

/// Where the cores of the grid are, once it runs.
fn places() -> Option<&'static Places> {
    let wiring = System::wiring();
    wiring.shared.get().map(|shared| &shared.places)
}

/// The machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hardware;

/// A frame of the resources as one of the machine.
fn physical(frame: Frame) -> Physical {
    Physical::new(frame.0.into())
}

/// A frame of the machine as one of the resources; `None` above 16 TiB.
fn numbered(frame: Physical) -> Option<Frame> {
    u32::try_from(frame.number()).ok().map(Frame)
}

impl Frames for Hardware {
    fn take(&self) -> Option<Frame> {
        let frame = user_frames::allocate()?;
        let number = numbered(frame);
        if number.is_none() {
            user_frames::free(frame);
        }
        number
    }

    fn give(&self, frame: Frame) {
        user_frames::free(physical(frame));
    }

    fn limit(&self) -> usize {
        user_frames::limit()
    }

    fn available(&self) -> usize {
        frames::statistics().map_or(0, |statistics| statistics.free as usize)
    }
}

fn mapped(found: address_space::Mapped) -> Option<Mapped> {
    Some(Mapped {
        frame: numbered(found.frame)?,
        access: Access {
            write: found.access.write,
            execute: found.access.execute,
        },
        accessed: found.accessed,
        dirty: found.dirty,
    })
}

const fn access(access: Access) -> address_space::Access {
    address_space::Access {
        write: access.write,
        execute: access.execute,
    }
}

/// One address space's page tables.
pub(crate) struct Tables(AddressSpace);

impl PageTables for Tables {
    type Root = Root;

    fn root(&self) -> Root {
        self.0.root()
    }

    fn map(
        &mut self,
        address: u64,
        frame: Frame,
        allowed: Access,
        frames: &mut dyn FnMut() -> Option<Frame>,
    ) -> bool {
        let mut frames = || frames().map(physical);
        let result = self
            .0
            .map(address, physical(frame), access(allowed), &mut frames);
        result.is_ok()
    }

    fn unmap(&mut self, address: u64) -> Option<Mapped> {
        self.0.unmap(address).and_then(mapped)
    }

    fn protect(&mut self, address: u64, allowed: Access) -> bool {
        self.0.protect(address, access(allowed))
    }

    fn lookup(&self, address: u64) -> Option<Mapped> {
        self.0.lookup(address).and_then(mapped)
    }

    fn take_accessed(&mut self, address: u64) -> bool {
        self.0.take_accessed(address)
    }

    fn next_mapped(&self, address: u64, end: u64) -> Option<(u64, Mapped)> {
        let (address, found) = self.0.next_mapped(address, end)?;
        Some((address, mapped(found)?))
    }

    fn flush(&self, start: u64, pages: u64) {
        self.0.flush(start, pages);
    }

    fn release(&mut self, limit: usize, free: &mut dyn FnMut(Frame)) -> bool {
        self.0.release(limit, &mut |frame| {
            if let Some(frame) = numbered(frame) {
                free(frame);
            }
        })
    }
}

/// A thread's state in user mode.
pub(crate) struct Registers(user::Registers);

impl machine::Registers for Registers {
    fn new(entry: u64, stack: u64) -> Self {
        Self(user::Registers::new(entry, stack))
    }

    fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    #[inline]
    fn number(&self) -> u64 {
        self.0.number()
    }

    #[inline]
    fn arguments(&self) -> [u64; 6] {
        self.0.arguments()
    }

    #[inline]
    fn set_result(&mut self, value: u64) {
        self.0.set_result(value);
    }

    fn instruction_pointer(&self) -> u64 {
        self.0.instruction_pointer()
    }

    fn stack_pointer(&self) -> u64 {
        self.0.stack_pointer()
    }

    fn set_stack_pointer(&mut self, value: u64) {
        self.0.set_stack_pointer(value);
    }

    fn restart_call(&mut self, number: u64) {
        self.0.restart_call(number);
    }

    fn fs_base(&self) -> u64 {
        self.0.fs_base()
    }

    fn set_fs_base(&mut self, base: u64) -> bool {
        self.0.set_fs_base(base)
    }

    fn gs_base(&self) -> u64 {
        self.0.gs_base()
    }

    fn set_gs_base(&mut self, base: u64) -> bool {
        self.0.set_gs_base(base)
    }

    fn general(&mut self) -> [u64; 18] {
        self.0.general()
    }

    fn set_general(&mut self, values: &[u64; 18]) {
        self.0.set_general(values);
    }

    fn floating_point(&mut self) -> &[u8] {
        self.0.floating_point()
    }

    fn set_floating_point(&mut self, state: &[u8]) -> bool {
        self.0.set_floating_point(state)
    }
}

/// Bits of a page fault's error code (Intel SDM volume 3, 4.7).
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const FETCH: u64 = 1 << 4;

/// General protection (Intel SDM volume 3, 6.15).
const GENERAL_PROTECTION: u8 = 13;

/// An exception in user mode.
fn exit(exception: &Exception) -> Exit {
    let code = exception.error_code();
    match exception.address() {
        // The processor's own access on the program's behalf, as IRET's to the stack under SMAP in
        // an emulator: no mapping makes it right.
        Some(_) if code & USER == 0 => Exit::Exception {
            vector: GENERAL_PROTECTION,
            code: 0,
        },
        Some(address) => Exit::PageFault {
            address,
            write: code & WRITE != 0,
            execute: code & FETCH != 0,
        },
        None => Exit::Exception {
            vector: exception.vector(),
            code,
        },
    }
}

impl Machine for Hardware {
    type Platform = Processor;
    type Tables = Tables;
    type Registers = Registers;

    fn interrupt_begins(&self, vector: u8) {
        interrupts::begins(vector);
    }

    fn interrupt_seen_to(&self, vector: u8) {
        interrupts::seen_to(vector);
    }

    fn zero_frame(&self, frame: Frame) {
        user_frames::zero(physical(frame));
    }

    fn copy_frame(&self, from: Frame, to: Frame) {
        user_frames::copy(physical(from), physical(to));
    }

    fn copy_part(&self, from: (Frame, usize), to: (Frame, usize), length: usize) {
        let (from, to) = ((physical(from.0), from.1), (physical(to.0), to.1));
        user_frames::copy_part(from, to, length);
    }

    fn read_frame(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        user_frames::read(physical(frame), offset, into);
    }

    fn write_frame(&self, frame: Frame, offset: usize, from: &[u8]) {
        user_frames::write(physical(frame), offset, from);
    }

    fn load_u32(&self, frame: Frame, offset: usize) -> u32 {
        user_frames::load_u32(physical(frame), offset)
    }

    fn compare_exchange_u32(
        &self,
        frame: Frame,
        offset: usize,
        current: u32,
        new: u32,
    ) -> Result<u32, u32> {
        user_frames::compare_exchange_u32(physical(frame), offset, current, new)
    }

    fn new_tables(&self, frames: &mut dyn FnMut() -> Option<Frame>) -> Option<Tables> {
        AddressSpace::new(&mut || frames().map(physical)).map(Tables)
    }

    #[inline]
    fn run(
        &self,
        root: &Root,
        registers: &mut Registers,
        may_enter: &mut dyn FnMut() -> bool,
    ) -> Exit {
        wakeup::set_interruptible(true);
        // A deadline that came since the caller set it has been told to nobody yet.
        let mut is_late = false;
        // A wake-up that has come already is taken: the caller looks for work.
        let entered = || {
            is_late = !timer::is_armed();
            !is_late && !wakeup::take_wanted() && may_enter()
        };
        match user::run(root, &mut registers.0, entered) {
            user::Exit::NotEntered if is_late => {
                platform::rearm();
                Exit::Interrupt
            }
            user::Exit::SystemCall => Exit::SystemCall,
            user::Exit::Interrupt => {
                platform::rearm();
                Exit::Interrupt
            }
            user::Exit::NotEntered => Exit::NotEntered,
            user::Exit::Exception(exception) => exit(&exception),
        }
    }

    fn leave(&self, registers: &mut Registers) {
        registers.0.park();
        wakeup::set_interruptible(false);
    }

    fn set_deadline(&self, at: u64) {
        platform::set_deadline(platform::Whose::Resources, at);
    }

    fn here(&self) -> CoreId {
        places().and_then(Places::here).unwrap_or(CoreId(0))
    }

    fn interrupt(&self, core: CoreId) {
        if let Some(core) = places().and_then(|places| places.of(core)) {
            wakeup::interrupt(cores::get(core));
        }
    }

    #[inline]
    fn now(&self) -> u64 {
        cpu::timestamp()
    }

    fn entered_at(&self) -> u64 {
        clock::entry()
    }

    fn processor(&self) -> vortex_resources::executable::Processor {
        vortex_resources::executable::Processor {
            capabilities: user::capabilities().into(),
            // The instructions that set the bases of FS and GS are off.
            capabilities2: 0,
            signal_frame: vortex_resources::signals::frame_bytes(user::extended_state_bytes()),
        }
    }

    fn hertz(&self) -> u64 {
        clock::tsc_hz()
    }

    fn epoch_ns(&self) -> u64 {
        platform::epoch_ns()
    }

    fn random(&self, into: &mut [u8]) {
        random::fill(into);
    }

    fn write_console(&self, bytes: &[u8]) {
        logging::write_console(bytes);
    }

    fn read_console(&self, into: &mut [u8]) -> usize {
        logging::read_console(into)
    }
}
