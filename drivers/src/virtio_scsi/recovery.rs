//! What is done about commands that take too long: abort, reset of the unit, reset of the device.
//!
//! Key types: [`Recovery`] (pure: what is due), [`Step`] (what is under way). One command is dealt
//! with at a time; the others wait for their turn, or are answered meanwhile.

use vortex_bus::virtio::Transport;
use vortex_bus::virtqueue::Buffer;
use vortex_bus::{Bus, Memory};
use vortex_resources::storage::adapter::{Failure, Response};

use super::wire::{self, Manage};
use super::{CONTROL, State, VirtioScsi};

/// How long the device may take about an abort or a unit's reset, in nanoseconds.
const MANAGE_NS: u64 = 2_000_000_000;

/// What is under way about the command in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The device was asked to do this, and has until then.
    Asked {
        what: Manage,
        slot: usize,
        until: u64,
    },
    /// It says that it has done it: now the command has to come back, until then.
    Done {
        what: Manage,
        slot: usize,
        until: u64,
    },
    /// It could not do it.
    Failed { what: Manage, slot: usize },
}

impl Step {
    const fn slot(&self) -> usize {
        match self {
            Self::Asked { slot, .. } | Self::Done { slot, .. } | Self::Failed { slot, .. } => *slot,
        }
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recovery {
    step: Option<Step>,
    /// The request about tasks is with the device.
    is_asking: bool,
    /// No command's deadline is earlier; `None` if none is known.
    earliest: Option<u64>,
}

impl Recovery {
    /// A command was sent with this deadline.
    pub(super) fn expect(&mut self, deadline: u64) {
        self.earliest = Some(self.earliest.map_or(deadline, |at| at.min(deadline)));
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<u64> {
        match self.step {
            Some(Step::Asked { until, .. } | Step::Done { until, .. }) => Some(until),
            Some(Step::Failed { .. }) => Some(0),
            None => self.earliest,
        }
    }

    /// A slot's command has come back with this answer: the end of what is done about it.
    pub(super) fn judge(
        &mut self,
        slot: usize,
        answer: Result<Response, Failure>,
    ) -> Result<Response, Failure> {
        let was_dealt_with = self.step.is_some_and(|step| step.slot() == slot);
        if was_dealt_with {
            self.step = None;
        }
        match answer {
            // Others that were aborted by the reset of their unit did not take too long.
            Err(Failure::TimedOut) if !was_dealt_with => Err(Failure::Reset),
            answer => answer,
        }
    }

    /// The device has answered about a task.
    pub(super) fn managed(&mut self, well: bool, now_ns: u64) {
        self.is_asking = false;
        if let Some(Step::Asked { what, slot, .. }) = self.step {
            let until = now_ns + MANAGE_NS;
            self.step = Some(if well {
                Step::Done { what, slot, until }
            } else {
                Step::Failed { what, slot }
            });
        }
    }
}

impl<B: Bus, T: Transport> VirtioScsi<B, T> {
    /// Does what is due.
    pub(super) fn recover(&mut self, now_ns: u64) {
        let State::Running(running) = &self.state else {
            return;
        };
        let recovery = running.recovery;
        match recovery.step {
            None if recovery.earliest.is_some_and(|at| at <= now_ns) => self.find_late(now_ns),
            None => {}
            Some(Step::Asked { until, .. } | Step::Done { until, .. }) if now_ns < until => {}
            Some(
                Step::Failed {
                    what: Manage::Abort,
                    slot,
                }
                | Step::Done {
                    what: Manage::Abort,
                    slot,
                    ..
                },
            ) => self.ask(Manage::ResetUnit, slot, now_ns),
            Some(step) => {
                log::warn!("virtio-scsi: {step:?} does not help; the device is reset");
                self.begin_reset(now_ns);
            }
        }
    }

    /// Finds the command that is late; there may be none, as the first deadline is kept when its
    /// command has come back.
    fn find_late(&mut self, now_ns: u64) {
        let busy = self.slots.iter().enumerate();
        let deadlines = busy.filter_map(|(slot, busy)| Some((busy.as_ref()?.deadline, slot)));
        let first = deadlines.min();
        if let State::Running(running) = &mut self.state {
            running.recovery.earliest = first.map(|(deadline, _)| deadline);
        }
        if let Some((deadline, slot)) = first
            && deadline <= now_ns
        {
            self.ask(Manage::Abort, slot, now_ns);
        }
    }

    /// Asks the device to do something about the command in a slot.
    fn ask(&mut self, what: Manage, slot: usize, now_ns: u64) {
        let Some(busy) = self.slots[slot] else {
            return;
        };
        let State::Running(running) = &mut self.state else {
            return;
        };
        log::warn!(
            "virtio-scsi: unit {}:{} takes too long: {what:?}",
            busy.unit.target,
            busy.unit.lun
        );
        let (at, answer_at) = (running.manage_at(), running.managed_at());
        let start = running.memory.address();
        let buffer = |at: usize, length: usize| Buffer {
            address: start + at as u64,
            length: length as u32,
        };
        let until = now_ns + MANAGE_NS;
        running.recovery.step = Some(Step::Asked { what, slot, until });
        // The one buffer is still with the device: it does not listen, and its time runs.
        if running.recovery.is_asking {
            return;
        }
        let request = wire::manage(what, busy.unit, slot as u64);
        running.memory.write(at, &request);
        running.memory.write(answer_at, &[0xff]);
        let added = running.control.add(
            &[buffer(at, wire::MANAGE)],
            &[buffer(answer_at, wire::MANAGED)],
        );
        if added.is_ok() {
            running.recovery.is_asking = true;
            self.transport.notify(CONTROL);
        }
    }
}
