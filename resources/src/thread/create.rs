//! New threads: clone(2), clone3(2).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use linux_raw_sys::general as linux;
use spin::Mutex;
use vortex_toolkit::Context;

use super::memory::read_words;
use super::{Attention, Control, Kept, Thread, Used, wait};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::machine::{Machine, Registers};
use crate::process::Process;
use crate::signals;
use crate::system::{Shared, Vortex};

/// A thread to make.
pub(crate) struct NewThread<M: Machine> {
    pub(crate) id: u32,
    pub(crate) process: Arc<Process<M>>,
    pub(crate) registers: M::Registers,
    pub(crate) signals: signals::OfThread,
    pub(crate) clear_child_tid: u64,
    /// The cores on which it may run.
    pub(crate) allowed: u64,
    pub(crate) name: [u8; 16],
}

impl<M: Machine> NewThread<M> {
    /// The thread, of which nobody knows yet and for which a Run request is to be sent.
    pub(crate) fn build(self, shared: &Shared<M>) -> Arc<Thread<M>> {
        Arc::new(Thread {
            id: self.id,
            root: self.process.space().root(),
            process: self.process,
            registers: Mutex::new(self.registers),
            control: Mutex::new(Control::new()),
            attention: AtomicU32::new(Attention::empty().bits()),
            signals: Mutex::new(self.signals),
            clear_child_tid: AtomicU64::new(self.clear_child_tid),
            robust_list: AtomicU64::new(0),
            allowed: AtomicU64::new(self.allowed),
            name: Mutex::new(self.name),
            placed: AtomicU32::new(0),
            kept: Kept::default(),
            subscriptions: Mutex::default(),
            woken: shared.woken.clone(),
            refused_at: AtomicU64::new(u64::MAX),
            refusals: AtomicU32::new(0),
            used: Used::default(),
        })
    }
}

/// What clone(2) is asked for.
pub(crate) struct Clone {
    pub(crate) flags: u64,
    /// The new stack pointer; 0 for that of the caller.
    pub(crate) stack: u64,
    pub(crate) parent_tid: u64,
    pub(crate) child_tid: u64,
    pub(crate) tls: u64,
    /// The signal to the parent at the end (processes only).
    pub(crate) exit_signal: u64,
}

impl Clone {
    /// A process, with these flags.
    pub(crate) const fn process(flags: u32) -> Self {
        Self {
            flags: flags as u64,
            stack: 0,
            parent_tid: 0,
            child_tid: 0,
            tls: 0,
            exit_signal: linux::SIGCHLD as u64,
        }
    }

    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag as u64 != 0
    }
}

/// What threads of one process share, all of it or the call is not for a thread.
const THREAD: u64 = (linux::CLONE_VM
    | linux::CLONE_FS
    | linux::CLONE_FILES
    | linux::CLONE_SIGHAND
    | linux::CLONE_THREAD) as u64;

/// What may be asked for besides. `CLONE_DETACHED` means nothing, and musl sets it.
const FOR_THREADS: u64 = THREAD
    | (linux::CLONE_SYSVSEM
        | linux::CLONE_SETTLS
        | linux::CLONE_PARENT_SETTID
        | linux::CLONE_CHILD_SETTID
        | linux::CLONE_CHILD_CLEARTID
        | linux::CLONE_DETACHED) as u64;

/// clone(2).
pub(super) fn clone_call<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: [u64; 6],
) -> Outcome {
    let [flags, stack, parent_tid, child_tid, tls, _] = arguments;
    let exit_signal = flags & u64::from(linux::CSIGNAL);
    let what = Clone {
        flags: flags & !u64::from(linux::CSIGNAL),
        stack,
        parent_tid,
        child_tid,
        tls,
        exit_signal,
    };
    perform(caller, &what)
}

/// clone3(2).
pub(super) fn clone3<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    /// Bytes of the first version of the structure, and the most that are looked at.
    const FIRST_VERSION: u64 = 64;
    const LARGEST: u64 = 4096;
    let [address, size, ..] = arguments;
    if size < FIRST_VERSION {
        return Err(Errno::EINVAL.into());
    }
    if size > LARGEST {
        return Err(Errno::E2BIG.into());
    }
    let words: [u64; 8] = read_words(caller.process.space(), address)?;
    let [
        flags,
        _pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack,
        stack_size,
        tls,
    ] = words;
    let csignal = u64::from(linux::CSIGNAL);
    if flags & csignal != 0 || exit_signal & !csignal != 0 || (stack == 0) != (stack_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    // Later members (numbers to be given, control groups): none of them is there.
    for offset in (FIRST_VERSION..size & !7).step_by(8) {
        let [word] = read_words(caller.process.space(), address + offset)?;
        if word != 0 {
            return Err(Errno::EINVAL.into());
        }
    }
    let what = Clone {
        flags,
        stack: stack.wrapping_add(stack_size),
        parent_tid,
        child_tid,
        tls,
        exit_signal,
    };
    perform(caller, &what)
}

fn perform<M: Machine>(caller: &mut Caller<'_, '_, M>, what: &Clone) -> Outcome {
    if !what.has(linux::CLONE_THREAD) {
        return crate::process::fork(caller, what);
    }
    if what.flags & THREAD != THREAD || what.flags & !FOR_THREADS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let process = caller.process;
    let id = caller.shared.processes.new_number(process)?;
    let made = make(caller, what, id);
    if made.is_err() {
        caller.shared.processes.forget(id);
    }
    made
}

/// Makes the thread that has this number.
fn make<M: Machine>(caller: &mut Caller<'_, '_, M>, what: &Clone, id: u32) -> Outcome {
    let process = caller.process;
    let space = process.space();
    for (flag, address) in [
        (linux::CLONE_PARENT_SETTID, what.parent_tid),
        (linux::CLONE_CHILD_SETTID, what.child_tid),
    ] {
        if what.has(flag) {
            space.write(address, &id.to_le_bytes())?;
        }
    }
    let mut registers = caller.registers.fork();
    registers.set_result(0);
    if what.stack != 0 {
        registers.set_stack_pointer(what.stack);
    }
    if what.has(linux::CLONE_SETTLS) && !registers.set_fs_base(what.tls) {
        return Err(Errno::EPERM.into());
    }
    let clears = what.has(linux::CLONE_CHILD_CLEARTID);
    let mask = caller.thread.signals.lock().mask();
    let thread = NewThread {
        id,
        process: process.clone(),
        registers,
        signals: signals::OfThread::new(mask),
        clear_child_tid: if clears { what.child_tid } else { 0 },
        allowed: caller.thread.allowed.load(Ordering::Relaxed),
        name: caller.thread.name(),
    }
    .build(caller.shared);
    if !process.add_thread(&thread) {
        return Err(Verdict::Fail(Errno::EAGAIN));
    }
    launch(caller.shared, caller.context, &thread);
    Ok(u64::from(id))
}

/// Lets a new thread begin, on a core that suits it.
pub(crate) fn launch<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) {
    let process = thread.process();
    let may = |core| thread.may_run_on(core);
    let chosen = shared.place(&process.home(), context.core(), may);
    if let Some(core) = chosen {
        thread.settle(context, core, process.threads(), process.activity());
    }
    wait::ready(context, thread);
}
