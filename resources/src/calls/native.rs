//! Vortex's own calls: activities, shares, budgets, starting processes. What they take and give stands in
//! [`vortex_abi::calls`].

use alloc::string::String;
use alloc::vec;

use super::argument::{Fd, In, Path};
use super::program::{self, Program};
use super::work::Work;
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::executable::Arguments;
use crate::files::{self, Descriptors, Operation};
use crate::machine::{Machine, PAGE_SIZE};
use crate::process::{self, Rights, Spawn};
use crate::space::Space;
use crate::system::Kind;

use vortex_abi::{INHERIT, Name, Record, SpawnArguments, calls, rights};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::record::Metric;
use vortex_toolkit::scheduler::{ClientParams, Reservation, SchedulerParams, Weight};
use vortex_toolkit::{Asker, Control, NewPolicy, Parent};

/// Activities that there can be: each takes memory of the kernel's.
const MOST_ACTIVITIES: usize = 4096;

const _: () = {
    assert!(Rights::READ_STATISTICS.bits() as u64 == rights::STATISTICS);
    assert!(Rights::SET_WEIGHTS.bits() as u64 == rights::WEIGHTS);
    assert!(Rights::CHOOSE_ACTIVITY.bits() as u64 == rights::ACTIVITIES);
    assert!(Rights::SIGNAL_OTHERS.bits() as u64 == rights::SIGNALS);
};

/// EPERM, unless the caller's process has a right.
fn demand<M: Machine>(work: &Work<'_, '_, M>, right: Rights) -> Result<(), Errno> {
    if work.process().rights().contains(right) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// `nop()`.
pub(super) fn nop<M: Machine>(_: &mut Work<'_, '_, M>) -> Outcome {
    Ok(0)
}

/// A name that is to be an activity's.
fn name<M: Machine>(space: &Space<M>, name: In<u8, 1>, length: u64) -> Result<String, Verdict> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > Name::LENGTH {
        return Err(Errno::ENAMETOOLONG.into());
    }
    let mut bytes = vec![0; length];
    space.read(name.address(), &mut bytes)?;
    String::from_utf8(bytes).map_err(|_| Errno::EINVAL.into())
}

/// `activity_create(name, length, weight)`.
pub(super) fn activity_create<M: Machine>(
    work: &mut Work<'_, '_, M>,
    place: In<u8, 1>,
    length: u64,
    weight: u64,
) -> Outcome {
    demand(work, Rights::CHOOSE_ACTIVITY)?;
    let name = name(work.space(), place, length)?;
    let weight = self::weight(weight)?;
    if name.is_empty() || name.contains('\0') {
        return Err(Errno::EINVAL.into());
    }
    let grid = &work.shared.grid;
    if grid.activity_named(&name).is_some() {
        return Err(Errno::EEXIST.into());
    }
    if grid.activities() >= MOST_ACTIVITIES {
        return Err(Errno::EAGAIN.into());
    }
    let params = ClientParams {
        weight,
        ..ClientParams::default()
    };
    Ok(grid.add_activity(&name, params).0.into())
}

/// `activity_find(name, length)`.
pub(super) fn activity_find<M: Machine>(
    work: &mut Work<'_, '_, M>,
    place: In<u8, 1>,
    length: u64,
) -> Outcome {
    let name = name(work.space(), place, length)?;
    let found = work.shared.grid.activity_named(&name);
    Ok(found.ok_or(Errno::ENOENT)?.0.into())
}

fn weight(thousandths: u64) -> Result<Weight, Errno> {
    let weight = u32::try_from(thousandths).ok().and_then(Weight::new);
    weight.ok_or(Errno::EINVAL)
}

/// `activity_set(activity, resource, weight, priority)`.
pub(super) fn activity_set<M: Machine>(
    work: &mut Work<'_, '_, M>,
    activity: u64,
    resource: u64,
    weight: u64,
    priority: u64,
) -> Outcome {
    demand(work, Rights::SET_WEIGHTS)?;
    let weight = self::weight(weight)?;
    let priority = match priority {
        calls::KEEP => None,
        priority => Some(u8::try_from(priority).map_err(|_| Errno::EINVAL)?),
    };
    let activity = self::activity(work, activity)?;
    let set = |params: ClientParams| ClientParams {
        weight,
        priority: priority.unwrap_or(params.priority),
        ..params
    };
    set_client(work, activity, resource, set)
}

