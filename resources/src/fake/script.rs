//! A machine whose program is a list of system calls: what a hostile program would make, and what
//! it gets.
//!
//! Key types: [`Script`] (the machine), [`Bench`] (one core of it with one process).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use vortex_sched_config::{Configuration, Known};
use vortex_schedulers::instantiate::instantiate;
use vortex_toolkit::ids::{ActivityId, CoreId};
use vortex_toolkit::memory::{Frame, Frames, Multiplexor};
use vortex_toolkit::scheduler::ClientParams;
use vortex_toolkit::{Core, Platform, Step};

use super::memory::{Memory, Root, Tables};
use crate::executable::Arguments;
use crate::files::{Archive, Descriptors, Kind};
use crate::machine::{Exit, Machine, Registers};
use crate::process::{ExitStatus, Rights, Spawn};
use crate::storage::RamVolume;
use crate::system::{CoreResources, Layout, Shared, Vortex};

/// A system call: its number and arguments.
pub type Call = [u64; 7];

/// What a program does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Makes a call.
    Call(Call),
    /// Writes to its memory.
    Store(u64, Vec<u8>),
    /// Reads from its memory, for [`Bench::loaded`].
    Load(u64, usize),
}

/// Where the program begins.
const ENTRY: u64 = 0x40_0000;

/// Cycles in a second.
const HERTZ: u64 = 1_000_000_000;

/// Bytes of a `syscall` instruction.
const INSTRUCTION: u64 = 2;

/// `exit_group`, which ends every program.
const EXIT_GROUP: u64 = 231;

const RDI: usize = 8;
const RSI: usize = 9;
const RDX: usize = 12;
const RAX: usize = 13;
const RSP: usize = 15;
const RIP: usize = 16;
const R8: usize = 0;
const R9: usize = 1;
const R10: usize = 2;

/// The state of a thread.
#[derive(Clone, Debug)]
pub struct State {
    general: [u64; 18],
    fs: u64,
    gs: u64,
    floating_point: Vec<u8>,
}

const fn is_user(address: u64) -> bool {
    address < crate::machine::USER_END
}

impl Registers for State {
    fn new(entry: u64, stack: u64) -> Self {
        let mut general = [0; 18];
        general[RIP] = entry;
        general[RSP] = stack;
        Self {
            general,
            fs: 0,
            gs: 0,
            floating_point: vec![0; 512],
        }
    }
    fn fork(&mut self) -> Self {
        self.clone()
    }
    fn number(&self) -> u64 {
        self.general[RAX]
    }
    fn arguments(&self) -> [u64; 6] {
        [RDI, RSI, RDX, R10, R8, R9].map(|register| self.general[register])
    }
    fn set_result(&mut self, value: u64) {
        self.general[RAX] = value;
    }
    fn instruction_pointer(&self) -> u64 {
        self.general[RIP]
    }
    fn stack_pointer(&self) -> u64 {
        self.general[RSP]
    }
    fn set_stack_pointer(&mut self, value: u64) {
        self.general[RSP] = value;
    }
    fn restart_call(&mut self, number: u64) {
        self.general[RIP] -= INSTRUCTION;
        self.general[RAX] = number;
    }
    fn fs_base(&self) -> u64 {
        self.fs
    }
    fn set_fs_base(&mut self, base: u64) -> bool {
        self.fs = if is_user(base) { base } else { self.fs };
        is_user(base)
    }
    fn gs_base(&self) -> u64 {
        self.gs
    }
    fn set_gs_base(&mut self, base: u64) -> bool {
        self.gs = if is_user(base) { base } else { self.gs };
        is_user(base)
    }
    fn general(&mut self) -> [u64; 18] {
        self.general
    }
    fn set_general(&mut self, values: &[u64; 18]) {
        self.general = *values;
    }
    fn floating_point(&mut self) -> &[u8] {
        &self.floating_point
    }
    fn set_floating_point(&mut self, state: &[u8]) -> bool {
        let fits = state.len() == self.floating_point.len();
        if fits {
            self.floating_point.copy_from_slice(state);
        }
        fits
    }
}

#[derive(Debug, Default)]
struct Program {
    actions: Vec<Action>,
    /// The next of them.
    next: usize,
    results: Vec<u64>,
    loaded: Vec<u8>,
}

struct Inner {
    memory: Memory,
    now: AtomicU64,
    program: Mutex<Program>,
    console: Mutex<Vec<u8>>,
}

