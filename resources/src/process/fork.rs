//! fork(2) and vfork(2): a process with a copy of another's memory, made in portions; or one that
//! uses the other's memory while its parent waits, until it runs another program or ends.
//!
//! Invariant: an address space that is borrowed lives as long as its borrower, because the thread
//! that has lent it waits, and with it its process.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use vortex_toolkit::Context;

use super::start::{Parts, enter};
use super::{Consumption, Process};
use crate::calls::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::{Machine, Registers};
use crate::space::{Progress, Space};
use crate::system::{Kind, Message, Shared, Vortex};
use crate::thread::{Clone, NewThread, Thread, call_for, complete};

/// What may be asked for besides memory and the parent's waiting.
const KNOWN: u64 = (linux::CLONE_VM
    | linux::CLONE_VFORK
    | linux::CLONE_CHILD_SETTID
    | linux::CLONE_CHILD_CLEARTID
    | linux::CLONE_PARENT_SETTID
    | linux::CLONE_SETTLS) as u64;

/// A fork under way.
pub struct Fork<M: Machine> {
    caller: Arc<Thread<M>>,
    /// The child's number.
    id: u32,
    space: Arc<Space<M>>,
    registers: M::Registers,
    /// Where the child's number is written in its memory; 0 for nowhere.
    child_tid: u64,
    clear_child_tid: u64,
    /// The memory is the caller's, not a copy.
    lends: bool,
    waits: bool,
}

/// What clone(2) does when it is not for a thread.
pub(crate) fn fork<M: Machine>(caller: &mut Caller<'_, '_, M>, what: &Clone) -> Outcome {
    let shares = what.has(linux::CLONE_VM) && !what.has(linux::CLONE_VFORK);
    if shares || what.flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    if what.exit_signal != u64::from(linux::SIGCHLD) && what.exit_signal != 0 {
        return Err(Errno::EINVAL.into());
    }
    let home = caller.process.home();
    home.enter()?;
    let reserved = caller.shared.processes.reserve();
    let id = reserved.inspect_err(|_| home.abandon())?;
    let begun = begin(caller, what, id).inspect_err(|_| {
        caller.shared.processes.forget(id);
        home.abandon();
    })?;
    let message = Message::Fork(Box::new(begun));
    Err(call_for(caller, Kind::AddressSpace, message))
}

fn begin<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    what: &Clone,
    id: u32,
) -> Result<Fork<M>, crate::calls::Verdict> {
    let space = caller.process.space();
    if what.has(linux::CLONE_PARENT_SETTID) {
        space.write(what.parent_tid, &id.to_le_bytes())?;
    }
    let mut registers = caller.registers.fork();
    registers.set_result(0);
    if what.stack != 0 {
        registers.set_stack_pointer(what.stack);
    }
    if what.has(linux::CLONE_SETTLS) && !registers.set_fs_base(what.tls) {
        return Err(Errno::EPERM.into());
    }
    let lends = what.has(linux::CLONE_VM);
    let child = match lends {
        true => Ok(space.clone()),
        false => space.fork(caller.process.activity()),
    };
    let tid = |flag| if what.has(flag) { what.child_tid } else { 0 };
    Ok(Fork {
        caller: caller.thread.clone(),
        id,
        space: child.map_err(|_| Errno::ENOMEM)?,
        registers,
        child_tid: tid(linux::CLONE_CHILD_SETTID),
        clear_child_tid: tid(linux::CLONE_CHILD_CLEARTID),
        lends,
        waits: what.has(linux::CLONE_VFORK),
    })
}

/// Gives the next portion of memory to a fork: the address-space resource's work.
pub(crate) fn fork_more<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    fork: Box<Fork<M>>,
) {
    let caller = fork.caller.clone();
    let parent = caller.process();
    let progress = match parent.is_dying() {
        true => Err(Errno::EAGAIN),
        false if fork.lends => Ok(Progress::Done),
        false => fork
            .space
            .inherit(parent.space())
            .map_err(|_| Errno::ENOMEM),
    };
    match progress {
        Ok(Progress::More) => {
            let message = Message::Fork(fork);
            let request = parent.request(shared, context, Kind::AddressSpace, message);
            context.send(request);
        }
        Ok(Progress::Done) => {
            let (id, waits) = (fork.id, fork.waits);
            finish(shared, context, *fork);
            if !waits {
                complete(context, &caller, Ok(u64::from(id)));
            }
        }
        Err(error) => {
            shared.processes.forget(fork.id);
            parent.home().abandon();
            complete(context, &caller, Err(error));
        }
    }
}

/// The memory is there: the process begins.
fn finish<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    fork: Fork<M>,
) {
    let caller = &fork.caller;
    let parent = caller.process();
    if fork.child_tid != 0
        && let Err(error) = fork.space.write(fork.child_tid, &fork.id.to_le_bytes())
    {
        // As on Linux, the child finds out.
        log::debug!("process {}: its number is not written: {error:?}", fork.id);
    }
    let home = parent.home();
    let process = Parts {
        id: fork.id,
        space: fork.space,
        descriptors: parent.descriptors().lock().clone(),
        settings: parent.settings().inherited(),
        rights: parent.rights(),
        name: parent.name(),
        command_line: parent.command_line.clone(),
        started: shared.machine.now(),
        threads: home.thread_resource(&shared.grid),
        family: parent.family.lock().of_child(parent.id()),
        signals: parent.signals.lock().fork(),
        borrows: fork.lends,
        vfork_parent: fork.waits.then(|| caller.clone()),
        used: Consumption::default(),
        children_used: Consumption::default(),
    }
    .assemble(&home);
    let thread = NewThread {
        id: fork.id,
        process: process.clone(),
        registers: fork.registers,
        signals: caller.signals.lock().fork(),
        clear_child_tid: fork.clear_child_tid,
        allowed: caller.allowed.load(Ordering::Relaxed),
        name: caller.name(),
    }
    .build(shared);
    enter(shared, context, &process, &thread);
}

impl<M: Machine> Process<M> {
    /// Who has waited for it in vfork(2) goes on.
    pub(super) fn release_vfork_parent(&self, context: &mut Context<'_, Vortex<M>>) {
        let waiting = self.vfork_parent.lock().take();
        if let Some(parent) = waiting {
            complete(context, &parent, Ok(u64::from(self.id())));
        }
    }
}
