//! The resources, as one core sees them: each message to its handler.

use alloc::sync::Arc;

use vortex_tcp::Instant;
use vortex_toolkit::ids::{ActivityId, CoreId};
use vortex_toolkit::{Context, Outcome, Reason, Request, Resources};

use super::{Call, Kind, Message, Shared, Vortex};
use crate::calls::{self, Verdict};
use crate::errno::Errno;
use crate::files;
use crate::machine::{Access, Machine};
use crate::net::{self, NetMessage};
use crate::process::{self, ExitStatus, console};
use crate::signals::Signal;
use crate::storage::{self, DiskMessage, IoError};
use crate::thread::{self, Resumption};

/// The resources, as one core sees them.
pub struct CoreResources<M: Machine> {
    /// What is shared.
    pub shared: Arc<Shared<M>>,
    core: CoreId,
    /// When the machine's deadline is, in cycles; it may have passed.
    armed: u64,
    /// When disks, and network interfaces, are to be looked at by this core, in cycles.
    disks_due: u64,
    nics_due: u64,
    /// When timers of the network end, in cycles.
    network_due: u64,
}

impl<M: Machine> CoreResources<M> {
    /// The resources on `core`.
    pub fn new(shared: Arc<Shared<M>>, core: CoreId) -> Self {
        Self {
            shared,
            core,
            armed: u64::MAX,
            disks_due: u64::MAX,
            network_due: u64::MAX,
            nics_due: u64::MAX,
        }
    }

    /// When the first sleeper of this core is due, in cycles: a core that halts wakes up then, and
    /// calls [`Self::run_timers`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        // What was noted down by a continuation is sent in the next round.
        if self.shared.network.has_posts(self.core) {
            return Some(0);
        }
        let first = self.first_due();
        (first != u64::MAX).then_some(first)
    }

    /// When something is to be done by this core without being asked, in cycles.
    #[inline]
    fn first_due(&self) -> u64 {
        let sleeper = self.shared.timers(self.core).first();
        let devices = self.disks_due.min(self.nics_due);
        sleeper.min(devices).min(self.network_due)
    }

    /// Wakes sleepers of this core that are due, some at a time. To be called in every round of the
    /// idle loop, before the core looks for requests the last time.
    pub fn run_timers(&mut self, context: &mut Context<'_, Vortex<M>>) {
        thread::timers::run_due(&self.shared, context);
        self.shared.run_woken(context);
        if self.disks_due <= context.now() {
            self.disks_due = u64::MAX;
            storage::ring::look_at_all(&self.shared, context);
        }
        if self.network_due <= context.now() {
            self.network_due = u64::MAX;
            net::run_timers(&self.shared, context);
        }
        if self.nics_due <= context.now() {
            self.nics_due = u64::MAX;
            let due_ns = net::ring::look_at_due(&self.shared, context);
            self.expect_nics(due_ns);
        }
    }

    /// Sees to it that the machine's deadline is no later than `at`, or than the first sleeper. An
    /// earlier one stays: setting it costs more than an interrupt for nothing now and then.
    #[inline]
    pub(crate) fn arm(&mut self, now: u64, at: u64) {
        let at = at.min(self.first_due());
        if at < self.armed || self.armed <= now {
            self.shared.machine.set_deadline(at);
            self.armed = at;
        }
    }
}

impl<M: Machine> Resources<Vortex<M>> for CoreResources<M> {
    fn handle(
        &mut self,
        message: Message<M>,
        context: &mut Context<'_, Vortex<M>>,
    ) -> Outcome<Message<M>> {
        // Those that there are most of, without counting one more who has what is shared.
        match message {
            Message::Net(message) => self.handle_net(message, context),
            Message::Disk(message) => self.handle_disk(message, context),
            Message::Run(thread) => {
                thread::run(self, context, &thread);
                self.shared.run_woken(context);
                Outcome::Done
            }
            message => handle_other(&self.shared, context, message),
        }
    }