/// The machine.
#[derive(Clone)]
pub struct Script(Arc<Inner>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Frames for Script {
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

impl Script {
    /// Goes on with the program, in the place of user mode, up to its next call. A call that was
    /// made and has returned leaves its result.
    fn go_on(&self, root: &Root, registers: &mut State) -> Exit {
        let mut program = self.0.program.lock();
        let made = (registers.general[RIP] - ENTRY) / INSTRUCTION;
        if made as usize > program.results.len() {
            program.results.push(registers.general[RAX]);
            program.next += 1;
        }
        let program = &mut *program;
        let call = loop {
            let (done, write) = match program.actions.get(program.next) {
                Some(Action::Call(call)) => break *call,
                Some(Action::Store(address, bytes)) => (root.store(*address, bytes), true),
                Some(Action::Load(address, length)) => {
                    program.loaded.resize(*length, 0);
                    (root.load(*address, &mut program.loaded), false)
                }
                None => break [EXIT_GROUP, 0, 0, 0, 0, 0, 0],
            };
            if let Err(fault) = done {
                return Exit::PageFault {
                    address: fault.address,
                    write,
                    execute: false,
                };
            }
            program.next += 1;
        };
        let places = [RAX, RDI, RSI, RDX, R10, R8, R9];
        for (register, value) in places.into_iter().zip(call) {
            registers.general[register] = value;
        }
        registers.general[RIP] += INSTRUCTION;
        Exit::SystemCall
    }
}

impl Machine for Script {
    type Platform = Processor;
    type Tables = Tables;
    type Registers = State;

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
    fn run(&self, root: &Root, registers: &mut State, may_enter: &mut dyn FnMut() -> bool) -> Exit {
        if !may_enter() {
            return Exit::NotEntered;
        }
        self.go_on(root, registers)
    }
    fn leave(&self, _: &mut State) {}
    fn set_deadline(&self, _: u64) {}
    fn interrupt(&self, _: CoreId) {}
    fn here(&self) -> CoreId {
        CoreId(0)
    }
    fn now(&self) -> u64 {
        self.0.now.fetch_add(10, Ordering::Relaxed)
    }
    fn hertz(&self) -> u64 {
        HERTZ
    }
    fn epoch_ns(&self) -> u64 {
        1_700_000_000_000_000_000
    }
    fn random(&self, into: &mut [u8]) {
        into.fill(7);
    }
    fn write_console(&self, bytes: &[u8]) {
        self.0.console.lock().extend_from_slice(bytes);
    }
    fn read_console(&self, _: &mut [u8]) -> usize {
        0
    }
}

/// The only core.
#[derive(Debug)]
pub struct Processor(Script);

impl Platform for Processor {
    fn now(&self) -> u64 {
        Machine::now(&self.0)
    }
    fn core(&self) -> CoreId {
        CoreId(0)
    }
    fn interrupt_cycles(&self) -> u64 {
        0
    }
    fn wake(&self, _: CoreId) {}
    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        || {}
    }
    fn set_timer(&self, _: u64) {}
}

/// An ELF file with a page to execute at [`ENTRY`].
fn program_file() -> &'static [u8] {
    const HEADERS: u64 = 64 + 56;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2_u16, 62] {
        bytes.extend_from_slice(&half.to_le_bytes());
    }
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    for word in [ENTRY, 64, 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        bytes.extend_from_slice(&half.to_le_bytes());
    }
    // One segment: the whole file, to be read and executed.
    for half in [1_u32, 5] {
        bytes.extend_from_slice(&half.to_le_bytes());
    }
    for word in [0, ENTRY, ENTRY, HEADERS, HEADERS, 0x1000] {
        bytes.extend_from_slice(&u64::to_le_bytes(word));
    }
    bytes.leak()
}

/// The program's path.
pub const PROGRAM: &str = "/program";

/// One core with one process, which makes a list of calls.
pub struct Bench {
    machine: Script,
    core: Core<Vortex<Script>>,
    resources: CoreResources<Script>,
    /// What the core's resources share.
    pub shared: Arc<Shared<Script>>,
    ended: Arc<Mutex<Option<ExitStatus>>>,
    activity: ActivityId,
    rights: Rights,
}

/// How a program has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What its calls have returned, as far as they did.
    pub results: Vec<u64>,
    /// How; `None` if it waits for ever.
    pub status: Option<ExitStatus>,
}

