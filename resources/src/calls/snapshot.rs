//! The native call `snapshot`: who has used what, where (paper, section 4.1).
//!
//! What is read is put together in one step, so that it is of one time, and written to the caller's
//! memory in further ones.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Outcome;
use super::argument::Out;
use super::work::{MORE, Work};
use crate::errno::Errno;
use crate::lock;
use crate::machine::{Machine, PAGE_SIZE};
use crate::process::{Process, Rights};
use crate::system::Shared;

use vortex_abi::Name;
use vortex_abi::calls::{SCOPE_ALL, SCOPE_OWN};
use vortex_abi::snapshot::{
    Account, Activity, Core, Counter, Header, Memory, Process as ProcessRecord, Resource,
    UnknownCall, Writer,
};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::{AccountReading, Snapshot};

/// Bytes that are written in one step.
const WRITTEN_IN_A_STEP: usize = 16 << 10;

/// In records of unknown calls: all further numbers together.
const OTHER_NUMBERS: u64 = u64::MAX;

/// In records of memory and as a budget: all resources; no limit.
const ALL: u64 = u64::MAX;

/// `snapshot(buffer, length, scope)`. The fourth argument, which the program does not have, counts
/// what was written.
pub(super) fn snapshot<M: Machine>(
    work: &mut Work<'_, '_, M>,
    buffer: Out<u8, 1>,
    length: u64,
    scope: u64,
) -> Outcome {
    if work.kept.is_empty() {
        let whose = match scope {
            SCOPE_OWN => Whose::Only(work.process().clone()),
            SCOPE_ALL if work.process().rights().contains(Rights::READ_STATISTICS) => Whose::All,
            SCOPE_ALL => return Err(Errno::EPERM.into()),
            _ => return Err(Errno::EINVAL.into()),
        };
        let caller = work.process().activity();
        *work.kept = Provider::new(work.shared, whose).write(caller);
        work.arguments[3] = 0;
    }
    let total = work.kept.len();
    if total as u64 > length {
        return Ok(total as u64);
    }
    let written = usize::try_from(work.arguments[3]).unwrap_or(total);
    let end = total.min(written + WRITTEN_IN_A_STEP);
    let place = buffer.address().checked_add(written as u64);
    let part = &work.kept[written..end];
    work.space().write(place.ok_or(Errno::EFAULT)?, part)?;
    work.arguments[3] = end as u64;
    if end < total {
        Err(MORE)
    } else {
        Ok(total as u64)
    }
}

/// Whose statistics are told.
enum Whose<M: Machine> {
    All,
    /// This process's, and its activity's.
    Only(Arc<Process<M>>),
}

/// Puts a snapshot together.
struct Provider<'a, M: Machine> {
    shared: &'a Shared<M>,
    whose: Whose<M>,
    now: u64,
    reading: Snapshot,
    writer: Writer,
    resources: BTreeSet<ResourceId>,
    activities: BTreeSet<ActivityId>,
}

impl<'a, M: Machine> Provider<'a, M> {
    fn new(shared: &'a Shared<M>, whose: Whose<M>) -> Self {
        let now = shared.machine.now();
        Self {
            shared,
            whose,
            now,
            reading: shared.grid.snapshot(now),
            writer: Writer::default(),
            resources: BTreeSet::new(),
            activities: BTreeSet::new(),
        }
    }

    fn write(mut self, caller: ActivityId) -> Vec<u8> {
        self.activities.insert(caller);
        self.cores();
        self.accounts();
        self.memory();
        self.processes();
        self.counters();
        self.names();
        let header = Header {
            magic: 0,
            version: 0,
            length: 0,
            taken_at: self.reading.at,
            hertz: self.shared.machine.hertz(),
            since_boot_ns: self
                .shared
                .clock
                .nanoseconds(self.now.saturating_sub(self.shared.machine.entered_at())),
            caller: caller.0.into(),
            sections: 0,
        };
        self.writer.finish(&header)
    }

    fn tells(&self, activity: ActivityId) -> bool {
        match &self.whose {
            Whose::All => true,
            Whose::Only(process) => process.activity() == activity,
        }
    }

    /// Ledgers. What all activities have used of a core together is no secret.
    fn cores(&mut self) {
        let mut attributed = BTreeMap::<CoreId, u64>::new();
        for account in &self.reading.accounts {
            *attributed.entry(account.core).or_default() += account.usage.cycles;
        }
        for (core, ledger) in (0..).zip(&self.reading.ledgers) {
            self.writer.push(&Core {
                core: u64::from(core),
                elapsed: ledger.through.saturating_sub(ledger.since),
                attributed: attributed.get(&CoreId(core)).copied().unwrap_or_default(),
                scheduling: ledger.scheduling,
                interrupt: ledger.interrupt,
                idle: ledger.idle,
            });
        }
    }

