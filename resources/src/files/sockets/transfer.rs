//! Calls that send and receive: by bytes, by datagrams, by messages of several buffers.

use alloc::sync::Arc;

use linux_raw_sys::general::UIO_MAXIOV;
use linux_raw_sys::net as linux;

use super::super::cursor::{Buffer, Cursor};
use super::super::descriptors::OpenFile;
use super::super::ready::Events;
use super::super::streaming::Streaming;
use super::super::transfer::{AT_A_TIME, MAX_COUNT};
use super::super::{Call, Failure, Outcome};
use super::{Place, must_not_wait, wait_for};
use crate::errno::Errno;
use crate::net::{Address, Data, Kind, MAX_DATA, Moving, Socket, Transfer};
use crate::space::UserError;

/// Bytes of `struct msghdr`.
const MESSAGE: usize = 56;
/// Bytes of `struct mmsghdr`.
const MESSAGES: u64 = 64;
/// The most of them that one call sends or receives.
const MAX_MESSAGES: u32 = 1024;

/// The parts of `struct msghdr` that are used.
#[derive(Clone, Copy)]
struct Message {
    name: u64,
    name_length: u32,
    buffers: u64,
    count: u64,
    /// Bytes of control messages.
    control: u64,
}

/// What came of receiving: bytes, and flags of the message.
type Received = (u64, u32);

