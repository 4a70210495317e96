//! Fake processors with virtual time, which run [`Program`]s.
//!
//! Key types: [`FakeMachine`], [`Registers`], [`FakeCore`] (a toolkit's platform). Each core has a
//! clock of its own, which only its own work moves; or all have the host's, and each is a thread of
//! the host.
//!
//! Noticed by a panic: a thread that runs on two processors, or that runs before the last one has
//! left it; tables that are run on after the space has been taken apart.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::cell::Cell;
use std::time::Instant;

use spin::Mutex;
use vortex_toolkit::Platform;
use vortex_toolkit::ids::CoreId;
use vortex_toolkit::memory::Frames;

use super::console::Console;
use super::memory::{Memory, PageFault, Root, Tables};
use super::program::{Condition, Instruction, Operand, Program, register};
use super::registers::Registers;
use crate::machine::{Access, Exit, Frame, Machine};

/// Never.
const NEVER: u64 = u64::MAX;

/// Cycles of a second.
pub const HERTZ: u64 = 1_000_000_000;

/// Cycles of an instruction besides what it computes.
const INSTRUCTION: u64 = 1;
/// Cycles of entering user mode and of what the kernel does about it.
const ENTRY: u64 = 100;
/// Cycles of an interrupt.
const INTERRUPT: u64 = 500;
/// Cycles of a step of the toolkit.
pub(super) const STEP: u64 = 300;

/// One core's clock and interrupts.
#[derive(Debug)]
struct Core {
    now: AtomicU64,
    interrupted: AtomicU64,
    deadline: AtomicU64,
    timer: AtomicU64,
    wake_at: AtomicU64,
    /// An interrupt from another core is to be taken.
    pending: AtomicBool,
}

#[derive(Debug)]
struct State {
    memory: Memory,
    cores: Vec<Core>,
    programs: Mutex<BTreeMap<u64, Arc<Program>>>,
    notes: Mutex<Vec<Note>>,
    random: AtomicU64,
    console: Console,
    interrupts: AtomicU64,
    /// When the host's clock was 0, if that is the one.
    started: Option<Instant>,
}

/// What a program has written into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// When, in cycles of the core's clock.
    pub at: u64,
    /// Where.
    pub core: CoreId,
    /// What.
    pub value: u64,
}

/// The machine; clones are the same one.
#[derive(Clone, Debug)]
pub struct FakeMachine(Arc<State>);

std::thread_local! {
    /// The core that this host thread is stepping.
    static CURRENT: Cell<u16> = const { Cell::new(0) };
}

/// A toolkit's platform: one core.
#[derive(Clone, Debug)]
pub struct FakeCore {
    machine: FakeMachine,
    core: CoreId,
}

impl FakeMachine {
    /// With so many cores and frames.
    #[must_use]
    pub fn new(cores: u16, frames: u32) -> Self {
        Self::with_clock(cores, frames, None)
    }

    /// The same, with the host's clock.
    #[must_use]
    pub fn in_real_time(cores: u16, frames: u32) -> Self {
        Self::with_clock(cores, frames, Some(Instant::now()))
    }

    fn with_clock(cores: u16, frames: u32, started: Option<Instant>) -> Self {
        let core = |_| Core {
            now: AtomicU64::new(0),
            interrupted: AtomicU64::new(0),
            deadline: AtomicU64::new(NEVER),
            timer: AtomicU64::new(NEVER),
            wake_at: AtomicU64::new(NEVER),
            pending: AtomicBool::new(false),
        };
        Self(Arc::new(State {
            memory: Memory::new(frames),
            cores: (0..cores).map(core).collect(),
            programs: Mutex::new(BTreeMap::new()),
            notes: Mutex::new(Vec::new()),
            random: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
            console: Console::default(),
            interrupts: AtomicU64::new(0),
            started,
        }))
    }

    /// The frames.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// The platform of a core.
    #[must_use]
    pub fn platform(&self, core: CoreId) -> FakeCore {
        FakeCore {
            machine: self.clone(),
            core,
        }
    }

    /// A program whose text begins at an address.
    pub fn add_program(&self, entry: u64, program: Program) {
        self.0.programs.lock().insert(entry, Arc::new(program));
    }

    /// What programs have written into the log, and forgets it.
    #[must_use]
    pub fn take_notes(&self) -> Vec<Note> {
        core::mem::take(&mut *self.0.notes.lock())
    }

