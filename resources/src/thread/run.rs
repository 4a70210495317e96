//! Runs threads (paper, section 3.4): the handler of a Run request sets up the slice, lets the
//! thread run, and goes on with the next request when the thread waits, gives way or ends.
//!
//! While a thread is in user mode, the multiplexor takes its thread resource to execute a request:
//! so the time is charged like that of any other.

use alloc::sync::Arc;

use vortex_toolkit::Context;

use super::{Attention, Resumption, State, Thread, affinity, cpu_timers, end, fault};
use super::{in_rax, timers, wait};
use crate::calls::{self, Caller, Verdict};
use crate::errno::Errno;
use crate::machine::{Access, Exit, Machine, Registers};
use crate::signals::{self, Delivery, Info, Interrupted, Trap};
use crate::system::{CoreResources, Shared, Vortex};

/// Why a thread does not run on.
enum End {
    /// It waits, and will be woken; or has been already.
    Waits,
    /// Others go first.
    GivesWay,
    /// It is not to run here, or not in this resource.
    Moves,
    /// It is not to run until it is resumed.
    Parks,
    /// It has ended.
    Dies,
}

impl<M: Machine> Thread<M> {
    /// The Run request has come: what becomes of the call it waited in. `None` if it is not to run.
    fn begin(&self, core: vortex_toolkit::ids::CoreId) -> Option<(Resumption, u64)> {
        let mut control = self.control.lock();
        if control.state != State::Ready {
            debug_assert!(false, "run in state {control:?}");
            return None;
        }
        let stays = control.is_suspended || self.process().is_held();
        if stays && !self.attention().contains(Attention::DYING) {
            control.state = State::Parked;
            return None;
        }
        control.state = State::Running(core);
        let resumption = core::mem::replace(&mut control.resumption, Resumption::Plain);
        Some((resumption, control.remain))
    }
}

/// Handles a Run request.
pub(crate) fn run<M: Machine>(
    core: &mut CoreResources<M>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) {
    if context.head().destination != thread.process().threads() {
        return wait::ready(context, thread);
    }
    if !thread.may_run_on(context.core()) && !thread.process().is_dying() {
        return affinity::move_away(&core.shared, context, thread);
    }
    let Some((resumption, remain)) = thread.begin(context.core()) else {
        return;
    };
    let shared = core.shared.clone();
    thread.used.begin(context.now());
    let mut registers = thread.registers.lock();
    let mut turn = Turn {
        slice_end: context.now().saturating_add(thread.process().timeslice()),
        shared: &shared,
        core,
        context,
        thread,
        registers: &mut registers,
        interrupted: None,
    };
    turn.resume(resumption, remain);
    let end = turn.run();
    context.leave_user();
    shared.machine.leave(&mut registers);
    drop(registers);
    thread.used.end(shared.machine.now());
    match end {
        End::Waits | End::Parks => crate::process::give_back_old(&shared, context, thread),
        End::GivesWay => {
            thread.control.lock().state = State::Ready;
            wait::ready(context, thread);
        }
        End::Moves => {
            thread.control.lock().state = State::Ready;
            affinity::move_away(&shared, context, thread);
        }
        End::Dies => end::die(&shared, context, thread),
    }
}

/// One thread's turn on a core.
struct Turn<'a, 'c, M: Machine> {
    shared: &'a Arc<Shared<M>>,
    core: &'a mut CoreResources<M>,
    context: &'a mut Context<'c, Vortex<M>>,
    thread: &'a Arc<Thread<M>>,
    registers: &'a mut M::Registers,
    slice_end: u64,
    /// A signal has ended the wait of the call that the registers are in.
    interrupted: Option<Interrupted>,
}

impl<M: Machine> Turn<'_, '_, M> {
    /// Brings the registers to where the thread goes on.
    fn resume(&mut self, resumption: Resumption, remain: u64) {
        self.thread.unsubscribe();
        match resumption {
            Resumption::Plain => {}
            Resumption::Result(result) => {
                self.thread.kept.forget();
                self.registers.set_result(in_rax(result));
            }
            Resumption::Again => self.registers.restart_call(self.registers.number()),
            Resumption::Interrupted(interruption, until) => {
                self.interrupted = Some(Interrupted {
                    interruption,
                    until,
                    remain,
                });
            }
        }
    }

    fn run(&mut self) -> End {
        loop {
            if (self.thread.needs_attention() || self.interrupted.is_some())
                && let Some(end) = self.attend()
            {
                return end;
            }
            let now = self.shared.machine.now();
            if now >= self.slice_end {
                self.thread.used.count_switch(false);
                return End::GivesWay;
            }
            let due = self.context.next_due().unwrap_or(u64::MAX);
            let counted = cpu_timers::see_to(self.shared, self.context, self.thread);
            let until = self.slice_end.min(due).min(now.saturating_add(counted));
            self.core.arm(now, until);
            let (thread, context) = (self.thread, &mut *self.context);
            let mut may_enter = || !thread.needs_attention() && context.enter_user();
            let machine = &self.shared.machine;
            let exit = machine.run(&thread.root, self.registers, &mut may_enter);
            if let Some(end) = self.leave(exit) {
                return end;
            }
        }
    }