/// `activity_reserve(activity, resource, time, period)`.
pub(super) fn activity_reserve<M: Machine>(
    work: &mut Work<'_, '_, M>,
    activity: u64,
    resource: u64,
    time: u64,
    period: u64,
) -> Outcome {
    demand(work, Rights::SET_WEIGHTS)?;
    let hertz = work.shared.machine.hertz();
    let cycles = |microseconds: u64| {
        let cycles = u128::from(microseconds) * u128::from(hertz) / 1_000_000;
        u64::try_from(cycles).map_or(u64::MAX, |cycles| cycles.max(1))
    };
    let reservation = match (time, period) {
        (_, 0) => None,
        (0, _) => return Err(Errno::EINVAL.into()),
        _ => Some(Reservation {
            budget: cycles(time),
            period_cycles: cycles(period),
        }),
    };
    let activity = self::activity(work, activity)?;
    let set = |params: ClientParams| ClientParams {
        reservation,
        ..params
    };
    set_client(work, activity, resource, set)
}

/// Changes what an activity is to the scheduler of a resource, or its home to the multiplexors.
fn set_client<M: Machine>(
    work: &mut Work<'_, '_, M>,
    activity: ActivityId,
    resource: u64,
    set: impl Fn(ClientParams) -> ClientParams,
) -> Outcome {
    let shared = work.shared;
    if resource == calls::HOME {
        for core in (0..shared.grid.cores()).filter_map(|core| u16::try_from(core).ok()) {
            let core = CoreId(core);
            if let Some(params) = shared.share(activity, core) {
                shared.set_share(work.context, activity, Some(core), set(params));
            }
        }
        return Ok(0);
    }
    let resource = scheduled(work, resource)?;
    let params = shared.grid.client(resource, activity);
    let params = params.ok_or(Errno::ESRCH)?;
    let control = Control::SetClient(resource, activity, set(params));
    work.context.control(&control);
    Ok(0)
}

/// `activity_budget(activity, bytes)`.
pub(super) fn activity_budget<M: Machine>(
    work: &mut Work<'_, '_, M>,
    activity: u64,
    bytes: u64,
) -> Outcome {
    demand(work, Rights::SET_WEIGHTS)?;
    let frames = match bytes {
        calls::NO_LIMIT => None,
        0..PAGE_SIZE => return Err(Errno::EINVAL.into()),
        bytes => Some(bytes / PAGE_SIZE),
    };
    let activity = self::activity(work, activity)?;
    work.shared.memory.set_budget(activity, frames);
    Ok(0)
}

/// `resource_metric(resource, metric)`.
pub(super) fn resource_metric<M: Machine>(
    work: &mut Work<'_, '_, M>,
    resource: u64,
    metric: u64,
) -> Outcome {
    demand(work, Rights::SET_WEIGHTS)?;
    let metric = usize::try_from(metric).ok();
    let metric = metric.and_then(|metric| Metric::ALL.get(metric).copied());
    let metric = metric.ok_or(Errno::EINVAL)?;
    let resource = scheduled(work, resource)?;
    let (policy, params) = work.shared.governs(resource).ok_or(Errno::ENXIO)?;
    let params = SchedulerParams { metric, ..params };
    let control = Control::ReplacePolicy(resource, NewPolicy::new(&policy, &params));
    work.context.control(&control);
    Ok(0)
}

/// `cache_evict(fd)`.
pub(super) fn cache_evict<M: Machine>(caller: &mut Caller<'_, '_, M>, fd: Fd) -> Outcome {
    if fd.0 == calls::EVERY_FILE {
        let own = caller.process.activity();
        return files::conclude(caller, Err(Operation::EvictOf(own).into()));
    }
    super::files::make(caller, |call| call.evict(fd.0))
}

