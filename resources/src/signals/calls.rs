//! The system calls about signals. Each takes the six arguments as they are in the registers.

use linux_raw_sys::general as linux;

use super::action::{ACTION_SIZE, Action};
use super::deliver::look_again;
use super::frame::{self, encode_stack};
use super::{
    AlternateStack, Cause, Info, Signal, UNSTOPPABLE, borrow_mask, send_info, send_to_thread,
};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::machine::{Machine, Registers};
use crate::process::{self, ExitStatus};
use crate::space::UserError;
use crate::thread::timers::signal_taken;
use crate::thread::{Interruption, Timespec, block, relative_deadline};

/// Bytes of the kernel's set of signals.
const SET_SIZE: u64 = 8;

fn check_size(size: u64) -> Result<(), Errno> {
    match size {
        SET_SIZE => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn signal(number: u64) -> Result<Signal, Errno> {
    Signal::new(number & u64::from(u32::MAX)).ok_or(Errno::EINVAL)
}

/// What kill(2) and its kin take: 0 only looks whether it could be sent.
pub(crate) fn signal_or_none(number: u64) -> Result<Option<Signal>, Errno> {
    match number & u64::from(u32::MAX) {
        0 => Ok(None),
        number => signal(number).map(Some),
    }
}

fn read_set<M: Machine>(caller: &Caller<'_, '_, M>, address: u64) -> Result<u64, UserError> {
    let mut bytes = [0; 8];
    caller.process.space().read(address, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// `rt_sigaction`(2).
///
/// # Errors
/// EINVAL, EFAULT.
pub fn rt_sigaction<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [number, new, old, size, ..] = arguments;
    check_size(size)?;
    let signal = signal(number)?;
    let space = caller.process.space();
    let new = match new {
        0 => None,
        _ if signal.bit() & UNSTOPPABLE != 0 => return Err(Errno::EINVAL.into()),
        address => {
            let mut bytes = [0; ACTION_SIZE];
            space.read(address, &mut bytes)?;
            Some(Action::decode(&bytes))
        }
    };
    if old != 0 {
        let before = *caller.process.signals.lock().action(signal);
        space.write(old, &before.encode())?;
    }
    let Some(new) = new else { return Ok(0) };
    let threads = caller.process.all_threads();
    let mut signals = caller.process.signals.lock();
    signals.actions[signal.number() as usize - 1] = new;
    if new.drops(signal) {
        signals.pending.discard(signal.bit());
        for thread in threads {
            thread.signals.lock().pending.discard(signal.bit());
        }
    }
    Ok(0)
}

/// `rt_sigprocmask`(2).
///
/// # Errors
/// EINVAL, EFAULT.
pub fn rt_sigprocmask<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [how, new, old, size, ..] = arguments;
    check_size(size)?;
    let set = match new {
        0 => None,
        address => Some(read_set(caller, address)?),
    };
    let before = caller.thread.signals.lock().mask;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    let after = match (set, how as u32) {
        (None, _) => before,
        (Some(set), linux::SIG_BLOCK) => before | set,
        (Some(set), linux::SIG_UNBLOCK) => before & !set,
        (Some(set), linux::SIG_SETMASK) => set,
        _ => return Err(Errno::EINVAL.into()),
    };
    if old != 0 {
        caller.process.space().write(old, &before.to_le_bytes())?;
    }
    caller.thread.signals.lock().set_mask(after);
    look_again(caller.thread);
    Ok(0)
}

/// `rt_sigpending`(2).
///
/// # Errors
/// EINVAL, EFAULT.
pub fn rt_sigpending<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [set, size, ..] = arguments;
    if size > SET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let of_process = caller.process.signals.lock();
    let signals = caller.thread.signals.lock();
    let pending = (signals.pending.set | of_process.pending.set) & signals.mask;
    drop(signals);
    drop(of_process);
    let length = usize::try_from(size).unwrap_or(0);
    caller
        .process
        .space()
        .write(set, &pending.to_le_bytes()[..length])?;
    Ok(0)
}

/// `rt_sigsuspend`(2).
///
/// # Errors
/// EINVAL, EFAULT; or the thread waits.
pub fn rt_sigsuspend<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [set, size, ..] = arguments;
    check_size(size)?;
    let set = read_set(caller, set)?;
    borrow_mask(caller.thread, set);
    block(caller, Interruption::Fail, None);
    Err(Verdict::Blocked)
}