impl Call<'_> {
    /// A buffer of a call that looks at it before anything else, as much as it would move.
    fn only_buffer(&self, (at, length): (u64, u64)) -> Result<[Buffer; 1], Failure> {
        Ok([self.buffer(at, length.min(MAX_COUNT))?])
    }

    /// `sendto(descriptor, buffer, count, flags, address, length)`.
    ///
    /// # Errors
    /// As sendto(2).
    pub fn send_to(
        &self,
        descriptor: i32,
        buffer: (u64, u64),
        flags: u32,
        address: u64,
        length: u32,
    ) -> Outcome {
        let buffers = self.only_buffer(buffer)?;
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        let to = match address {
            0 => None,
            address => Some(self.address(address, length)?),
        };
        self.streaming()
            .send(&file, socket, &buffers, flags, to.as_ref())
    }

    /// `recvfrom(descriptor, buffer, count, flags, address, length)`.
    ///
    /// # Errors
    /// As recvfrom(2).
    pub fn receive_from(
        &self,
        descriptor: i32,
        buffer: (u64, u64),
        flags: u32,
        address: u64,
        length: u64,
    ) -> Outcome {
        let buffers = self.only_buffer(buffer)?;
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        let place = (address != 0).then_some(Place {
            at: address,
            length_at: length,
        });
        let tell = |name: &Address| match place {
            Some(place) => self.tell_address(name, place),
            None => Ok(()),
        };
        let received = self
            .streaming()
            .receive(&file, socket, &buffers, flags, tell)?;
        Ok(received.0)
    }

    fn message(&self, at: u64) -> Result<Message, Failure> {
        let mut bytes = [0; MESSAGE];
        self.memory.read(at, &mut bytes)?;
        let word = |at: usize| {
            let bytes = bytes[at..].first_chunk().copied().unwrap_or_default();
            u64::from_ne_bytes(bytes)
        };
        let message = Message {
            name: word(0),
            name_length: word(8) as u32,
            buffers: word(16),
            count: word(24),
            control: word(40),
        };
        match message.count > u64::from(UIO_MAXIOV) {
            true => Err(Errno::EMSGSIZE.into()),
            false => Ok(message),
        }
    }

    /// `sendmsg(descriptor, message, flags)`.
    ///
    /// # Errors
    /// As sendmsg(2); EOPNOTSUPP for control messages, which are not there.
    pub fn send_message(&self, descriptor: i32, message: u64, flags: u32) -> Outcome {
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        self.send_one(&file, socket, message, flags)
    }

    fn send_one(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        message: u64,
        flags: u32,
    ) -> Outcome {
        let message = self.message(message)?;
        if message.control > 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let to = match message.name {
            0 => None,
            name => Some(self.address(name, message.name_length)?),
        };
        let buffers = self.buffers(message.buffers, message.count)?;
        self.streaming()
            .send(file, socket, &buffers, flags, to.as_ref())
    }

    /// `recvmsg(descriptor, message, flags)`. There are no control messages.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive_message(&self, descriptor: i32, message: u64, flags: u32) -> Outcome {
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        self.receive_one(&file, socket, message, flags)
    }

    fn receive_one(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        at: u64,
        flags: u32,
    ) -> Outcome {
        let message = self.message(at)?;
        // It is written when the data is gone.
        let mut bytes = [0; MESSAGE];
        self.memory.read(at, &mut bytes)?;
        self.memory.write(at, &bytes)?;
        let buffers = self.buffers(message.buffers, message.count)?;
        let tell = |name: &Address| {
            let place = Place {
                at: message.name,
                length_at: at + 8,
            };
            match message.name {
                0 => Ok(()),
                _ => self.tell_address(name, place),
            }
        };
        let (length, flags) = self
            .streaming()
            .receive(file, socket, &buffers, flags, tell)?;
        // No control messages, and the flags.
        self.memory.write(at + 40, &0_u64.to_ne_bytes())?;
        self.memory.write(at + 48, &flags.to_ne_bytes())?;
        Ok(length)
    }

    /// `sendmmsg(descriptor, messages, count, flags)`.
    ///
    /// # Errors
    /// As sendmmsg(2).
    pub fn send_messages(&self, descriptor: i32, messages: u64, count: u32, flags: u32) -> Outcome {
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        let send = |at, flags| self.send_one(&file, socket, at, flags);
        self.several(messages, count, flags, send)
    }

    /// `recvmmsg(descriptor, messages, count, flags)`. As with `MSG_WAITFORONE`, only the first one
    /// is waited for, which the call may do as it likes.
    ///
    /// # Errors
    /// As recvmmsg(2).
    pub fn receive_messages(
        &self,
        descriptor: i32,
        messages: u64,
        count: u32,
        flags: u32,
    ) -> Outcome {
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        let receive = |at, flags| self.receive_one(&file, socket, at, flags);
        self.several(messages, count, flags, receive)
    }

    /// Does something with one `struct mmsghdr` after another, and writes what came of each; only the
    /// first may wait. The first that fails ends it; the failure counts only if it is the very first.
    fn several(
        &self,
        messages: u64,
        count: u32,
        flags: u32,
        act: impl Fn(u64, u32) -> Outcome,
    ) -> Outcome {
        let mut done = 0;
        for number in 0..u64::from(count.min(MAX_MESSAGES)) {
            let at = messages
                .checked_add(number * MESSAGES)
                .ok_or(UserError::Bad)?;
            let flags = match number {
                0 => flags,
                _ => flags | linux::MSG_DONTWAIT,
            };
            match act(at, flags) {
                Ok(length) => {
                    let bytes = (length as u32).to_ne_bytes();
                    self.memory.write(at + MESSAGE as u64, &bytes)?;
                }
                Err(failure) if number == 0 => return Err(failure),
                Err(_) => break,
            }
            done = number + 1;
        }
        Ok(done)
    }
}