    fn returned(
        &mut self,
        request: Request<Message<M>>,
        reason: Reason,
        context: &mut Context<'_, Vortex<M>>,
    ) {
        log::debug!("returned to {:?}: {reason}", request.head.destination);
        let shared = &self.shared.clone();
        let infrastructure = ActivityId::INFRASTRUCTURE;
        let (kind, message) = match request.message {
            Message::Run(thread) => {
                // Its process has moved to another activity: there.
                if thread.process().threads() != request.head.destination {
                    return thread::ready(context, &thread);
                }
                let process = thread.process();
                log::warn!("process {} cannot run anywhere: {reason}", process.id());
                process::kill(shared, context, process, ExitStatus::killed(Signal::KILL));
                return thread::die_unrun(shared, context, &thread);
            }
            Message::Call(call) => {
                return thread::complete(context, &call.thread, Err(Errno::EAGAIN));
            }
            Message::Fetch(thread, ..) | Message::Unfetched(thread, _) => {
                return thread::go_on(context, &thread, Resumption::Plain);
            }
            Message::Reclaim(reclaim, starved) => {
                return thread::give_back(shared, context, &reclaim, &starved);
            }
            Message::Volume(_) => {
                return context.reply(&request.head, Message::VolumeDone(Err(IoError::Failed)));
            }
            Message::Read(_) => {
                return context.reply(&request.head, Message::ReadDone(Err(Errno::EIO)));
            }
            Message::BringIn(thread, ..) => {
                return thread::complete(context, &thread, Err(Errno::EFAULT));
            }
            message @ Message::Errand(_) => (Kind::FileCache, message),
            message @ Message::Put(_) => (Kind::AddressSpace, message),
            // Who waited for it is gone.
            Message::ReadDone(_) | Message::Done => return,
            Message::VolumeDone(_) | Message::Volumes(_) => return,
            message @ Message::AwaitVolumes => (Kind::Storage, message),
            message @ Message::Stream(_) => (Kind::Aio, message),
            Message::Disk(message) => (message.destination(), Message::Disk(message)),
            Message::Net(message) => (message.destination(), Message::Net(message)),
            message @ Message::Starved(_) => (Kind::Memory, message),
            message @ (Message::Teardown(_) | Message::Recharge(_) | Message::Fork(_)) => {
                (Kind::AddressSpace, message)
            }
            message @ (Message::Spawn(_) | Message::Kill(..) | Message::Ended(_)) => {
                (Kind::Process, message)
            }
            message @ (Message::Console | Message::Typed(_)) => (Kind::Process, message),
        };
        // The activity has ended: what is left to do is the infrastructure's.
        if request.head.activity == infrastructure {
            let _ = self.handle(message, context);
        } else {
            let destination = shared.destination(kind, infrastructure);
            context.send(Request::new(destination, infrastructure, message));
        }
    }
}

/// Messages but those that [`CoreResources`] itself handles.
fn handle_other<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    message: Message<M>,
) -> Outcome<Message<M>> {
    match message {
        Message::Call(call) => perform(shared, context, call),
        Message::Fetch(thread, object, page, write) => {
            thread::fetch(shared, context, &thread, &object, (page, write));
        }
        Message::Unfetched(thread, error) => {
            thread::unfetched(shared, context, &thread, error);
        }
        Message::Starved(starved) => thread::reclaim_for(shared, context, &starved),
        Message::Reclaim(reclaim, starved) => {
            thread::give_back(shared, context, &reclaim, &starved);
        }
        Message::Spawn(spawn) => process::start(shared, context, *spawn),
        Message::Fork(fork) => process::fork_more(shared, context, fork),
        Message::Kill(process, after) => process::kill_more(shared, context, &process, after),
        Message::Teardown(process) => process::tear_down(shared, context, &process),
        Message::Ended(process) => process::end(shared, context, &process),
        Message::Recharge(process) => process::recharge(shared, context, &process),
        Message::Console => console::listen(shared, context),
        Message::Typed(bytes) => console::typed(shared, context, &bytes),
        Message::Errand(errand) => return errand.begin(shared, context),
        Message::Read(read) => return files::source(shared, context, *read),
        Message::Put(put) => files::sink(context, &put),
        Message::BringIn(thread, address, write) => {
            let execute = false;
            thread::bring_in(shared, context, &thread, address, Access { write, execute });
        }
        Message::Stream(operation) => operation.attempt(shared, context),
        Message::ReadDone(_) | Message::Done => {}
        Message::Volume(transfer) => storage::volumes::transfer(shared, context, *transfer),
        Message::AwaitVolumes => storage::volumes::tell(shared, context),
        // Those have been handled.
        Message::Run(_) | Message::Disk(_) | Message::Net(_) => {}
        Message::VolumeDone(_) | Message::Volumes(_) => {}
    }
    shared.run_woken(context);
    Outcome::Done
}