    fn accounts(&mut self) {
        let accounts = core::mem::take(&mut self.reading.accounts);
        for account in &accounts {
            if !self.tells(account.activity) {
                continue;
            }
            self.resources.insert(account.resource);
            self.activities.insert(account.activity);
            self.writer.push(&record(account));
        }
    }

    fn memory(&mut self) {
        let mut held = BTreeMap::<ActivityId, Vec<(ResourceId, u64)>>::new();
        self.shared
            .memory
            .read_accounts(|activity, resource, frames| {
                held.entry(activity).or_default().push((resource, frames));
            });
        for (activity, parts) in held {
            if !self.tells(activity) {
                continue;
            }
            self.activities.insert(activity);
            let mut sum = 0;
            for (resource, frames) in parts {
                sum += frames;
                self.resources.insert(resource);
                self.writer.push(&Memory {
                    activity: activity.0.into(),
                    resource: resource.0.into(),
                    held: frames * PAGE_SIZE,
                    budget: ALL,
                });
            }
            let budget = self.shared.memory.budget(activity);
            self.writer.push(&Memory {
                activity: activity.0.into(),
                resource: ALL,
                held: sum * PAGE_SIZE,
                budget: budget.map_or(ALL, |frames| frames.saturating_mul(PAGE_SIZE)),
            });
        }
    }

    fn processes(&mut self) {
        let processes = match &self.whose {
            Whose::All => self.shared.processes.all(),
            Whose::Only(process) => alloc::vec![process.clone()],
        };
        for process in processes {
            self.activities.insert(process.activity());
            self.writer.push(&ProcessRecord {
                process: process.id().into(),
                parent: process.parent().into(),
                activity: process.activity().0.into(),
                threads: process.all_threads().len() as u64,
                resident: process.space().usage().0 * PAGE_SIZE,
                cycles: process.consumption(self.now).cycles,
                name: program_name(&process.name()),
            });
            let unknown = process.settings().unknown();
            let numbered = unknown.numbers().iter();
            let numbered = numbered.map(|(number, count)| (u64::from(*number), *count));
            let others = Some((OTHER_NUMBERS, unknown.others())).filter(|(_, count)| *count > 0);
            for (number, count) in numbered.chain(others) {
                self.writer.push(&UnknownCall {
                    process: process.id().into(),
                    number,
                    count,
                });
            }
        }
    }

    /// What is counted for the whole machine, which is not everybody's business.
    fn counters(&mut self) {
        if matches!(self.whose, Whose::All) {
            let writer = &mut self.writer;
            let mut tell = |name, value| {
                writer.push(&Counter {
                    value,
                    name: Name::new(name),
                });
            };
            self.shared.network.count(&mut tell);
            self.shared.nics.count(&mut tell);
            tell("net.events.waits-for-locks", lock::waits());
        }
    }

    /// The resources that records have named, and the activities; of all, those without records, too.
    fn names(&mut self) {
        let grid = &self.shared.grid;
        if matches!(self.whose, Whose::All) {
            self.activities.extend(grid.live_activities());
        }
        for resource in &self.resources {
            let name = grid.resource_name(*resource).unwrap_or_default();
            self.writer.push(&Resource {
                resource: resource.0.into(),
                name: Name::new(&name),
            });
        }
        for activity in &self.activities {
            let name = grid.activity_name(*activity).unwrap_or_default();
            let weight = self.shared.weight(*activity);
            self.writer.push(&Activity {
                activity: activity.0.into(),
                weight: weight.map_or(0, |weight| weight.get().into()),
                name: Name::new(&name),
                suspended: self.shared.is_suspended(*activity).into(),
            });
        }
    }
}

/// A process's name, which ends with a zero.
fn program_name(bytes: &[u8; 16]) -> Name {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    Name::new(&String::from_utf8_lossy(&bytes[..end]))
}

fn record(account: &AccountReading) -> Account {
    let usage = &account.usage;
    Account {
        core: account.core.0.into(),
        resource: account.resource.0.into(),
        activity: account.activity.0.into(),
        cycles: usage.cycles,
        requests: usage.requests,
        bytes: usage.bytes,
        memory: usage.memory,
        returned: usage.returned,
        queue_length: usage.queue_length,
        waiting: usage.waiting,
        service: usage.service,
    }
}
