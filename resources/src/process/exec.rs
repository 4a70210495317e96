//! execve(2): another program in a process's place.
//!
//! The program is loaded into an address space of its own first, so that what can fail fails before
//! anything has changed. Then a new [`Process`] with the old one's number, parent, children and
//! files takes its place in the directory; the old one's memory is given back in portions.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use vortex_toolkit::Context;

use super::Process;
use super::family::Family;
use super::start::{Loaded, Parts, load, program_name};
use crate::calls::argument::Path;
use crate::calls::program::{self, Program};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::executable::Arguments;
use crate::machine::{Machine, Registers};
use crate::system::{Kind, Message, Shared, Vortex};
use crate::thread::{
    Attention, Interruption, NewThread, State, Thread, attend, block, delete_timers, hand_on,
    launch,
};

impl<M: Machine> Process<M> {
    /// Whether another program has taken its place.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::SeqCst)
    }
}

/// execve(2).
pub(crate) fn execve<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [path, argv, envp, ..] = arguments;
    let space = caller.process.space();
    let program = Program::read(caller, Path::at(path))?;
    let [strings, environment] = program::strings(space, argv, envp)?;
    let arguments = Arguments {
        path: program.path.clone(),
        arguments: program.arguments(strings),
        environment,
    };
    let home = caller.process.home();
    let loaded = load(caller.shared, &home, &program.image, &arguments)?;
    be_alone(caller)?;
    replace(caller, &program, loaded);
    Err(Verdict::Blocked)
}

/// Ends all other threads of the caller's process; the call is made again until they have.
fn be_alone<M: Machine>(caller: &mut Caller<'_, '_, M>) -> Result<(), Verdict> {
    let process = caller.process.clone();
    if process.is_dying() {
        return Err(Errno::EAGAIN.into());
    }
    let mut lonely = process.lonely.lock();
    let others = process.all_threads();
    if others.len() <= 1 {
        *lonely = None;
        return Ok(());
    }
    let wait = block(caller, Interruption::Restart, None);
    *lonely = Some((caller.thread.clone(), wait));
    drop(lonely);
    for other in others
        .iter()
        .filter(|other| !Arc::ptr_eq(other, caller.thread))
    {
        attend(caller.shared, caller.context, other, Attention::DYING);
    }
    Err(Verdict::Blocked)
}

/// The new program takes the caller's place.
fn replace<M: Machine>(caller: &mut Caller<'_, '_, M>, program: &Program, loaded: Loaded<M>) {
    let (shared, old) = (caller.shared, caller.process);
    delete_timers(shared, old);
    let home = old.home();
    let family = core::mem::replace(&mut *old.family.lock(), Family::new(0, 0, 0));
    let parent = family.parent;
    let mut descriptors = old.descriptors().lock().clone();
    for gone in descriptors.executed(program.place.clone()) {
        shared.locks.closed(old.id(), &gone);
    }
    let mut used = old.life().used;
    used += caller.thread.consumption(shared.machine.now());
    let new = Parts {
        id: old.id(),
        space: loaded.space,
        descriptors,
        settings: old.settings().inherited(),
        rights: old.rights(),
        name: program_name(&program.path),
        command_line: loaded.command_line,
        started: old.started(),
        threads: old.threads(),
        family,
        signals: old.signals.lock().exec(),
        borrows: false,
        vfork_parent: None,
        used,
        children_used: old.children_consumption(),
    }
    .assemble(&home);
    let mask = caller.thread.signals.lock().mask();
    let thread = NewThread {
        id: new.id(),
        process: new.clone(),
        registers: M::Registers::new(loaded.entry.instruction, loaded.entry.stack),
        signals: crate::signals::OfThread::new(mask),
        clear_child_tid: 0,
        allowed: caller.thread.allowed.load(Ordering::Relaxed),
        name: new.name(),
    }
    .build(shared);
    caller.thread.control.lock().state = State::Dead;
    caller.thread.unsettle(shared, &home);
    if caller.thread.id() != old.id() {
        let (resource, activity) = (old.threads(), old.activity());
        caller
            .context
            .release(resource, activity, caller.thread.label());
        shared.processes.forget(caller.thread.id());
    }
    old.replaced.store(true, Ordering::SeqCst);
    // What the program does not inherit is closed now, not when its memory has been given back.
    old.rings.forget(shared);
    drop(old.descriptors().lock().close_range(0, u32::MAX, false));
    old.life().threads.clear();
    new.life().threads.insert(new.id(), thread.clone());
    shared.processes.replace(&new);
    hand_on(shared, caller.context, old, &new);
    if let Some(parent) = shared.processes.find(parent) {
        parent.family.lock().children.insert(new.id(), new.clone());
    }
    launch(shared, caller.context, &thread);
}

/// Begins to give back the memory of the program that another has taken the place of; when the
/// thread that has done so is left.
pub(crate) fn give_back_old<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) {
    let process = thread.process();
    if process.is_replaced() {
        process.release_vfork_parent(context);
        let message = Message::Teardown(process.clone());
        let request = process.request(shared, context, Kind::AddressSpace, message);
        context.send(request);
    }
}
