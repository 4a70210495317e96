//! Starting processes.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use spin::Mutex;
use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::{Context, Request};

use super::{Consumption, ExitStatus, Family, Life, Process, Rights};
use crate::calls::settings::Settings;
use crate::errno::Errno;
use crate::executable::{self, Arguments, Entry};
use crate::files::Descriptors;
use crate::machine::{Machine, Registers};
use crate::object::Object;
use crate::signals;
use crate::space::Space;
use crate::system::{Home, Kind, Message, Shared, Vortex};
use crate::thread::{NewThread, Thread, complete, launch, short_name};

/// A process to start.
pub struct Spawn<M: Machine> {
    /// Who asks, and waits for the new process's number; `None` for the first processes.
    pub caller: Option<Arc<Thread<M>>>,
    /// Who pays for it.
    pub activity: ActivityId,
    /// What it may do.
    pub rights: Rights,
    /// Its program.
    pub file: Arc<dyn Object>,
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
    let loaded = load(shared, &home, &spawn).inspect_err(|_| {
        shared.processes.forget(id);
        home.abandon();
    })?;
    let process = build(shared, &home, id, spawn, loaded.space);
    let thread = NewThread {
        id,
        process: process.clone(),
        registers: M::Registers::new(loaded.entry.instruction, loaded.entry.stack),
        mask: 0,
        clear_child_tid: 0,
        allowed: u64::MAX,
        name: process.name(),
    }
    .build();
    process.life().threads.insert(id, thread.clone());
    shared.processes.enter(&process);
    if let Some(parent) = shared.processes.find(process.parent()) {
        parent.family.lock().children.insert(id, process);
    }
    launch(shared, context, &thread);
    Ok(id)
}

/// An address space with a program in it.
struct Loaded<M: Machine> {
    space: Arc<Space<M>>,
    entry: Entry,
}

fn load<M: Machine>(
    shared: &Arc<Shared<M>>,
    home: &Home,
    spawn: &Spawn<M>,
) -> Result<Loaded<M>, Errno> {
    let resource = shared.destination_at(home, Kind::AddressSpace);
    let (machine, memory) = (shared.machine.clone(), shared.memory.clone());
    let space = Space::new(machine, memory, resource, home.activity).map_err(|_| Errno::ENOMEM)?;
    let mut random = [0; 40];
    shared.machine.random(&mut random);
    let (seed, random) = random.split_at(8);
    space.set_seed(u64::from_le_bytes(seed.try_into().unwrap_or_default()));
    let random = random.try_into().unwrap_or_default();
    let entry = executable::load(&space, &spawn.file, &spawn.arguments, random)?;
    Ok(Loaded { space, entry })
}

fn build<M: Machine>(
    shared: &Shared<M>,
    home: &Arc<Home>,
    id: u32,
    spawn: Spawn<M>,
    space: Arc<Space<M>>,
) -> Arc<Process<M>> {
    let parent = spawn.caller.as_ref().map(|caller| caller.process().clone());
    let family = match &parent {
        Some(parent) => {
            let family = parent.family.lock();
            Family::new(parent.id(), family.group, family.session)
        }
        // Those that the kernel starts beside the first one are its children.
        None if shared.processes.find(1).is_some() => Family::new(1, id, id),
        None => Family::new(0, id, id),
    };
    let settings = parent.map_or_else(Settings::default, |parent| parent.settings().inherited());
    let path = &spawn.arguments.path;
    let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    Arc::new(Process {
        id,
        space,
        descriptors: Mutex::new(spawn.descriptors),
        settings,
        rights: spawn.rights,
        name: Mutex::new(short_name(base)),
        activity: AtomicU32::new(home.activity.0),
        threads: AtomicU32::new(home.thread_resource(&shared.grid).0),
        timeslice: AtomicU64::new(home.timeslice()),
        home: Mutex::new(home.clone()),
        life: Mutex::new(Life {
            threads: BTreeMap::new(),
            status: None,
            has_ended: false,
            used: Consumption::default(),
        }),
        dying: AtomicBool::new(false),
        stopped: AtomicBool::new(false),
        family: Mutex::new(family),
        children_used: Mutex::new(Consumption::default()),
        signals: Mutex::new(signals::OfProcess::new()),
        interval_timer: Mutex::new(None),
    })
}