impl<M: Machine> CoreResources<M> {
    /// What the resources of storage say to each other.
    fn handle_disk(
        &mut self,
        message: DiskMessage,
        context: &mut Context<'_, Vortex<M>>,
    ) -> Outcome<Message<M>> {
        use storage::{discovery, disks, request, ring};
        let shared = &self.shared.clone();
        let due_ns = match message {
            DiskMessage::Insert(io) => {
                let (outcome, due_ns) = ring::insert(shared, context, io);
                self.expect_disks(due_ns);
                return outcome;
            }
            DiskMessage::Interrupt(vector) => ring::interrupt(shared, context, vector),
            DiskMessage::Service(id) => ring::look(shared, context, id),
            DiskMessage::Discover(id) => return discovery::begin(shared, context, id),
            message => {
                match message {
                    DiskMessage::Blocks(blocks) => disks::blocks(shared, context, blocks),
                    DiskMessage::Request(io) => request::translate(shared, context, io),
                    DiskMessage::Answered(io, result) => {
                        disks::answered(shared, context, io, &result);
                    }
                    DiskMessage::Dropped(io) => disks::dropped(shared, context, io),
                    DiskMessage::Removed(id, unit) => disks::removed(shared, context, id, unit),
                    DiskMessage::Discovered(id) => discovery::has_ended(shared, context, id),
                    _ => {}
                }
                None
            }
        };
        self.expect_disks(due_ns);
        Outcome::Done
    }

    /// Timers of the network end by then. Those of one millisecond are seen to together: thousands of
    /// connections a second have several each, of which most have become needless meanwhile.
    fn expect_network(&mut self, due: Option<Instant>) {
        if let Some(Instant(micros)) = due {
            let millis = micros.div_ceil(1_000);
            let at = self.shared.clock.cycles(millis.saturating_mul(1_000_000));
            self.network_due = self.network_due.min(at);
        }
    }

    /// What the resources of the network say to each other.
    fn handle_net(
        &mut self,
        message: NetMessage,
        context: &mut Context<'_, Vortex<M>>,
    ) -> Outcome<Message<M>> {
        let shared = &self.shared;
        let (outcome, due_ns) = match message {
            NetMessage::Transmit(id, frame) => net::ring::insert(shared, context, id, frame),
            NetMessage::Interrupt(vector) => {
                (Outcome::Done, net::ring::interrupt(shared, context, vector))
            }
            NetMessage::Service(id) => (Outcome::Done, net::ring::look(shared, context, id)),
            message => {
                let due = net::handle(shared, context, message);
                self.expect_network(due);
                (Outcome::Done, None)
            }
        };
        self.expect_nics(due_ns);
        self.shared.run_woken(context);
        outcome
    }

    /// Disks are to be looked at by then, in nanoseconds.
    fn expect_disks(&mut self, due_ns: Option<u64>) {
        if let Some(due_ns) = due_ns {
            self.disks_due = self.disks_due.min(self.shared.clock.cycles(due_ns));
        }
    }

    /// Network interfaces are to be looked at by then, in nanoseconds.
    fn expect_nics(&mut self, due_ns: Option<u64>) {
        if let Some(due_ns) = due_ns {
            self.nics_due = self.nics_due.min(self.shared.clock.cycles(due_ns));
        }
    }
}

/// Performs a call that has become a request.
fn perform<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    mut call: alloc::boxed::Box<Call<M>>,
) {
    let thread = call.thread.clone();
    let result = match calls::perform(&mut call, shared, context) {
        Verdict::Return(value) => Ok(value),
        Verdict::Fail(error) => Err(error),
        Verdict::Blocked => return,
        Verdict::Yield(_) if thread.process().is_dying() => Ok(0),
        Verdict::Yield(_) => {
            let destination = context.head().destination;
            let request = context.request(destination, Message::Call(call));
            return context.send(request);
        }
        Verdict::Absent(address, write) => {
            let access = Access {
                write,
                execute: false,
            };
            return thread::bring_in(shared, context, &thread, address, access);
        }
        Verdict::Resume | Verdict::Again | Verdict::Exited => {
            return thread::go_on(context, &thread, Resumption::Plain);
        }
    };
    thread::complete(context, &thread, result);
}