impl Streaming<'_> {
    /// Reads from a socket. As on Linux, nobody waits to read nothing.
    pub(in crate::files) fn read_socket(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        buffers: &[Buffer],
    ) -> Outcome {
        if buffers.iter().all(|buffer| buffer.length == 0) {
            return Ok(0);
        }
        let received = self.receive(file, socket, buffers, 0, |_| Ok(()))?;
        Ok(received.0)
    }

    /// Writes to a socket.
    pub(in crate::files) fn write_socket(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        buffers: &[Buffer],
    ) -> Outcome {
        self.send(file, socket, buffers, 0, None)
    }

    fn receive(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        buffers: &[Buffer],
        flags: u32,
        tell: impl FnOnce(&Address) -> Result<(), Failure>,
    ) -> Result<Received, Failure> {
        if flags & linux::MSG_OOB != 0 {
            return Err(Errno::EINVAL.into());
        }
        if flags & linux::MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN.into());
        }
        match socket.kind {
            Kind::Datagram(_) => self.receive_datagram(file, socket, buffers, flags, tell),
            Kind::Stream(_) | Kind::Local(_) => {
                let length = self.receive_bytes(file, socket, buffers, flags)?;
                Ok((length, 0))
            }
        }
    }

    fn receive_bytes(
        &self,
        file: &Arc<OpenFile>,
        socket: &Socket,
        buffers: &[Buffer],
        flags: u32,
    ) -> Outcome {
        let how = Transfer {
            peeks: flags & linux::MSG_PEEK != 0,
            more: false,
        };
        let before = self.done.get();
        let mut done = before;
        let mut cursor = Cursor::new(self.memory, buffers, done);
        if cursor.left() == 0 && done == 0 {
            return Ok(0);
        }
        let waits_for_all = flags & linux::MSG_WAITALL != 0 && !how.peeks;
        // A connection gives all it has at once; another look would find nothing.
        let is_whole = matches!(socket.kind, Kind::Stream(_)) && !waits_for_all;
        while cursor.left() > 0 {
            match socket.read(&mut cursor, how) {
                Ok(Moving::Bytes(bytes)) => done += bytes,
                Ok(Moving::End | Moving::Broken) => break,
                Ok(Moving::Failed(_) | Moving::Blocks) if done > 0 && !waits_for_all => break,
                Ok(Moving::Blocks) if done > 0 && must_not_wait(file, flags) => break,
                Ok(Moving::Failed(_)) if done > 0 => break,
                Ok(Moving::Blocks) => return Err(wait_for(file, Events::READABLE, flags)),
                Ok(Moving::Failed(error)) => return Err(error.into()),
                Err(UserError::Bad) if done > 0 => break,
                Err(error) => return Err(error.into()),
            }
            if how.peeks {
                return Ok(done);
            }
            self.done.set(done);
            let is_much = done - before >= AT_A_TIME;
            if is_much && waits_for_all && cursor.left() > 0 {
                return Err(Failure::Pauses);
            }
            if is_much || is_whole {
                break;
            }
        }
        Ok(done)
    }

    fn receive_datagram(
        &self,
        file: &Arc<OpenFile>,
        socket: &Socket,
        buffers: &[Buffer],
        flags: u32,
        tell: impl FnOnce(&Address) -> Result<(), Failure>,
    ) -> Result<Received, Failure> {
        let Kind::Datagram(endpoint) = &socket.kind else {
            return Err(Errno::EOPNOTSUPP.into());
        };
        let datagram = match endpoint.receive()? {
            Ok(datagram) => datagram,
            Err(true) => return Ok((0, 0)),
            Err(false) => return Err(wait_for(file, Events::READABLE, flags)),
        };
        let length = datagram.data.total();
        let mut cursor = Cursor::new(self.memory, buffers, 0);
        let fits = length.min(usize::try_from(cursor.left()).unwrap_or(usize::MAX));
        let environment = socket.network.environment;
        let copied = datagram.data.copy_out(0, fits, &mut cursor, environment);
        let (address, port) = datagram.from;
        let told = match copied {
            Ok(()) => tell(&Address::Internet(address, port)),
            Err(error) => Err(error.into()),
        };
        if told.is_err() || flags & linux::MSG_PEEK != 0 {
            endpoint.put_back(datagram);
        }
        told?;
        let is_cut = fits < length;
        let returned = match flags & linux::MSG_TRUNC {
            0 => fits,
            _ => length,
        };
        Ok((returned as u64, if is_cut { linux::MSG_TRUNC } else { 0 }))
    }

    fn send(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        buffers: &[Buffer],
        flags: u32,
        to: Option<&Address>,
    ) -> Outcome {
        if flags & linux::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        match &socket.kind {
            Kind::Datagram(_) => self.send_datagram(file, socket, buffers, flags, to),
            Kind::Local(_) if to.is_some() => Err(match socket.peer() {
                Ok(_) => Errno::EISCONN.into(),
                Err(_) => Errno::EOPNOTSUPP.into(),
            }),
            Kind::Stream(_) | Kind::Local(_) => self.send_bytes(file, socket, buffers, flags),
        }
    }

    fn send_bytes(
        &self,
        file: &Arc<OpenFile>,
        socket: &Socket,
        buffers: &[Buffer],
        flags: u32,
    ) -> Outcome {
        let how = Transfer {
            peeks: false,
            more: flags & linux::MSG_MORE != 0,
        };
        let before = self.done.get();
        let mut done = before;
        let mut cursor = Cursor::new(self.memory, buffers, done);
        while cursor.left() > 0 {
            match socket.write(&mut cursor, how) {
                Ok(Moving::Bytes(bytes)) => done += bytes,
                Ok(Moving::Blocks) if done > 0 && must_not_wait(file, flags) => break,
                Ok(Moving::Blocks) => return Err(wait_for(file, Events::WRITABLE, flags)),
                Ok(Moving::Failed(_) | Moving::Broken | Moving::End) if done > 0 => break,
                Ok(Moving::Broken | Moving::End) if flags & linux::MSG_NOSIGNAL == 0 => {
                    return Err(Failure::Broken);
                }
                Ok(Moving::Broken | Moving::End) => return Err(Errno::EPIPE.into()),
                Ok(Moving::Failed(error)) => return Err(error.into()),
                Err(UserError::Bad) if done > 0 => break,
                Err(error) => return Err(error.into()),
            }
            self.done.set(done);
            if done - before >= AT_A_TIME && cursor.left() > 0 {
                return Err(Failure::Pauses);
            }
        }
        Ok(done)
    }

    fn send_datagram(
        &self,
        file: &Arc<OpenFile>,
        socket: &Socket,
        buffers: &[Buffer],
        flags: u32,
        to: Option<&Address>,
    ) -> Outcome {
        let Kind::Datagram(endpoint) = &socket.kind else {
            return Err(Errno::EOPNOTSUPP.into());
        };
        let to = match to {
            None => None,
            Some(Address::Internet(_, 0)) => return Err(Errno::EINVAL.into()),
            Some(Address::Internet(address, port)) => Some((*address, *port)),
            Some(_) => return Err(Errno::EAFNOSUPPORT.into()),
        };
        let total: u64 = buffers.iter().map(|buffer| buffer.length).sum();
        if total > MAX_DATA as u64 {
            return Err(Errno::EMSGSIZE.into());
        }
        let ends = endpoint.address(to)?;
        if total > socket.network.max_datagram(ends.1.0) as u64 {
            return Err(Errno::EMSGSIZE.into());
        }
        if !endpoint.sending.has_room() {
            return Err(wait_for(file, Events::WRITABLE, flags));
        }
        let data = self.gather(socket, buffers, total as usize)?;
        match endpoint.send(ends, data) {
            true => Ok(total),
            false => Err(wait_for(file, Events::WRITABLE, flags)),
        }
    }

    /// Copies what is in buffers into frames.
    fn gather(&self, socket: &Socket, buffers: &[Buffer], total: usize) -> Result<Data, Failure> {
        let owner = socket.paid.owner();
        let mut cursor = Cursor::new(self.memory, buffers, 0);
        let made = Data::copied(socket.network.environment, owner, total, &mut cursor);
        Ok(made??)
    }
}
