//! Calls that ask who the caller is. Everybody is user and group 0; what a process may do beyond
//! its own affairs is said by its rights.

use super::argument::{Flags, InOut, Out};
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
