//! Activities: who pays, and what each is to schedulers.

use std::io;

use vortex_abi::calls;

use crate::stub;

/// An activity's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Activity(pub u64);

/// Creates an activity of so many thousandths of weight.
///
/// # Errors
/// Without the right [`vortex_abi::rights::ACTIVITIES`]; the name is taken or too long.
pub fn create(name: &str, weight: u64) -> io::Result<Activity> {
    let (address, length) = (name.as_ptr() as u64, name.len() as u64);
    // SAFETY: the kernel reads `length` bytes of the name.
    unsafe { stub::call(calls::ACTIVITY_CREATE, [address, length, weight, 0]) }.map(Activity)
}

/// The activity of this name.
///
/// # Errors
/// There is none.
pub fn find(name: &str) -> io::Result<Activity> {
    let (address, length) = (name.as_ptr() as u64, name.len() as u64);
    // SAFETY: the kernel reads `length` bytes of the name.
    unsafe { stub::call(calls::ACTIVITY_FIND, [address, length, 0, 0]) }.map(Activity)
}

/// Sets what `activity` is to the scheduler of `resource`, or with `None` to the CPU multiplexors,
/// on all cores: `weight` in thousandths, `priority` from 0 (most urgent) to 255, or as it is.
///
/// # Errors
/// Without the right [`vortex_abi::rights::WEIGHTS`]; there is no such activity or resource.
pub fn set(
    activity: Activity,
    resource: Option<u64>,
    weight: u64,
    priority: Option<u8>,
) -> io::Result<()> {
    let resource = resource.unwrap_or(calls::HOME);
    let priority = priority.map_or(calls::KEEP, u64::from);
    let arguments = [activity.0, resource, weight, priority];
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::ACTIVITY_SET, arguments) }.map(drop)
}

/// From now on `activity` pays for what the process does.
///
/// # Errors
/// Without the right [`vortex_abi::rights::ACTIVITIES`]; there is no such process or activity.
pub fn move_process(process: u32, activity: Activity) -> io::Result<()> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::PROCESS_MOVE, [process.into(), activity.0, 0, 0]) }.map(drop)
}

/// So many microseconds of each period `activity` may take of `resource`, or with `None` of each
/// core, for schedulers that know budgets; with no budget, as much as it is given.
///
/// # Errors
/// As [`set`].
pub fn reserve(
    activity: Activity,
    resource: Option<u64>,
    budget: Option<(u64, u64)>,
) -> io::Result<()> {
    let resource = resource.unwrap_or(calls::HOME);
    let (time, period) = budget.unwrap_or((0, 0));
    let arguments = [activity.0, resource, time, period];
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::ACTIVITY_RESERVE, arguments) }.map(drop)
}

/// The most memory that `activity` may hold, in bytes; with `None`, as much as there is.
///
/// # Errors
/// Without the right [`vortex_abi::rights::WEIGHTS`]; there is no such activity; less than a page.
pub fn budget(activity: Activity, bytes: Option<u64>) -> io::Result<()> {
    let bytes = bytes.unwrap_or(calls::NO_LIMIT);
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::ACTIVITY_BUDGET, [activity.0, bytes]) }.map(drop)
}

/// No thread of the activity's processes runs until it is resumed.
///
/// # Errors
/// Without the right [`vortex_abi::rights::SIGNALS`]; there is no such activity, or it is the
/// caller's or the infrastructure.
pub fn suspend(activity: Activity) -> io::Result<()> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::ACTIVITY_SUSPEND, [activity.0]) }.map(drop)
}

/// Undoes [`suspend`].
///
/// # Errors
/// Without the right [`vortex_abi::rights::SIGNALS`]; there is no such activity.
pub fn resume(activity: Activity) -> io::Result<()> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::ACTIVITY_RESUME, [activity.0]) }.map(drop)
}

/// Has the file cache give back the clean, unmapped pages that `activity` has brought in; how many.
///
/// # Errors
/// Another activity than the caller's without the right [`vortex_abi::rights::ACTIVITIES`]; there is
/// none.
pub fn evict(activity: Activity) -> io::Result<u64> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::ACTIVITY_EVICT, [activity.0]) }
}

/// What the scheduler of a resource charges by: 0 for processor cycles, 1 for bytes moved, 2 for
/// requests, 3 for bytes of memory allocated.
///
/// # Errors
/// Without the right [`vortex_abi::rights::WEIGHTS`]; there is no such resource or metric, or the
/// resource works inside the activities' shares.
pub fn set_metric(resource: u64, metric: u64) -> io::Result<()> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::RESOURCE_METRIC, [resource, metric]) }.map(drop)
}