    /// User mode has been left.
    #[inline]
    fn leave(&mut self, exit: Exit) -> Option<End> {
        match exit {
            Exit::SystemCall => self.call(),
            Exit::PageFault {
                address,
                write,
                execute,
            } => self.fault(address, Access { write, execute }),
            Exit::Exception { vector, code } => {
                let at = self.registers.instruction_pointer();
                let info = Info::exception(vector, code, at);
                self.force(info, Trap::exception(vector, code))
            }
            Exit::Interrupt => {
                timers::run_due(self.shared, self.context);
                self.context.should_yield().then_some(End::GivesWay)
            }
            Exit::NotEntered if self.thread.needs_attention() => None,
            Exit::NotEntered => Some(End::GivesWay),
        }
    }

    fn call(&mut self) -> Option<End> {
        let verdict = calls::dispatch(&mut Caller {
            thread: self.thread,
            process: self.thread.process(),
            registers: self.registers,
            shared: self.shared,
            context: self.context,
        });
        self.shared.run_woken(self.context);
        match verdict {
            Verdict::Blocked => return Some(End::Waits),
            Verdict::Absent(address, write) => return self.absent(address, write),
            Verdict::Again => {
                self.registers.restart_call(self.registers.number());
                return None;
            }
            Verdict::Return(value) => self.registers.set_result(value),
            Verdict::Fail(error) => self.registers.set_result(error.result()),
            Verdict::Resume => {}
            Verdict::Yield(value) => {
                self.registers.set_result(value);
                self.thread.kept.forget();
                return Some(End::GivesWay);
            }
            Verdict::Exited => return Some(End::Dies),
        }
        self.thread.kept.forget();
        None
    }

    /// The call is made again when the page is there.
    fn absent(&mut self, address: u64, write: bool) -> Option<End> {
        let access = Access {
            write,
            execute: false,
        };
        let end = fault::resolve(self.shared, self.context, self.thread, address, access);
        if let fault::End::Signal(..) = end {
            // What has been moved before counts.
            let moved = Some(self.thread.kept.done()).filter(|done| *done > 0);
            self.thread.kept.forget();
            self.registers
                .set_result(in_rax(moved.ok_or(Errno::EFAULT)));
            return None;
        }
        self.registers.restart_call(self.registers.number());
        matches!(end, fault::End::Waits).then_some(End::Waits)
    }

    fn fault(&mut self, address: u64, access: Access) -> Option<End> {
        match fault::resolve(self.shared, self.context, self.thread, address, access) {
            fault::End::GoesOn => None,
            fault::End::Waits => Some(End::Waits),
            fault::End::Signal(info, trap) => self.force(info, trap),
        }
    }

    /// A signal that the thread itself has caused.
    fn force(&mut self, info: Info, trap: Trap) -> Option<End> {
        signals::force(self.shared, self.context, self.thread, info, trap);
        None
    }

    /// Sees to what others have asked of the thread.
    fn attend(&mut self) -> Option<End> {
        let attention = self.thread.attention();
        if attention.contains(Attention::DYING) {
            return Some(End::Dies);
        }
        if attention.contains(Attention::MOVE) {
            self.thread.lower(Attention::MOVE);
            let elsewhere = self.context.head().destination != self.thread.process().threads();
            if elsewhere || !self.thread.may_run_on(self.context.core()) {
                self.keep_interrupted();
                return Some(End::Moves);
            }
        }
        if attention.contains(Attention::PARK) && self.park() {
            return Some(End::Parks);
        }
        if attention.contains(Attention::SIGNAL) {
            self.thread.lower(Attention::SIGNAL);
            if let Some(end) = self.deliver() {
                return Some(end);
            }
        }
        if self.thread.attention().is_empty()
            && let Some(interrupted) = self.interrupted.take()
        {
            // Nothing has come of it: the call goes on.
            self.thread.kept.set_deadline(interrupted.until);
            self.registers.restart_call(self.registers.number());
        }
        None
    }

    fn deliver(&mut self) -> Option<End> {
        let delivery = signals::deliver(
            self.shared,
            self.context,
            self.thread,
            self.registers,
            &mut self.interrupted,
        );
        match delivery {
            Delivery::Done => None,
            Delivery::Absent(address) => {
                // The stack is not there yet: the signal is still pending, and is delivered then.
                self.thread.raise(Attention::SIGNAL);
                let access = Access {
                    write: true,
                    execute: false,
                };
                match fault::resolve(self.shared, self.context, self.thread, address, access) {
                    fault::End::Waits => Some(End::Waits),
                    fault::End::GoesOn => None,
                    fault::End::Signal(info, trap) => self.force(info, trap),
                }
            }
        }
    }

    /// Whether the thread is not to run on for now.
    fn park(&mut self) -> bool {
        self.thread.lower(Attention::PARK);
        let mut control = self.thread.control.lock();
        let stays = control.is_suspended || self.thread.process().is_held();
        if stays {
            control.state = State::Parked;
            if let Some(interrupted) = self.interrupted.take() {
                control.resumption = interrupted.resumption();
            }
        }
        stays
    }

    /// The next turn goes on with what has interrupted the call.
    fn keep_interrupted(&mut self) {
        if let Some(interrupted) = self.interrupted.take() {
            self.thread.control.lock().resumption = interrupted.resumption();
        }
    }
}