impl Bench {
    /// With so many frames of memory.
    ///
    /// # Panics
    /// If the program cannot be found.
    #[must_use]
    pub fn new(frames: u32) -> Self {
        let machine = Script(Arc::new(Inner {
            memory: Memory::new(frames),
            now: AtomicU64::new(1_000_000),
            program: Mutex::default(),
            console: Mutex::default(),
        }));
        let memory = Arc::new(Multiplexor::new(machine.clone()));
        let plan = Configuration::builtin(1)
            .plan(&Known::standard(1))
            .expect("the built-in configuration is good");
        let made = instantiate(&plan, HERTZ).expect("the built-in configuration can be built");
        let (grid, mut seeds) = made.builder.build();
        let activity = grid.add_activity("test", ClientParams::default());
        let layout = Layout {
            plan,
            schedulers: made.schedulers,
            homes: made.homes,
            hertz: HERTZ,
        };
        let references: Arc<dyn crate::object::References> = memory.clone();
        let files = [
            (PROGRAM, program_file()),
            ("/data", b"twenty bytes of data".as_slice()),
        ];
        let (archive, problems) = Archive::new(&[0; 1024], &files, &references);
        assert!(problems.is_empty(), "{problems:?}");
        let ended = Arc::new(Mutex::new(None));
        let on_end = {
            let ended = ended.clone();
            Box::new(move |status| *ended.lock() = Some(status))
        };
        let shared = Shared::new(machine.clone(), memory, archive, grid, layout, on_end);
        let seed = seeds.remove(0);
        let resources = CoreResources::new(shared.clone(), CoreId(0));
        let core = Core::new(seed, Processor(machine.clone()), resources);
        let resources = CoreResources::new(shared.clone(), CoreId(0));
        Self {
            machine,
            core,
            resources,
            shared,
            ended,
            activity,
            rights: Rights::all(),
        }
    }

    /// Mounts a file system that is on a volume in memory.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn mount(&mut self, image: Vec<u8>) -> Arc<RamVolume> {
        let volume = self.shared.storage.add_ram("ram0", image);
        self.shared.storage.settle();
        let request = crate::files::mounting(&self.shared);
        self.core.context().send(request);
        while !matches!(self.core.step(), Step::Asleep { .. }) {}
        assert!(self.shared.disk.get().is_some(), "it is mounted");
        volume
    }

    /// Frames that are in use.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.machine.0.memory.taken()
    }

    /// What the program has read from its memory at last.
    #[must_use]
    pub fn loaded(&self) -> Vec<u8> {
        self.machine.0.program.lock().loaded.clone()
    }

    /// What was written to the console.
    #[must_use]
    pub fn console(&self) -> Vec<u8> {
        self.machine.0.console.lock().clone()
    }

    /// What the processes that are started from now on may do: all, if nothing is said.
    pub const fn allow(&mut self, rights: Rights) {
        self.rights = rights;
    }

    /// Starts a process that does this and then exits; runs until it has
    /// ended, or nothing can happen any more.
    ///
    /// # Panics
    /// If it does not come to an end in a million steps.
    pub fn run(&mut self, actions: &[Action]) -> Ended {
        *self.machine.0.program.lock() = Program {
            actions: actions.to_vec(),
            ..Program::default()
        };
        *self.ended.lock() = None;
        self.spawn();
        for _ in 0..1_000_000 {
            if let Step::Asleep { .. } = self.core.step()
                && !self.advance()
            {
                let results = self.machine.0.program.lock().results.clone();
                let status = *self.ended.lock();
                return Ended { results, status };
            }
        }
        panic!("the program does not come to an end: {actions:?}");
    }

    /// Lets the time come for which somebody waits. False if nobody does.
    fn advance(&mut self) -> bool {
        let Some(deadline) = self.resources.next_deadline() else {
            return false;
        };
        self.machine.0.now.fetch_max(deadline, Ordering::Relaxed);
        self.resources.run_timers(&mut self.core.context());
        true
    }

    fn spawn(&mut self) {
        let descriptors = Descriptors::new(self.shared.names(), None, PROGRAM.into());
        let archive = &self.shared.archive;
        let found = archive.find(PROGRAM.as_bytes());
        let Ok(Kind::File(file)) = found.map(|node| &archive.node(node).kind) else {
            panic!("the program is there");
        };
        let spawn = Spawn {
            caller: None,
            activity: self.activity,
            rights: self.rights,
            image: file.clone().into(),
            arguments: Arguments {
                path: PROGRAM.into(),
                arguments: vec![PROGRAM.into()],
                ..Arguments::default()
            },
            descriptors,
        };
        self.shared.spawn(&mut self.core.context(), spawn);
    }
}
