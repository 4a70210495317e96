//! Starting processes.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use spin::Mutex;
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::{Context, Request};

use super::{Consumption, ExitStatus, Family, Life, Process, Rights, console, suspend};
use crate::calls::asynchronous::Rings;
use crate::calls::settings::Settings;
use crate::errno::Errno;
use crate::executable::{self, Arguments, Entry, Image};
use crate::files::Descriptors;
use crate::machine::{Machine, Registers};
use crate::signals;
use crate::space::Space;
use crate::system::{Home, Kind, Message, Shared, Vortex};
use crate::thread::{CpuTimers, NewThread, PosixTimers, Thread, complete, launch, short_name};

/// A process to start.
pub struct Spawn<M: Machine> {
    /// Who asks, and waits for the new process's number; `None` for the first processes.
    pub caller: Option<Arc<Thread<M>>>,
    /// Who pays for it.
    pub activity: ActivityId,
    /// What it may do.
    pub rights: Rights,
    /// Its program.
    pub image: Image,
    /// What the program is given.
    pub arguments: Arguments,
    /// Its open files.
    pub descriptors: Descriptors,
}

impl<M: Machine> Shared<M> {
    /// Starts a process that nobody has asked for, such as the first one. If it cannot be started
    /// and there is no other, it counts as ended with status 127.
    pub fn spawn(&self, context: &mut Context<'_, Vortex<M>>, spawn: Spawn<M>) {
        let destination = self.destination(Kind::Process, spawn.activity);
        let activity = spawn.activity;
        let message = Message::Spawn(alloc::boxed::Box::new(spawn));
        context.send(Request::new(destination, activity, message));
    }
}

/// What becomes of a process that cannot be started, as in a shell.
const NOT_STARTED: ExitStatus = ExitStatus::Exited(127);

/// Starts a process: the process resource's work.
pub(crate) fn start<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    spawn: Spawn<M>,
) {
    let caller = spawn.caller.clone();
    let path = spawn.arguments.path.clone();
    let started = create(shared, context, spawn);
    match (caller, started) {
        (Some(caller), result) => complete(context, &caller, result.map(u64::from)),
        (None, Ok(_)) => {}
        (None, Err(error)) => {
            log::error!(
                "{}: cannot be started: {}",
                path.escape_ascii(),
                error.name().unwrap_or("unknown error")
            );
            if shared.processes.is_empty() {
                (shared.on_end)(NOT_STARTED);
            }
        }
    }
}

fn create<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    spawn: Spawn<M>,
) -> Result<u32, Errno> {
    let home = shared.home(spawn.activity);
    home.enter()?;
    let id = shared.processes.reserve().inspect_err(|_| home.abandon())?;
    let loaded = load(shared, &home, &spawn.image, &spawn.arguments).inspect_err(|_| {
        shared.processes.forget(id);
        home.abandon();
    })?;
    let process = build(
        shared,
        &home,
        id,
        spawn,
        (loaded.space, loaded.command_line),
    );
    let thread = NewThread {
        id,
        process: process.clone(),
        registers: M::Registers::new(loaded.entry.instruction, loaded.entry.stack),
        signals: signals::OfThread::new(0),
        clear_child_tid: 0,
        allowed: u64::MAX,
        name: process.name(),
    }
    .build(shared);
    console::give(shared, &process);
    enter(shared, context, &process, &thread);
    Ok(id)
}

/// An address space with a program in it.
pub(super) struct Loaded<M: Machine> {
    pub(super) space: Arc<Space<M>>,
    pub(super) entry: Entry,
    /// Its arguments, each with a zero behind it; the first part of many.
    pub(super) command_line: Arc<[u8]>,
}

pub(super) fn load<M: Machine>(
    shared: &Arc<Shared<M>>,
    home: &Home,
    image: &Image,
    arguments: &Arguments,
) -> Result<Loaded<M>, Errno> {
    let resource = shared.destination_at(home, Kind::AddressSpace);
    let (machine, memory) = (shared.machine.clone(), shared.memory.clone());
    let space = Space::new(machine, memory, resource, home.activity).map_err(|_| Errno::ENOMEM)?;
    let (mut seed, mut random) = ([0; 8], [0; 40]);
    shared.machine.random(&mut seed);
    shared.machine.random(&mut random);
    space.set_seed(u64::from_le_bytes(seed));
    let entry = executable::load(&space, image, arguments, shared.machine.processor(), random)?;
    Ok(Loaded {
        space,
        entry,
        command_line: command_line(arguments),
    })
}

