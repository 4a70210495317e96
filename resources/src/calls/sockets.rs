//! Calls that make sockets, and those on sockets that may have to wait.

use alloc::sync::Arc;

use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK};
use linux_raw_sys::net::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};
use vortex_abi::calls::{SO_ACTIVITY, SOL_VORTEX};
use vortex_toolkit::ids::ActivityId;

use super::argument::{Address, Fd, Flags, In, InOut, Out};
use super::transfer::{buffers_of, transfer};
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::files::{OpenFile, Opened};
use crate::machine::Machine;
use crate::net::Socket;
use crate::process::Rights;

/// What the type of a socket may be or'd with.
const FLAGS: u32 = O_CLOEXEC | O_NONBLOCK;
/// Protocols.
const TCP: u32 = 6;
const UDP: u32 = 17;

/// socket(2).
pub(super) fn socket<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    family: u32,
    kind: u32,
    protocol: u32,
) -> Outcome {
    let (kind, flags) = split(kind)?;
    let network = &caller.shared.network;
    let payer = caller.shared.payer(&caller.process.home());
    let made = match (family, kind, protocol) {
        (AF_INET, SOCK_STREAM, 0 | TCP) => Socket::stream(network, payer),
        (AF_INET, SOCK_DGRAM, 0 | UDP) => Socket::datagram(network, payer),
        (AF_UNIX, SOCK_STREAM, 0 | 1) => Socket::local(network, payer, buffers_of(caller)),
        (AF_INET, SOCK_RAW, _) => return Err(Errno::EPERM.into()),
        other => return Err(refusal(other).into()),
    };
    let opened = Opened::Socket(Arc::new(made));
    super::epoll::open(caller, opened, flags & O_NONBLOCK, flags & O_CLOEXEC != 0)
}

/// Why there is no such socket.
fn refusal((family, kind, protocol): (u32, u32, u32)) -> Errno {
    match (family, kind, protocol) {
        (AF_INET | AF_UNIX, 0 | 11.., _) => Errno::EINVAL,
        (AF_INET, SOCK_STREAM | SOCK_DGRAM, _) | (AF_UNIX, _, 2..) => Errno::EPROTONOSUPPORT,
        (AF_INET | AF_UNIX, ..) => Errno::ESOCKTNOSUPPORT,
        _ => Errno::EAFNOSUPPORT,
    }
}

/// The type, and the flags with it.
fn split(kind: u32) -> Result<(u32, u32), Errno> {
    let (kind, flags) = (kind & 0xf, kind & !0xf);
    match flags & !FLAGS {
        0 => Ok((kind, flags)),
        _ => Err(Errno::EINVAL),
    }
}

/// socketpair(2).
pub(super) fn socketpair<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    family: u32,
    kind: u32,
    protocol: u32,
    descriptors: Out<[u8; 8]>,
) -> Outcome {
    let (kind, flags) = split(kind)?;
    // The place for the answer first: what is made then need not be taken back.
    descriptors.write(caller.process.space(), &[0; 8])?;
    match (family, kind, protocol) {
        (AF_UNIX, SOCK_STREAM, 0 | 1) => {}
        (AF_INET, SOCK_STREAM | SOCK_DGRAM, _) => return Err(Errno::EOPNOTSUPP.into()),
        other => return Err(refusal(other).into()),
    }
    let payer = caller.shared.payer(&caller.process.home());
    let buffers = buffers_of(caller);
    let pair = Socket::pair(&caller.shared.network, &payer, &buffers)?;
    let status = linux_raw_sys::general::O_RDWR | flags & O_NONBLOCK;
    let files = pair.map(|socket| OpenFile::new(Opened::Socket(Arc::new(socket)), None, status));
    super::transfer::add_two(caller, files, flags & O_CLOEXEC != 0, descriptors)
}

/// An address that may be left out.
fn at<T>(pointer: Option<T>, address: impl FnOnce(T) -> u64) -> u64 {
    pointer.map_or(0, address)
}

super::passed_on! {
    by transfer;
    /// accept(2).
    accept(fd: Fd, address: Address, length: Address) = accept(fd.0, address.0, length.0);
    /// accept4(2).
    accept4(fd: Fd, address: Address, length: Address, flags: Flags) = accept_with(fd.0, address.0, length.0, flags.0);
    /// connect(2).
    connect(fd: Fd, address: In<u8, 2>, length: u32) = connect(fd.0, address.address(), length);
    /// sendto(2).
    sendto(fd: Fd, buffer: In<u8, 2>, count: u64, flags: Flags, address: Option<In<u8, 5>>, length: u32) =
        send_to(fd.0, (buffer.address(), count), flags.0, at(address, In::address), length);
    /// recvfrom(2).
    recvfrom(fd: Fd, buffer: Out<u8, 2>, count: u64, flags: Flags, address: Address, length: Address) =
        receive_from(fd.0, (buffer.address(), count), flags.0, address.0, length.0);
    /// sendmsg(2).
    sendmsg(fd: Fd, message: In<[u8; 56]>, flags: Flags) = send_message(fd.0, message.address(), flags.0);
    /// recvmsg(2).
    recvmsg(fd: Fd, message: InOut<[u8; 56]>, flags: Flags) = receive_message(fd.0, message.address(), flags.0);
    /// sendmmsg(2).
    sendmmsg(fd: Fd, messages: InOut<[u8; 64], 2>, count: u32, flags: Flags) =
        send_messages(fd.0, messages.address(), count, flags.0);
    /// recvmmsg(2); the timeout is not looked at.
    recvmmsg(fd: Fd, messages: InOut<[u8; 64], 2>, count: u32, flags: Flags, _timeout: Address) =
        receive_messages(fd.0, messages.address(), count, flags.0);
}

/// setsockopt(2), with the option that says who pays, as [`socket_assign`] does.
pub(super) fn set_socket_option<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    fd: Fd,
    level: u32,
    name: u32,
    value: In<u8, 4>,
    length: u32,
) -> Outcome {
    if (level, name) != (SOL_VORTEX, SO_ACTIVITY) {
        let value = value.address();
        return super::files::make(caller, |call| {
            call.set_socket_option(fd.0, level, name, value, length)
        });
    }
    let mut activity = [0; 4];
    if (length as usize) < activity.len() {
        return Err(Errno::EINVAL.into());
    }
    caller
        .process
        .space()
        .read(value.address(), &mut activity)?;
    socket_assign(caller, fd, u32::from_ne_bytes(activity))
}

/// `socket_assign(descriptor, activity)`: from now on that activity pays for what the socket does,
/// and for what is accepted by it.
pub(super) fn socket_assign<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    fd: Fd,
    activity: u32,
) -> Outcome {
    if !caller.process.rights().contains(Rights::CHOOSE_ACTIVITY) {
        return Err(Errno::EPERM.into());
    }
    let activity = ActivityId(activity);
    if caller.shared.grid.activity_params(activity).is_none() {
        return Err(Errno::ESRCH.into());
    }
    let file = caller.process.descriptors().lock().get(fd.0)?;
    let Opened::Socket(socket) = &file.opened else {
        return Err(Verdict::from(Errno::ENOTSOCK));
    };
    socket.assign(caller.shared.payer(&caller.shared.home(activity)));
    Ok(0)
}