    /// What was written to the console.
    #[must_use]
    pub fn console(&self) -> Vec<u8> {
        self.0.console.written()
    }

    /// Bytes come at the console's port, which does not interrupt by itself.
    pub fn type_in(&self, bytes: &[u8]) {
        self.0.console.type_in(bytes);
    }

    /// Bytes that have come there and not been taken.
    #[must_use]
    pub fn untaken(&self) -> usize {
        self.0.console.untaken()
    }

    /// Interrupts that one core has asked another for.
    #[must_use]
    pub fn interrupts(&self) -> u64 {
        self.0.interrupts.load(Ordering::Relaxed)
    }

    fn core(&self) -> &Core {
        &self.0.cores[usize::from(CURRENT.get())]
    }

    /// The core with the earliest time at which something is to be done, and that time; those that
    /// sleep wait for a timer or for being woken.
    pub(super) fn wakes_at(&self, core: CoreId) -> u64 {
        let core = &self.0.cores[core.index()];
        [&core.wake_at, &core.timer, &core.deadline]
            .map(|time| time.load(Ordering::SeqCst))
            .into_iter()
            .min()
            .unwrap_or(NEVER)
    }

    pub(super) fn clock_of(&self, core: CoreId) -> u64 {
        self.time(&self.0.cores[core.index()])
    }

    /// The time on a core.
    fn time(&self, core: &Core) -> u64 {
        match self.0.started {
            Some(started) => u64::try_from(started.elapsed().as_nanos()).unwrap_or(NEVER),
            None => core.now.load(Ordering::SeqCst),
        }
    }

    /// What this core's own handlers of interrupts have taken.
    fn spend_on_interrupt(&self) {
        if self.0.started.is_none() {
            self.spend(INTERRUPT);
            self.core()
                .interrupted
                .fetch_add(INTERRUPT, Ordering::SeqCst);
        }
    }

    /// A core that has slept goes on at a time.
    pub(super) fn wake_up(&self, core: CoreId, at: u64) {
        let core = &self.0.cores[core.index()];
        core.now.fetch_max(at, Ordering::SeqCst);
        core.wake_at.store(NEVER, Ordering::SeqCst);
        let now = self.time(core);
        for time in [&core.timer, &core.deadline] {
            if time.load(Ordering::SeqCst) <= now {
                time.store(NEVER, Ordering::SeqCst);
            }
        }
    }

    /// The host thread steps this core from now on.
    pub(super) fn be(&self, core: CoreId) {
        CURRENT.set(core.0);
    }

    /// Lets time pass on this core.
    pub fn spend(&self, cycles: u64) {
        self.core().now.fetch_add(cycles, Ordering::SeqCst);
    }
}

impl Core {
    /// Whether something interrupts now; it is taken.
    fn is_interrupted(&self, now: u64) -> bool {
        let mut any = self.pending.swap(false, Ordering::SeqCst);
        any |= self.wake_at.load(Ordering::SeqCst) <= now;
        for time in [&self.timer, &self.deadline, &self.wake_at] {
            if time.load(Ordering::SeqCst) <= now {
                time.store(NEVER, Ordering::SeqCst);
                any = true;
            }
        }
        any
    }

    fn next_timer(&self) -> u64 {
        let times = [&self.timer, &self.deadline, &self.wake_at];
        let times = times.map(|time| time.load(Ordering::SeqCst));
        times.into_iter().min().unwrap_or(NEVER)
    }
}

impl Platform for FakeCore {
    fn now(&self) -> u64 {
        self.machine.clock_of(self.core)
    }

    fn core(&self) -> CoreId {
        self.core
    }

    fn interrupt_cycles(&self) -> u64 {
        let core = &self.machine.0.cores[self.core.index()];
        core.interrupted.load(Ordering::SeqCst)
    }

    fn wake(&self, core: CoreId) {
        let at = self.now();
        let core = &self.machine.0.cores[core.index()];
        core.wake_at.fetch_min(at, Ordering::SeqCst);
    }

    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let FakeCore { machine, core } = self.clone();
        move || {
            let at = machine.clock_of(CoreId(CURRENT.get()));
            let core = &machine.0.cores[core.index()];
            core.wake_at.fetch_min(at, Ordering::SeqCst);
        }
    }

    fn set_timer(&self, at: u64) {
        let core = &self.machine.0.cores[self.core.index()];
        core.timer.store(at, Ordering::SeqCst);
    }
}