/// `rt_sigtimedwait`(2).
///
/// # Errors
/// EINVAL, EFAULT, EAGAIN; or the thread waits.
pub fn rt_sigtimedwait<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [set, info, timeout, size, ..] = arguments;
    check_size(size)?;
    let set = read_set(caller, set)? & !UNSTOPPABLE;
    let timeout = match timeout {
        0 => None,
        address => Some(Timespec::read(caller.process.space(), address)?.nanoseconds()?),
    };
    let is_pending = caller.process.signals.lock().pending.set & set != 0
        || caller.thread.signals.lock().pending.set & set != 0;
    if info != 0 && is_pending {
        // Before a signal is taken: writing must not fail then.
        caller
            .process
            .space()
            .write(info, &[0; super::info::INFO_SIZE])?;
    }
    let mut of_process = caller.process.signals.lock();
    let mut signals = caller.thread.signals.lock();
    let found = signals.pending.take(set);
    let found = found.or_else(|| of_process.pending.take(set));
    signals.awaited = if found.is_none() { set } else { 0 };
    drop(signals);
    drop(of_process);
    if let Some(mut found) = found {
        signal_taken(caller.shared, caller.context, caller.process, &mut found);
        if info != 0 {
            caller.process.space().write(info, &found.encode())?;
        }
        return Ok(u64::from(found.signal.number()));
    }
    if timeout == Some(0) {
        caller.thread.signals.lock().awaited = 0;
        return Err(Errno::EAGAIN.into());
    }
    // One that is awaited interrupts the wait; the call is then made again, and finds it.
    let deadline = timeout.map(|ns| (relative_deadline(caller, ns), Err(Errno::EAGAIN)));
    block(caller, Interruption::Fail, deadline);
    Err(Verdict::Blocked)
}

/// `rt_sigqueueinfo`(2).
///
/// # Errors
/// EINVAL, EFAULT, EPERM, ESRCH, EAGAIN.
pub fn rt_sigqueueinfo<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [process, number, info, ..] = arguments;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    let process = process as u32;
    let claimed = Claimed::read(caller, info)?;
    claimed.check(caller, process)?;
    let target = caller.shared.processes.find(process).ok_or(Errno::ESRCH)?;
    if !caller.process.may_signal(&target) {
        return Err(Errno::EPERM.into());
    }
    if let Some(signal) = signal_or_none(number)? {
        if signal.is_real_time() && !target.signals.lock().pending.has_room() {
            return Err(Errno::EAGAIN.into());
        }
        let info = claimed.about(signal);
        send_info(caller.shared, caller.context, &target, info);
    }
    Ok(0)
}

/// `rt_tgsigqueueinfo`(2).
///
/// # Errors
/// EINVAL, EFAULT, EPERM, ESRCH, EAGAIN.
pub fn rt_tgsigqueueinfo<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: [u64; 6],
) -> Outcome {
    let [process, thread, number, info, ..] = arguments;
    let claimed = Claimed::read(caller, info)?;
    let (of, _) = (number_of(process)?, number_of(thread)?);
    claimed.check(caller, of)?;
    to_thread(caller, Some(process), thread, number, |signal| {
        claimed.about(signal)
    })
}

/// What a program says of a signal that it queues.
#[derive(Clone, Copy)]
struct Claimed {
    code: i32,
    sender: u32,
    value: u64,
}

impl Claimed {
    /// From the program's memory.
    fn read<M: Machine>(caller: &Caller<'_, '_, M>, info: u64) -> Result<Self, UserError> {
        let mut bytes = [0; 32];
        caller.process.space().read(info, &mut bytes)?;
        let part = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        Ok(Self {
            code: part(8).cast_signed(),
            sender: part(16),
            value: u64::from(part(28)) << 32 | u64::from(part(24)),
        })
    }

