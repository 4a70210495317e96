//! One controller: its driver, and the commands that it has.
//!
//! Key types: [`Controller`], [`ControllerId`].
//!
//! A lock is held while the driver is called. Where the device read-write and the device interrupt
//! resource run on one core (paper, section 4.4) nobody ever waits for it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use spin::Mutex;
use vortex_toolkit::ids::ResourceId;

use crate::vector::Vector;

use super::adapter::{Adapter, Command, Limits, Notice, Refusal, Tag};
use super::io::Io;

/// A controller's number, in the order in which they were attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ControllerId(pub usize);

/// A controller.
pub(crate) struct Controller {
    pub(crate) id: ControllerId,
    pub(crate) name: &'static str,
    /// Its interrupts.
    pub(crate) vector: Vector,
    state: Mutex<State>,
    /// Its disks are being looked for, or have been: who looks again must wait.
    pub(crate) is_known: Mutex<bool>,
}

struct State {
    adapter: Box<dyn Adapter>,
    /// The commands under way, by tag.
    flight: Vec<Option<Box<Io>>>,
    free: Vec<u32>,
    /// The most commands at one time.
    depth: usize,
    /// Resources that were refused and may be suspended.
    refused: Vec<Refused>,
    /// Used again each time.
    notices: Vec<Notice>,
}

/// A resource whose last command on a core was refused.
#[derive(Clone, Copy)]
struct Refused {
    resource: ResourceId,
    core: usize,
    at_ns: u64,
}

impl Refused {
    fn is_of(&self, resource: ResourceId, core: usize) -> bool {
        self.resource == resource && self.core == core
    }
}

/// What a controller had to say.
pub(crate) enum Said {
    /// This command has been answered.
    Answered(
        Box<Io>,
        Result<super::adapter::Response, super::adapter::Failure>,
    ),
    /// Something else.
    Notice(Notice),
}

/// What came of a service.
pub(crate) struct Serviced {
    pub(crate) said: Vec<Said>,
    /// Resources that may go on.
    pub(crate) resume: Vec<ResourceId>,
    /// When to come again, in nanoseconds.
    pub(crate) deadline: Option<u64>,
}

/// A resource that was refused is suspended after that time, in nanoseconds, at the latest.
const SUSPENDED_NS: u64 = 100_000_000;
/// How often a controller that does not interrupt is looked at, in nanoseconds; and one before which
/// a resource may have been suspended just now.
const POLL_NS: u64 = 1_000_000;

impl Controller {
    pub(crate) fn new(id: ControllerId, adapter: Box<dyn Adapter>, depth: usize) -> Self {
        Self {
            id,
            name: adapter.name(),
            vector: Vector::new(),
            state: Mutex::new(State {
                adapter,
                flight: Vec::new(),
                free: Vec::new(),
                depth: depth.max(1),
                refused: Vec::new(),
                notices: Vec::new(),
            }),
            is_known: Mutex::new(false),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.state.lock().adapter.limits()
    }

    pub(crate) fn targets(&self) -> Vec<u8> {
        self.state.lock().adapter.targets()
    }

    /// Gives the device a command for `resource`. When to service it, in nanoseconds.
    ///
    /// # Errors
    /// The command, and why it was not taken. If it was for now, `resource` will be resumed.
    pub(crate) fn insert(
        &self,
        mut io: Box<Io>,
        resource: ResourceId,
        core: usize,
        now_ns: u64,
    ) -> Result<Option<u64>, (Box<Io>, Refusal)> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let under_way = state.flight.len() - state.free.len();
        let tag = state.free.last().copied();
        let tag = tag.unwrap_or(state.flight.len() as u32);
        let mut command = Command {
            tag: Tag(tag),
            unit: io.unit,
            cdb: io.cdb,
            data: io.data,
            parts: core::mem::take(&mut io.parts),
            timeout_ns: io.timeout_ns,
        };
        let taken = if under_way < state.depth {
            io.begin();
            state.adapter.submit(&command, core, now_ns)
        } else {
            Err(Refusal::Full)
        };
        io.parts = core::mem::take(&mut command.parts);
        if let Err(refusal) = taken {
            io.give_up();
            if refusal == Refusal::Full {
                state.refused.retain(|one| !one.is_of(resource, core));
                state.refused.push(Refused {
                    resource,
                    core,
                    at_ns: now_ns,
                });
            }
            return Err((io, refusal));
        }
        state.refused.retain(|one| !one.is_of(resource, core));
        match state.free.pop() {
            Some(_) => state.flight[tag as usize] = Some(io),
            None => state.flight.push(Some(io)),
        }
        Ok(self.deadline(state, now_ns))
    }

    /// Takes what the device has to say.
    pub(crate) fn service(&self, now_ns: u64) -> Serviced {
        let mut state = self.state.lock();
        let state = &mut *state;
        let notices = &mut state.notices;
        state
            .adapter
            .service(now_ns, &mut |notice| notices.push(notice));
        let mut said = Vec::with_capacity(state.notices.len());
        for notice in state.notices.drain(..) {
            let Notice::Done(Tag(tag), result) = notice else {
                said.push(Said::Notice(notice));
                continue;
            };
            let io = state.flight.get_mut(tag as usize).and_then(Option::take);
            if let Some(io) = io {
                state.free.push(tag);
                said.push(Said::Answered(io, result));
            }
        }
        let under_way = state.flight.len() - state.free.len();
        let mut resume = Vec::new();
        if under_way < state.depth {
            resume.extend(state.refused.iter().map(|one| one.resource));
            // One that was refused just now may not have been suspended yet: it is told again.
            let is_recent = |one: &Refused| now_ns < one.at_ns.saturating_add(SUSPENDED_NS);
            state.refused.retain(is_recent);
        }
        let deadline = self.deadline(state, now_ns);
        Serviced {
            said,
            resume,
            deadline,
        }
    }

    fn deadline(&self, state: &State, now_ns: u64) -> Option<u64> {
        let under_way = state.flight.len() - state.free.len();
        let is_polled = self.vector.is_polled() && under_way > 0;
        let is_lost = under_way == 0 && !state.refused.is_empty();
        let poll = (is_polled || is_lost).then_some(now_ns + POLL_NS);
        let own = state.adapter.deadline();
        own.into_iter().chain(poll).min()
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Controller");
        all.field("id", &self.id).field("name", &self.name);
        all.finish_non_exhaustive()
    }
}