fn value_of(general: &[u64; 18], program: &Program, entry: u64, operand: Operand) -> u64 {
    match operand {
        Operand::Value(value) => value,
        Operand::Register(register) => general[register],
        Operand::Address(label) => entry + program.resolve(label) as u64,
    }
}

fn load_long(root: &Root, address: u64) -> Result<u64, PageFault> {
    let mut bytes = [0; 8];
    root.load(address, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

impl Condition {
    const fn holds(self, one: u64, other: u64) -> bool {
        match self {
            Self::Equal => one == other,
            Self::NotEqual => one != other,
            Self::Below => one < other,
        }
    }
}

impl From<PageFault> for Exit {
    fn from(fault: PageFault) -> Self {
        Self::PageFault {
            address: fault.address,
            write: fault.access.write,
            execute: fault.access.execute,
        }
    }
}

impl FakeMachine {
    /// Executes one instruction.
    fn execute(&self, root: &Root, registers: &mut Registers) -> Result<Option<Exit>, PageFault> {
        let at = registers.general[register::RIP];
        let access = Access {
            write: false,
            execute: true,
        };
        root.translate(at, access)?;
        let invalid = Some(Exit::Exception { vector: 6, code: 0 });
        let Some((program, entry)) = self.program(at) else {
            return Ok(invalid);
        };
        let index = usize::try_from(at - entry).unwrap_or(usize::MAX);
        let Some(instruction) = program.instructions.get(index).copied() else {
            return Ok(invalid);
        };
        if let Instruction::Trap(vector) = instruction {
            return Ok(Some(Exit::Exception { vector, code: 0 }));
        }
        let before = registers.general;
        let value = |operand| value_of(&before, &program, entry, operand);
        let place = |label| entry + program.resolve(label) as u64;
        registers.general[register::RIP] = match instruction {
            Instruction::Jump(to) => value(to),
            Instruction::JumpIf(condition, one, other, to)
                if condition.holds(value(one), value(other)) =>
            {
                place(to)
            }
            Instruction::Return => {
                let next = load_long(root, registers.general[register::RSP])?;
                registers.general[register::RSP] += 8;
                next
            }
            Instruction::Compute(cycles) if self.compute(&mut registers.left, value(cycles)) => at,
            instruction => {
                self.work(root, &mut registers.general, instruction, value)?;
                at + 1
            }
        };
        self.spend(INSTRUCTION);
        Ok((instruction == Instruction::Call).then_some(Exit::SystemCall))
    }

    /// Computes up to the next interrupt; true if there is more to compute.
    fn compute(&self, left: &mut u64, cycles: u64) -> bool {
        let core = self.core();
        let total = if *left > 0 { *left } else { cycles };
        let begin = self.time(core);
        let part = if self.0.started.is_some() {
            while self.time(core) < core.next_timer().min(begin + total) {
                std::thread::yield_now();
            }
            total.min(self.time(core) - begin)
        } else {
            let part = total.min(core.next_timer().saturating_sub(begin));
            self.spend(part);
            part
        };
        *left = total - part;
        *left > 0
    }

    /// An instruction after which the next one follows.
    fn work(
        &self,
        root: &Root,
        general: &mut [u64; 18],
        instruction: Instruction,
        value: impl Fn(Operand) -> u64,
    ) -> Result<(), PageFault> {
        match instruction {
            Instruction::Set(register, to) => general[register] = value(to),
            Instruction::Add(register, what) => {
                general[register] = general[register].wrapping_add(value(what));
            }
            Instruction::Load(register, address) => {
                let mut bytes = [0; 4];
                root.load(value(address), &mut bytes)?;
                general[register] = u64::from(u32::from_le_bytes(bytes));
            }
            Instruction::Store(address, what) => {
                root.store(value(address), &value(what).to_le_bytes()[..4])?;
            }
            Instruction::StoreLong(address, what) => {
                root.store(value(address), &value(what).to_le_bytes())?;
            }
            Instruction::FetchAdd(register, address, what) => {
                general[register] = self.fetch_add(root, value(address), value(what))?;
            }
            Instruction::Note(what) => self.0.notes.lock().push(Note {
                at: self.time(self.core()),
                core: CoreId(CURRENT.get()),
                value: value(what),
            }),
            _ => {}
        }
        Ok(())
    }

    fn fetch_add(&self, root: &Root, address: u64, what: u64) -> Result<u64, PageFault> {
        let access = Access {
            write: true,
            execute: false,
        };
        let frame = root.translate(address, access)?;
        let offset = (address % 4096) as usize;
        let mut old = self.0.memory.load_u32(frame, offset);
        loop {
            let new = old.wrapping_add(what as u32);
            match self.0.memory.compare_exchange_u32(frame, offset, old, new) {
                Ok(_) => return Ok(u64::from(old)),
                Err(found) => old = found,
            }
        }
    }

    /// The program that an address is in, and where it begins.
    fn program(&self, at: u64) -> Option<(Arc<Program>, u64)> {
        let programs = self.0.programs.lock();
        let (entry, program) = programs.range(..=at).next_back()?;
        Some((program.clone(), *entry))
    }
}

impl Frames for FakeMachine {
    fn take(&self) -> Option<Frame> {
        self.0.memory.take()
    }

    fn give(&self, frame: Frame) {
        self.0.memory.give(frame);
    }

    fn limit(&self) -> usize {
        self.0.memory.limit()
    }

    fn available(&self) -> usize {
        self.0.memory.available()
    }
}

impl Machine for FakeMachine {
    type Platform = FakeCore;
    type Tables = Tables;
    type Registers = Registers;

    fn zero_frame(&self, frame: Frame) {
        self.0.memory.zero_frame(frame);
    }

    fn copy_frame(&self, from: Frame, to: Frame) {
        self.0.memory.copy_frame(from, to);
    }

    fn copy_part(&self, from: (Frame, usize), to: (Frame, usize), length: usize) {
        self.0.memory.copy_part(from, to, length);
    }
    fn read_frame(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        self.0.memory.read_frame(frame, offset, into);
    }

    fn write_frame(&self, frame: Frame, offset: usize, from: &[u8]) {
        self.0.memory.write_frame(frame, offset, from);
    }

    fn load_u32(&self, frame: Frame, offset: usize) -> u32 {
        self.0.memory.load_u32(frame, offset)
    }

    fn compare_exchange_u32(
        &self,
        frame: Frame,
        offset: usize,
        current: u32,
        new: u32,
    ) -> Result<u32, u32> {
        self.0
            .memory
            .compare_exchange_u32(frame, offset, current, new)
    }

    fn new_tables(&self, frames: &mut dyn FnMut() -> Option<Frame>) -> Option<Tables> {
        self.0.memory.new_tables(frames)
    }

    fn run(
        &self,
        root: &Root,
        registers: &mut Registers,
        may_enter: &mut dyn FnMut() -> bool,
    ) -> Exit {
        let here = CURRENT.get();
        let core = self.core();
        assert!(
            registers.held_by.is_none_or(|holder| holder == here),
            "a thread runs on core {here} before another has left it"
        );
        self.spend(ENTRY);
        if !may_enter() {
            return Exit::NotEntered;
        }
        registers.held_by = Some(here);
        loop {
            if core.is_interrupted(self.time(core)) {
                self.spend_on_interrupt();
                return Exit::Interrupt;
            }
            match self.execute(root, registers) {
                Ok(None) => {}
                Ok(Some(exit)) => return exit,
                Err(fault) => return fault.into(),
            }
        }
    }

    fn leave(&self, registers: &mut Registers) {
        registers.held_by = None;
    }

    fn set_deadline(&self, at: u64) {
        self.core().deadline.store(at, Ordering::SeqCst);
    }

    fn interrupt(&self, core: CoreId) {
        self.0.interrupts.fetch_add(1, Ordering::SeqCst);
        let at = self.time(self.core());
        let core = &self.0.cores[core.index()];
        core.pending.store(true, Ordering::SeqCst);
        core.wake_at.fetch_min(at, Ordering::SeqCst);
    }

    fn here(&self) -> CoreId {
        CoreId(CURRENT.get())
    }

    fn now(&self) -> u64 {
        self.time(self.core())
    }

    fn hertz(&self) -> u64 {
        HERTZ
    }

    fn epoch_ns(&self) -> u64 {
        1_700_000_000_000_000_000
    }

    fn random(&self, into: &mut [u8]) {
        for byte in into {
            let state = self.0.random.load(Ordering::SeqCst);
            let next = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            self.0.random.store(next, Ordering::SeqCst);
            *byte = (next >> 56) as u8;
        }
    }

    fn write_console(&self, bytes: &[u8]) {
        self.0.console.write(bytes);
    }

    fn read_console(&self, into: &mut [u8]) -> usize {
        self.0.console.read(into)
    }
}