/// `activity_evict(activity)`.
pub(super) fn activity_evict<M: Machine>(caller: &mut Caller<'_, '_, M>, activity: u32) -> Outcome {
    let activity = ActivityId(activity);
    let own = caller.process.activity();
    if activity != own && !caller.process.rights().contains(Rights::CHOOSE_ACTIVITY) {
        return Err(Errno::EPERM.into());
    }
    if caller.shared.grid.activity_params(activity).is_none() {
        return Err(Errno::ESRCH.into());
    }
    files::conclude(caller, Err(Operation::EvictOf(activity).into()))
}

/// The activity of a number that has not ended.
fn activity<M: Machine>(work: &Work<'_, '_, M>, number: u64) -> Result<ActivityId, Errno> {
    let activity = ActivityId(u32::try_from(number).map_err(|_| Errno::ESRCH)?);
    let exists = work.shared.grid.activity_params(activity).is_some();
    exists.then_some(activity).ok_or(Errno::ESRCH)
}

/// The resource of a number, if it has a scheduler whose clients are activities: not one that works
/// for a single activity, within its home.
fn scheduled<M: Machine>(work: &Work<'_, '_, M>, number: u64) -> Result<ResourceId, Errno> {
    let grid = &work.shared.grid;
    let resource = ResourceId(u32::try_from(number).map_err(|_| Errno::ENXIO)?);
    let name = grid.resource_name(resource).ok_or(Errno::ENXIO)?;
    let is_of_processes = Kind::ALL.iter().any(|kind| kind.name() == name);
    let asks_a_scheduler = (0..grid.cores())
        .filter_map(|core| u16::try_from(core).ok())
        .filter_map(|core| grid.ask(Asker::Resource(resource), CoreId(core)))
        .any(|ask| ask.parent != Parent::Multiplexor);
    if is_of_processes && asks_a_scheduler {
        return Err(Errno::ENXIO);
    }
    Ok(resource)
}

/// `spawn(arguments, length)`.
pub(super) fn spawn<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: In<u8, 1>,
    length: u64,
) -> Outcome {
    let mut bytes = [0; SpawnArguments::SIZE];
    if length < bytes.len() as u64 {
        return Err(Errno::EINVAL.into());
    }
    let space = caller.process.space();
    space.read(arguments.address(), &mut bytes)?;
    let asked = SpawnArguments::decode(&bytes).map_err(|_| Errno::EINVAL)?;
    let [arguments, environment] = program::strings(space, asked.arguments, asked.environment)?;
    let program = Program::read(caller, Path::at(asked.path))?;
    let activity = match asked.activity {
        INHERIT => caller.process.activity(),
        number => ActivityId(u32::try_from(number).map_err(|_| Errno::ESRCH)?),
    };
    let rights = u32::try_from(asked.rights).ok().and_then(Rights::from_bits);
    let descriptors = descriptors(caller, &asked, &program)?;
    let spawn = Spawn {
        caller: Some(caller.thread.clone()),
        activity,
        rights: rights.ok_or(Errno::EINVAL)?,
        arguments: Arguments {
            arguments: program.arguments(arguments),
            path: program.path,
            environment,
        },
        image: program.image,
        descriptors,
    };
    process::calls::spawn(caller, spawn)
}

/// What the new process has open: the three that were named, nothing else.
fn descriptors<M: Machine>(
    caller: &Caller<'_, '_, M>,
    asked: &SpawnArguments,
    program: &Program,
) -> Result<Descriptors, Errno> {
    let own = caller.process.descriptors().lock();
    let mut given = own.clone();
    drop(given.close_range(0, u32::MAX, false));
    for (number, asked) in (0..).zip([asked.stdin, asked.stdout, asked.stderr]) {
        let from = match asked {
            INHERIT => own.get(number).ok(),
            asked => Some(own.get(i32::try_from(asked).map_err(|_| Errno::EBADF)?)?),
        };
        if let Some(file) = from {
            given.replace(number, file, false)?;
        }
    }
    drop(given.executed(program.place.clone()));
    Ok(given)
}
