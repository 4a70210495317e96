//! What is typed at the terminal, on its way from the machine to who reads it; and what a call on
//! the terminal asks of processes.
//!
//! An interrupt of the console's port is a request of the infrastructure's to the Process Resource
//! ([`listen`]). What it takes from the port is a request on the account of who has the terminal
//! ([`typed`]): editing, echo and signals are paid by whom they are for.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::ids::{ActivityId, AffinityLabel, DependencyLabel};
use vortex_toolkit::{Context, Request};

use super::Process;
use crate::calls::Caller;
use crate::files::{Controller, Jobs};
use crate::machine::Machine;
use crate::signals::{self, Action, Info, Signal};
use crate::system::{Kind, Message, Shared, Vortex};

/// Bytes that are taken from the machine at a time.
const PORTION: usize = 256;
/// The label by which what is typed stays in order; those of threads are below it, those of cores
/// above.
const LABEL: u64 = 1 << 62;

/// Takes what has been typed from the machine, as far as there is room for it.
pub(crate) fn listen<M: Machine>(shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>) {
    let Some(terminal) = shared.terminal.get() else {
        return;
    };
    loop {
        let mut bytes = [0; PORTION];
        let room = terminal.announce(PORTION);
        if room == 0 {
            return;
        }
        let length = shared.machine.read_console(&mut bytes[..room]);
        terminal.renounce(room - length);
        // Until there is nothing left: only then does the port interrupt again.
        if length == 0 {
            return;
        }
        let leader = shared.processes.find(terminal.controller().session);
        let payer = leader.map_or(ActivityId::INFRASTRUCTURE, |leader| leader.activity());
        let message = Message::Typed(bytes[..length].into());
        send(shared, context, payer, message);
    }
}

fn send<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    payer: ActivityId,
    message: Message<M>,
) {
    let destination = shared.destination(Kind::Process, payer);
    let request = Request::new(destination, payer, message);
    let request = request.ordered(DependencyLabel(LABEL));
    context.send(request.near(AffinityLabel(LABEL)));
}

/// Has the Process Resource listen again, if bytes have waited for room.
pub(crate) fn listen_again<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
) {
    if let Some(terminal) = shared.terminal.get()
        && terminal.wants_input()
    {
        send(
            shared,
            context,
            ActivityId::INFRASTRUCTURE,
            Message::Console,
        );
    }
}

/// These bytes have been typed.
pub(crate) fn typed<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    bytes: &[u8],
) {
    let Some(terminal) = shared.terminal.get() else {
        return;
    };
    let foreground = terminal.controller().foreground;
    let (typed, goes_on) = terminal.typed(bytes);
    shared.machine.write_console(&typed.echo);
    for signal in typed.signals {
        signal_group(shared, context, foreground, signal);
    }
    if goes_on {
        listen(shared, context);
    }
}

/// Sends a signal to all processes of a group.
pub(crate) fn signal_group<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    group: u32,
    signal: Signal,
) {
    for process in members(shared, group) {
        signals::send_info(shared, context, &process, Info::kernel(signal));
    }
}

/// The processes of a group; nobody is in group 0.
fn members<M: Machine>(shared: &Shared<M>, group: u32) -> Vec<Arc<Process<M>>> {
    let mut members = shared.processes.all();
    members.retain(|process| group != 0 && process.family.lock().group == group);
    members
}

/// The leader of a session has ended: its terminal is nobody's, and who is in the foreground is told
/// (setsid(2)).
pub(super) fn hang_up<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    leader: &Process<M>,
) {
    let Some(terminal) = shared.terminal.get() else {
        return;
    };
    if let Some(Controller { foreground, .. }) = terminal.leave(leader.id()) {
        for signal in [Signal::HUP, Signal::CONT] {
            signal_group(shared, context, foreground, signal);
        }
    }
}

/// The first process has the terminal from the beginning, so that a shell can be the first process:
/// there need not be anybody who opens the terminal for it.
pub(super) fn give<M: Machine>(shared: &Shared<M>, process: &Process<M>) {
    let (id, session) = (process.id(), process.family.lock().session);
    if let Some(terminal) = shared.terminal.get()
        && id == 1
    {
        let foreground = id;
        terminal.set_controller(Controller {
            session,
            foreground,
        });
    }
}

impl<M: Machine> Jobs for Caller<'_, '_, M> {
    fn place(&self) -> (u32, u32) {
        self.process.session_and_group()
    }

    fn is_leader(&self) -> bool {
        self.process.family.lock().session == self.process.id()
    }

    fn refuses(&self, signal: Signal) -> bool {
        let action: Action = *self.process.signals.lock().action(signal);
        action.drops(signal) || self.thread.signals.lock().mask() & signal.bit() != 0
    }

    fn is_orphaned(&self) -> bool {
        let (session, group) = self.place();
        let has_guardian = |member: &Arc<Process<M>>| {
            let parent = self.shared.processes.find(member.parent());
            parent.is_some_and(|parent| {
                let family = parent.family.lock();
                family.session == session && family.group != group
            })
        };
        !members(self.shared, group).iter().any(has_guardian)
    }

    fn is_group(&self, group: u32, session: u32) -> bool {
        // It lasts until the last of it has been waited for: a shell may name it when the first of a
        // pipeline has ended already.
        let all = self.shared.processes.with_zombies();
        all.iter().any(|member| {
            let family = member.family.lock();
            group != 0 && family.group == group && family.session == session
        })
    }
}