fn build<M: Machine>(
    shared: &Shared<M>,
    home: &Arc<Home>,
    id: u32,
    spawn: Spawn<M>,
    (space, command_line): (Arc<Space<M>>, Arc<[u8]>),
) -> Arc<Process<M>> {
    let parent = spawn.caller.as_ref().map(|caller| caller.process().clone());
    let family = match &parent {
        Some(parent) => parent.family.lock().of_child(parent.id()),
        // Those that the kernel starts beside the first one are its children.
        None if shared.processes.find(1).is_some() => Family::new(1, id, id),
        None => Family::new(0, id, id),
    };
    Parts {
        id,
        space,
        descriptors: spawn.descriptors,
        settings: parent.map_or_else(Settings::default, |parent| parent.settings().inherited()),
        rights: spawn.rights,
        name: program_name(&spawn.arguments.path),
        command_line,
        started: shared.machine.now(),
        threads: home.thread_resource(&shared.grid),
        family,
        signals: signals::OfProcess::new(),
        borrows: false,
        vfork_parent: None,
        used: Consumption::default(),
        children_used: Consumption::default(),
    }
    .assemble(home)
}

/// The name of the program at a path: its last part.
pub(super) fn program_name(path: &[u8]) -> [u8; 16] {
    let base = path.rsplit(|byte| *byte == b'/').next();
    short_name(base.unwrap_or_default())
}

/// Bytes of arguments that are kept to be told.
const COMMAND_LINE: usize = 4096;

/// A program's arguments, each with a zero behind it, up to a bound.
fn command_line(arguments: &Arguments) -> Arc<[u8]> {
    let all = arguments.arguments.iter();
    let bytes = all.flat_map(|argument| argument.iter().chain(&[0]));
    bytes.copied().take(COMMAND_LINE).collect()
}

/// What a process is made of.
pub(super) struct Parts<M: Machine> {
    pub(super) id: u32,
    pub(super) space: Arc<Space<M>>,
    pub(super) descriptors: Descriptors,
    pub(super) settings: Settings,
    pub(super) rights: Rights,
    pub(super) name: [u8; 16],
    pub(super) command_line: Arc<[u8]>,
    pub(super) started: u64,
    pub(super) threads: ResourceId,
    pub(super) family: Family<M>,
    pub(super) signals: signals::OfProcess,
    pub(super) borrows: bool,
    pub(super) vfork_parent: Option<Arc<Thread<M>>>,
    pub(super) used: Consumption,
    pub(super) children_used: Consumption,
}

impl<M: Machine> Parts<M> {
    /// The process, without threads, of which nobody knows yet.
    pub(super) fn assemble(self, home: &Arc<Home>) -> Arc<Process<M>> {
        Arc::new(Process {
            id: self.id,
            space: self.space,
            descriptors: Mutex::new(self.descriptors),
            settings: self.settings,
            rights: self.rights,
            name: Mutex::new(self.name),
            command_line: self.command_line,
            started: self.started,
            activity: AtomicU32::new(home.activity.0),
            threads: AtomicU32::new(self.threads.0),
            timeslice: AtomicU64::new(home.timeslice()),
            home: Mutex::new(home.clone()),
            life: Mutex::new(Life {
                threads: BTreeMap::new(),
                status: None,
                has_ended: false,
                used: self.used,
            }),
            dying: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            borrows: self.borrows,
            replaced: AtomicBool::new(false),
            family: Mutex::new(self.family),
            vfork_parent: Mutex::new(self.vfork_parent),
            rings: Rings::default(),
            lonely: Mutex::new(None),
            children_used: Mutex::new(self.children_used),
            signals: Mutex::new(self.signals),
            interval_timer: Mutex::new(None),
            cpu_timers: CpuTimers::new(),
            posix_timers: Mutex::new(PosixTimers::new()),
        })
    }
}

/// Enters a process with its first thread, and lets that begin.
pub(super) fn enter<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    thread: &Arc<Thread<M>>,
) {
    let id = process.id();
    process.life().threads.insert(id, thread.clone());
    shared.processes.enter(process);
    if let Some(parent) = shared.processes.find(process.parent()) {
        parent.family.lock().children.insert(id, process.clone());
    }
    suspend::follow_home(shared, context, process);
    launch(shared, context, thread);
}
