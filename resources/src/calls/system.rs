//! Calls about the system and the thread's own settings.

use super::argument::{Address, Flags, In, Out};
use super::layout::{Sysinfo, Utsname};
use super::work::{MORE, Work};
use super::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::{Machine, PAGE_SIZE, Registers, USER_END};
use crate::space::UserError;

use linux_raw_sys::{general, prctl as codes};

/// What programs look at that ask for a Linux: glibc wants 3.2 or later.
pub(crate) const RELEASE: &str = "6.1.0-vortex";

/// Random bytes made in one step.
const RANDOM_IN_A_STEP: u64 = 4096;

/// Bytes that one call moves at most (`MAX_RW_COUNT`).
const MOST_BYTES: u64 = 0x7fff_f000;

/// uname(2).
pub(super) fn uname<M: Machine>(caller: &mut Caller<'_, '_, M>, name: Out<Utsname>) -> Outcome {
    let field = |text: &str| {
        let mut bytes = [0; 65];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    };
    let utsname = Utsname {
        sysname: field("Linux"),
        nodename: field("vortex"),
        release: field(RELEASE),
        version: field(concat!("Vortex ", env!("CARGO_PKG_VERSION"))),
        machine: field("x86_64"),
        domainname: field("(none)"),
    };
    name.write(caller.process.space(), &utsname)?;
    Ok(0)
}

/// sysinfo(2).
pub(super) fn sysinfo<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    information: Out<Sysinfo>,
) -> Outcome {
    let shared = caller.shared;
    let uptime_ns = shared.clock.nanoseconds(shared.machine.now());
    let mut frames = shared.memory.available() as u64;
    let free_ram = frames * PAGE_SIZE;
    shared.memory.read_accounts(|_, _, held| frames += held);
    let sysinfo = Sysinfo {
        uptime: (uptime_ns / 1_000_000_000).cast_signed(),
        load_1: 0,
        load_5: 0,
        load_15: 0,
        total_ram: frames * PAGE_SIZE,
        free_ram,
        shared_ram: 0,
        buffer_ram: 0,
        total_swap: 0,
        free_swap: 0,
        processes: u16::try_from(shared.processes.len()).unwrap_or(u16::MAX),
        pad: 0,
        alignment: 0,
        total_high: 0,
        free_high: 0,
        unit: 1,
        tail: 0,
    };
    information.write(caller.process.space(), &sysinfo)?;
    Ok(0)
}

/// personality(2): kept, without effect.
pub(super) fn personality<M: Machine>(caller: &mut Caller<'_, '_, M>, persona: u32) -> Outcome {
    let settings = caller.process.settings();
    Ok(if persona == u32::MAX {
        settings.personality()
    } else {
        settings.set_personality(persona)
    }
    .into())
}

/// prctl(2): names, and what has one possible answer here.
pub(super) fn prctl<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    option: i32,
    second: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
) -> Outcome {
    let space = caller.process.space();
    let rest = [third, fourth, fifth];
    match option.cast_unsigned() {
        codes::PR_SET_NAME => {
            caller.thread.set_name(&name_at(caller, second)?);
            // A process has the name of its first thread.
            if caller.thread.id() == caller.process.id() {
                caller.process.set_name(caller.thread.name());
            }
            Ok(0)
        }
        codes::PR_GET_NAME => {
            Out::<[u8; 16]>::at(second).write(space, &caller.thread.name())?;
            Ok(0)
        }
        codes::PR_GET_DUMPABLE => Ok(1),
        codes::PR_SET_DUMPABLE if second <= 1 => Ok(0),
        codes::PR_GET_TIMERSLACK => Ok(50_000),
        codes::PR_SET_TIMERSLACK => Ok(0),
        // Nobody can get new privileges from a program.
        codes::PR_SET_NO_NEW_PRIVS if second == 1 && rest == [0; 3] => Ok(0),
        codes::PR_GET_NO_NEW_PRIVS if second == 0 && rest == [0; 3] => Ok(1),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// A thread's name in user memory: up to a zero byte, or 15 bytes; it is not read beyond.
fn name_at<M: Machine>(caller: &Caller<'_, '_, M>, address: u64) -> Result<[u8; 16], UserError> {
    let mut name = [0; 16];
    for (index, byte) in name[..15].iter_mut().enumerate() {
        let place = address.checked_add(index as u64).ok_or(UserError::Bad)?;
        *byte = In::<u8>::at(place).read(caller.process.space())?;
        if *byte == 0 {
            break;
        }
    }
    Ok(name)
}

/// `arch_prctl`(2): the bases of FS and GS.
pub(super) fn arch_prctl<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    option: i32,
    address: Out<u64>,
) -> Outcome {
    const SET_GS: i32 = 0x1001;
    const SET_FS: i32 = 0x1002;
    const GET_FS: i32 = 0x1003;
    const GET_GS: i32 = 0x1004;
    let is_good = match option {
        SET_FS => caller.registers.set_fs_base(address.address()),
        SET_GS => caller.registers.set_gs_base(address.address()),
        GET_FS | GET_GS => {
            let base = if option == GET_FS {
                caller.registers.fs_base()
            } else {
                caller.registers.gs_base()
            };
            address.write(caller.process.space(), &base)?;
            true
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    if is_good {
        Ok(0)
    } else {
        Err(Errno::EPERM.into())
    }
}

/// getrandom(2). The fourth argument, which the program does not have, counts what was written.
pub(super) fn getrandom<M: Machine>(
    work: &mut Work<'_, '_, M>,
    buffer: Out<u8, 1>,
    length: u64,
    flags: Flags,
) -> Outcome {
    let exclusive = general::GRND_RANDOM | general::GRND_INSECURE;
    if flags.0 & !(exclusive | general::GRND_NONBLOCK) != 0 || flags.0 & exclusive == exclusive {
        return Err(Errno::EINVAL.into());
    }
    if !work.resumed {
        work.arguments[3] = 0;
    }
    let length = length.min(MOST_BYTES);
    let end = buffer.address().checked_add(length);
    if end.is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT.into());
    }
    let written = work.arguments[3];
    let mut bytes = [0; 256];
    let end = length.min(written + RANDOM_IN_A_STEP);
    while work.arguments[3] < end {
        let written = work.arguments[3];
        // Page by page: as much is written as there is room for.
        let place = buffer.address() + written;
        let step = (end - written).min(PAGE_SIZE - place % PAGE_SIZE);
        let bytes = &mut bytes[..usize::try_from(step).unwrap_or(256).min(256)];
        work.shared.machine.random(bytes);
        match work.space().write(place, bytes) {
            Ok(()) => work.arguments[3] += bytes.len() as u64,
            Err(UserError::Bad) if written > 0 => return Ok(written),
            Err(error) => return Err(error.into()),
        }
    }
    if end < length { Err(MORE) } else { Ok(length) }
}

/// membarrier(2): which commands there are; there are none.
pub(super) fn membarrier<M: Machine>(
    _: &mut Caller<'_, '_, M>,
    command: i32,
    flags: Flags,
    _cpu: i32,
) -> Outcome {
    if command == 0 && flags.0 == 0 {
        Ok(0)
    } else {
        Err(Errno::EINVAL.into())
    }
}

/// rseq(2): not here, as in a Linux built without it. Programs expect that, so it is not counted.
pub(super) fn rseq<M: Machine>(
    _: &mut Caller<'_, '_, M>,
    _area: Address,
    _length: u32,
    _flags: Flags,
    _signature: u32,
) -> Outcome {
    Err(Errno::ENOSYS.into())
}
