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
/// on all cores: `weight` in thousandths, `priority` from 0 (most urgent) to 255.
///
/// # Errors
/// Without the right [`vortex_abi::rights::WEIGHTS`]; there is no such activity or resource.
pub fn set(activity: Activity, resource: Option<u64>, weight: u64, priority: u8) -> io::Result<()> {
    let resource = resource.unwrap_or(calls::HOME);
    let arguments = [activity.0, resource, weight, priority.into()];
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