    /// EPERM if it says to another process that it is the kernel, or kill(2).
    fn check<M: Machine>(self, caller: &Caller<'_, '_, M>, process: u32) -> Result<(), Errno> {
        let is_honest = self.code < 0 && self.code != linux::SI_TKILL;
        if is_honest || process == caller.process.id() {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    const fn about(self, signal: Signal) -> Info {
        Info {
            signal,
            code: self.code,
            cause: Cause::Queued(self.sender, self.value),
        }
    }
}

/// `rt_sigreturn`(2).
///
/// # Errors
/// Never a number: the thread goes on as the frame says, or its process is killed (SIGSEGV).
pub fn rt_sigreturn<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    match frame::pop(caller.process.space(), caller.registers) {
        Ok(saved) => {
            let pointer = caller.registers.stack_pointer();
            let mut signals = caller.thread.signals.lock();
            signals.set_mask(saved.mask);
            if let Ok(stack) = checked(saved.stack)
                && !signals.stack.has(pointer)
            {
                signals.stack = stack;
            }
            drop(signals);
            look_again(caller.thread);
        }
        Err(UserError::Absent(address, write)) => return Err(Verdict::Absent(address, write)),
        Err(UserError::Bad) => {
            let status = ExitStatus::by(Signal::SEGV);
            process::kill(caller.shared, caller.context, caller.process, status);
        }
    }
    Err(Verdict::Resume)
}

/// A stack that a user has described.
fn checked(stack: AlternateStack) -> Result<AlternateStack, Errno> {
    const AUTODISARM: u32 = 1 << 31;
    match stack.flags & !AUTODISARM {
        linux::SS_DISABLE => Ok(AlternateStack::NONE),
        0 | linux::SS_ONSTACK if stack.size < u64::from(linux::MINSIGSTKSZ) => Err(Errno::ENOMEM),
        0 | linux::SS_ONSTACK => Ok(AlternateStack { flags: 0, ..stack }),
        _ => Err(Errno::EINVAL),
    }
}

/// sigaltstack(2).
///
/// # Errors
/// EPERM on that stack, EINVAL, ENOMEM, EFAULT.
pub fn sigaltstack<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [new, old, ..] = arguments;
    let space = caller.process.space();
    let before = caller.thread.signals.lock().stack;
    let is_on = before.has(caller.registers.stack_pointer());
    let new = match new {
        0 => None,
        address => {
            let mut bytes = [0; 24];
            space.read(address, &mut bytes)?;
            let word =
                |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the member is 32 bits wide"
            )]
            Some(AlternateStack {
                start: word(0),
                flags: word(8) as u32,
                size: word(16),
            })
        }
    };
    if old != 0 {
        let flags = if is_on {
            linux::SS_ONSTACK
        } else {
            before.flags
        };
        space.write(old, &encode_stack(&AlternateStack { flags, ..before }))?;
    }
    if let Some(new) = new {
        if is_on {
            return Err(Errno::EPERM.into());
        }
        // Linux compares first; before anything was set, all is 0 there.
        let is_unset = (before.start, before.size) == (0, 0);
        let is_zero = (new.start, new.size, new.flags) == (0, 0, 0);
        let is_same = is_unset && is_zero
            || (new.start, new.size, new.flags) == (before.start, before.size, before.flags);
        if !is_same {
            caller.thread.signals.lock().stack = checked(new)?;
        }
    }
    Ok(0)
}

/// tkill(2).
///
/// # Errors
/// EINVAL, ESRCH, EPERM.
pub fn tkill<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [thread, number, ..] = arguments;
    let sender = caller.process.id();
    to_thread(caller, None, thread, number, |signal| {
        Info::thread(signal, sender)
    })
}

/// tgkill(2).
///
/// # Errors
/// EINVAL, ESRCH, EPERM.
pub fn tgkill<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [process, thread, number, ..] = arguments;
    let sender = caller.process.id();
    to_thread(caller, Some(process), thread, number, |signal| {
        Info::thread(signal, sender)
    })
}

/// The number of a process or thread, which is above 0.
fn number_of(value: u64) -> Result<u32, Errno> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    match (value as u32).cast_signed() {
        number if number > 0 => Ok(number.cast_unsigned()),
        _ => Err(Errno::EINVAL),
    }
}

fn to_thread<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    process: Option<u64>,
    thread: u64,
    number: u64,
    about: impl FnOnce(Signal) -> Info,
) -> Outcome {
    let wanted = process.map(number_of).transpose()?;
    let target = caller
        .shared
        .processes
        .thread(number_of(thread)?)
        .ok_or(Errno::ESRCH)?;
    if wanted.is_some_and(|process| process != target.process().id()) {
        return Err(Errno::ESRCH.into());
    }
    if !caller.process.may_signal(target.process()) {
        return Err(Errno::EPERM.into());
    }
    if let Some(signal) = signal_or_none(number)? {
        if signal.is_real_time() && !target.signals.lock().pending.has_room() {
            return Err(Errno::EAGAIN.into());
        }
        send_to_thread(caller.shared, caller.context, &target, about(signal));
    }
    Ok(0)
}
