//! Calls that ask who the caller is. Everybody is user and group 0; what a process may do beyond
//! its own affairs is said by its rights.

use super::argument::{Flags, In, InOut, Out};
use super::layout::{CapData, CapHeader};
use super::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;

use linux_raw_sys::general;

/// getuid(2), geteuid(2), getgid(2) and getegid(2).
pub(super) fn zero<M: Machine>(_: &mut Caller<'_, '_, M>) -> Outcome {
    Ok(0)
}

/// getresuid(2) and getresgid(2).
pub(super) fn three_zeros<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    real: Out<u32>,
    effective: Out<u32>,
    saved: Out<u32>,
) -> Outcome {
    for id in [real, effective, saved] {
        id.write(caller.process.space(), &0)?;
    }
    Ok(0)
}

/// setuid(2), setgid(2), and setfsuid(2) and setfsgid(2): there is only 0 to become.
pub(super) fn set_id<M: Machine>(_: &mut Caller<'_, '_, M>, id: u32) -> Outcome {
    become_ids([id])
}

/// setreuid(2) and setregid(2).
pub(super) fn set_two_ids<M: Machine>(
    _: &mut Caller<'_, '_, M>,
    real: u32,
    effective: u32,
) -> Outcome {
    become_ids([real, effective].map(or_zero))
}

/// setresuid(2) and setresgid(2).
pub(super) fn set_three_ids<M: Machine>(
    _: &mut Caller<'_, '_, M>,
    real: u32,
    effective: u32,
    saved: u32,
) -> Outcome {
    become_ids([real, effective, saved].map(or_zero))
}

/// All ones: it is to stay as it is.
const fn or_zero(id: u32) -> u32 {
    if id == u32::MAX { 0 } else { id }
}

fn become_ids<const N: usize>(ids: [u32; N]) -> Outcome {
    if ids.contains(&u32::MAX) {
        return Err(Errno::EINVAL.into());
    }
    if ids != [0; N] {
        return Err(Errno::EPERM.into());
    }
    Ok(0)
}

/// setgroups(2): to none, or to 0.
pub(super) fn setgroups<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    size: i32,
    list: In<u32, 0>,
) -> Outcome {
    // As Linux has it (`NGROUPS_MAX`).
    let count = u64::try_from(size).ok().filter(|count| *count <= 65_536);
    let mut is_zero = true;
    for index in 0..count.ok_or(Errno::EINVAL)? {
        let place = list.address().wrapping_add(4 * index);
        is_zero &= In::<u32>::at(place).read(caller.process.space())? == 0;
    }
    match is_zero {
        true => Ok(0),
        false => Err(Errno::EPERM.into()),
    }
}

/// getgroups(2): in none besides.
pub(super) fn getgroups<M: Machine>(
    _: &mut Caller<'_, '_, M>,
    size: i32,
    _list: Out<u32, 0>,
) -> Outcome {
    if size < 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

/// umask(2).
pub(super) fn umask<M: Machine>(caller: &mut Caller<'_, '_, M>, mask: Flags) -> Outcome {
    Ok(caller.process.settings().set_umask(mask.0).into())
}

/// capget(2): no capabilities.
pub(super) fn capget<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    header: InOut<CapHeader>,
    data: Option<Out<CapData>>,
) -> Outcome {
    let space = caller.process.space();
    let asked = header.read(space)?;
    match asked.version {
        general::_LINUX_CAPABILITY_VERSION_3 => {}
        _ => {
            let known = CapHeader {
                version: general::_LINUX_CAPABILITY_VERSION_3,
                pid: asked.pid,
            };
            header.write(space, &known)?;
            // Without a place for data it was only asked which version there is.
            return data.map_or(Ok(0), |_| Err(Errno::EINVAL.into()));
        }
    }
    let pid = u32::try_from(asked.pid).map_err(|_| Errno::EINVAL)?;
    if pid != 0 && caller.shared.processes.find(pid).is_none() {
        return Err(Errno::ESRCH.into());
    }
    if let Some(data) = data {
        let none = CapData {
            effective_low: 0,
            permitted_low: 0,
            inheritable_low: 0,
            effective_high: 0,
            permitted_high: 0,
            inheritable_high: 0,
        };
        data.write(space, &none)?;
    }
    Ok(0)
}
