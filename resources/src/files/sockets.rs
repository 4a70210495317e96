//! Calls on sockets.
//!
//! A call that cannot go on leaves all as it was, and is made again from its beginning: what it has
//! moved before is in [`Call::done`].

use alloc::sync::Arc;

use arrayvec::ArrayVec;

use linux_raw_sys::general::{O_NONBLOCK, O_RDWR};
use linux_raw_sys::net as linux;

use super::cursor::{Buffer, Cursor};
use super::descriptors::{OpenFile, Opened};
use super::ready::Events;
use super::transfer::MAX_COUNT;
use super::{Call, Failure, Outcome};
use crate::errno::Errno;
use crate::net::{
    Address, Connecting, Data, Kind, MAX_ADDRESS, MAX_DATA, Moving, Socket, Transfer,
};
use crate::space::UserError;

/// The most that one call moves before others go first.
const PORTION: u64 = 1 << 20;
/// The longest value of an option.
const MAX_OPTION: usize = 256;
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
}

/// Where a message's name goes.
#[derive(Clone, Copy)]
struct Place {
    /// The address; 0 for nowhere.
    at: u64,
    /// Where the length of the room is, and of the name then.
    length_at: u64,
}

/// An address as it was given.
type Bytes = ArrayVec<u8, MAX_ADDRESS>;

/// What came of receiving: bytes, and flags of the message.
type Received = (u64, u32);

impl Call<'_> {
    /// A socket.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK.
    fn socket(&self, descriptor: i32) -> Result<(Arc<OpenFile>, Arc<Socket>), Errno> {
        let file = self.descriptors.lock().get(descriptor)?;
        match &file.opened {
            Opened::Socket(socket) => {
                let socket = socket.clone();
                Ok((file, socket))
            }
            Opened::Place => Err(Errno::EBADF),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// An address that the program gives.
    fn address(&self, at: u64, length: u32) -> Result<Address, Failure> {
        Ok(Address::decode(&self.address_bytes(at, length)?)?)
    }

    fn address_bytes(&self, at: u64, length: u32) -> Result<Bytes, Failure> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut bytes = Bytes::from([0; MAX_ADDRESS]);
        if length > MAX_ADDRESS {
            return Err(Errno::EINVAL.into());
        }
        bytes.truncate(length);
        if length > 0 {
            self.memory.read(at, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// A buffer of a call that looks at it before anything else, as much as it would move.
    fn only_buffer(&self, (at, length): (u64, u64)) -> Result<[Buffer; 1], Failure> {
        Ok([self.buffer(at, length.min(MAX_COUNT))?])
    }

    /// Gives the program an address, as much of it as there is room for, and its length.
    fn tell_address(&self, address: &Address, place: Place) -> Result<(), Failure> {
        self.tell(&address.encode(), place)
    }

    fn tell(&self, bytes: &[u8], place: Place) -> Result<(), Failure> {
        let mut room = [0; 4];
        self.memory.read(place.length_at, &mut room)?;
        let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| Errno::EINVAL)?;
        let told = &bytes[..room.min(bytes.len())];
        self.memory.write(place.at, told)?;
        let length = (bytes.len() as u32).to_ne_bytes();
        self.memory.write(place.length_at, &length)?;
        Ok(())
    }

    /// `bind(descriptor, address, length)`.
    ///
    /// # Errors
    /// As bind(2).
    pub fn bind(&self, descriptor: i32, address: u64, length: u32) -> Outcome {
        let (_, socket) = self.socket(descriptor)?;
        socket.bind(&self.address(address, length)?)?;
        Ok(0)
    }

    /// `listen(descriptor, backlog)`.
    ///
    /// # Errors
    /// As listen(2).
    pub fn listen(&self, descriptor: i32, backlog: i32) -> Outcome {
        let (_, socket) = self.socket(descriptor)?;
        socket.listen(backlog)?;
        Ok(0)
    }

    /// `accept(descriptor, address, length)`.
    ///
    /// # Errors
    /// As accept(2).
    pub fn accept(&self, descriptor: i32, address: u64, length: u64) -> Outcome {
        self.accept_with(descriptor, address, length, 0)
    }

    /// `accept4(descriptor, address, length, flags)`.
    ///
    /// # Errors
    /// As accept4(2).
    pub fn accept_with(&self, descriptor: i32, address: u64, length: u64, flags: u32) -> Outcome {
        let (file, socket) = self.socket(descriptor)?;
        if flags & !(O_NONBLOCK | linux_raw_sys::general::O_CLOEXEC) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let place = Place {
            at: address,
            length_at: length,
        };
        // The place for the answer first: what is accepted need not be put back then.
        if address != 0 {
            let mut bytes = [0; 4];
            self.memory.read(length, &mut bytes)?;
            if i32::from_ne_bytes(bytes) < 0 {
                return Err(Errno::EINVAL.into());
            }
        }
        let accepted = socket.accept()?;
        let (accepted, peer) = accepted.ok_or_else(|| wait_for(&file, Events::READABLE, 0))?;
        accepted.apply();
        let opened = Opened::Socket(Arc::new(accepted));
        let file = OpenFile::new(opened, None, O_RDWR | flags & O_NONBLOCK);
        let closes = flags & linux_raw_sys::general::O_CLOEXEC != 0;
        if address != 0 {
            self.tell_address(&peer, place)?;
        }
        let number = self.descriptors.lock().add(file, closes, 0)?;
        Ok(u64::from(number.unsigned_abs()))
    }

    /// `connect(descriptor, address, length)`.
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect(&self, descriptor: i32, address: u64, length: u32) -> Outcome {
        // As on Linux, the address comes first.
        self.descriptors.lock().get(descriptor)?;
        let bytes = self.address_bytes(address, length)?;
        let (file, socket) = self.socket(descriptor)?;
        let address = Address::decode(&bytes)?;
        let again = self.done.replace(0) != 0;
        match socket.connect(&address, again)? {
            Connecting::Done => Ok(0),
            Connecting::Blocks if file.is_nonblocking() => Err(Errno::EINPROGRESS.into()),
            Connecting::Blocks => {
                self.done.set(1);
                Err(Failure::Blocks(file, Events::WRITABLE))
            }
        }
    }

    /// `shutdown(descriptor, how)`.
    ///
    /// # Errors
    /// As shutdown(2).
    pub fn shut_down(&self, descriptor: i32, how: u32) -> Outcome {
        let (_, socket) = self.socket(descriptor)?;
        socket.shut_down(how)?;
        Ok(0)
    }

    /// `getsockname(descriptor, address, length)`.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn socket_name(&self, descriptor: i32, at: u64, length_at: u64) -> Outcome {
        let (_, socket) = self.socket(descriptor)?;
        self.tell_address(&socket.name(), Place { at, length_at })?;
        Ok(0)
    }

    /// `getpeername(descriptor, address, length)`.
    ///
    /// # Errors
    /// As getpeername(2).
    pub fn peer_name(&self, descriptor: i32, at: u64, length_at: u64) -> Outcome {
        let (_, socket) = self.socket(descriptor)?;
        self.tell_address(&socket.peer()?, Place { at, length_at })?;
        Ok(0)
    }

    /// `setsockopt(descriptor, level, name, value, length)`.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_socket_option(
        &self,
        descriptor: i32,
        level: u32,
        name: u32,
        value: u64,
        length: u32,
    ) -> Outcome {
        let (_, socket) = self.socket(descriptor)?;
        let length = i32::try_from(length).map_err(|_| Errno::EINVAL)?;
        let mut bytes = [0; MAX_OPTION];
        let bytes = &mut bytes[..(length.unsigned_abs() as usize).min(MAX_OPTION)];
        self.memory.read(value, bytes)?;
        socket.set_option(level, name, bytes)?;
        Ok(0)
    }

    /// `getsockopt(descriptor, level, name, value, length)`.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn socket_option(
        &self,
        descriptor: i32,
        level: u32,
        name: u32,
        value: u64,
        length: u64,
    ) -> Outcome {
        let (_, socket) = self.socket(descriptor)?;
        let mut room = [0; 4];
        self.memory.read(length, &mut room)?;
        let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| Errno::EINVAL)?;
        // What is told once is not taken before there is a place for it.
        let mut probe = [0; 4];
        let probe = &mut probe[..room.min(4)];
        self.memory.read(value, probe)?;
        self.memory.write(value, probe)?;
        let bytes = socket.option(level, name)?;
        let told = &bytes[..room.min(bytes.len())];
        self.memory.write(value, told)?;
        self.memory
            .write(length, &(told.len() as u32).to_ne_bytes())?;
        Ok(0)
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
        let (file, socket) = self.socket(descriptor)?;
        let to = match address {
            0 => None,
            address => Some(self.address(address, length)?),
        };
        self.send(&file, &socket, &buffers, flags, to.as_ref())
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
        let (file, socket) = self.socket(descriptor)?;
        let place = (address != 0).then_some(Place {
            at: address,
            length_at: length,
        });
        let tell = |name: &Address| match place {
            Some(place) => self.tell_address(name, place),
            None => Ok(()),
        };
        let received = self.receive(&file, &socket, &buffers, flags, tell)?;
        Ok(received.0)
    }

    fn message(&self, at: u64) -> Result<Message, Failure> {
        let mut bytes = [0; MESSAGE];
        self.memory.read(at, &mut bytes)?;
        let word = |at: usize| {
            let bytes = bytes[at..].first_chunk().copied().unwrap_or_default();
            u64::from_ne_bytes(bytes)
        };
        Ok(Message {
            name: word(0),
            name_length: word(8) as u32,
            buffers: word(16),
            count: word(24),
        })
    }

    /// `sendmsg(descriptor, message, flags)`. Control messages are left out.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn send_message(&self, descriptor: i32, message: u64, flags: u32) -> Outcome {
        let (file, socket) = self.socket(descriptor)?;
        self.send_one(&file, &socket, message, flags)
    }

    fn send_one(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        message: u64,
        flags: u32,
    ) -> Outcome {
        let message = self.message(message)?;
        let to = match message.name {
            0 => None,
            name => Some(self.address(name, message.name_length)?),
        };
        if message.count > 1024 {
            return Err(Errno::EMSGSIZE.into());
        }
        let buffers = self.buffers(message.buffers, message.count)?;
        self.send(file, socket, &buffers, flags, to.as_ref())
    }

    /// `recvmsg(descriptor, message, flags)`. There are no control messages.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive_message(&self, descriptor: i32, message: u64, flags: u32) -> Outcome {
        let (file, socket) = self.socket(descriptor)?;
        self.receive_one(&file, &socket, message, flags)
    }

    fn receive_one(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        at: u64,
        flags: u32,
    ) -> Outcome {
        let message = self.message(at)?;
        if message.count > 1024 {
            return Err(Errno::EMSGSIZE.into());
        }
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
        let (length, flags) = self.receive(file, socket, &buffers, flags, tell)?;
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
        let (file, socket) = self.socket(descriptor)?;
        self.several(messages, count, |at, is_first| {
            let flags = if is_first {
                flags
            } else {
                flags | linux::MSG_DONTWAIT
            };
            self.send_one(&file, &socket, at, flags)
        })
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
        let (file, socket) = self.socket(descriptor)?;
        self.several(messages, count, |at, is_first| {
            let flags = if is_first {
                flags
            } else {
                flags | linux::MSG_DONTWAIT
            };
            self.receive_one(&file, &socket, at, flags)
        })
    }

    /// Does something with one `struct mmsghdr` after another, and writes what came of each. The
    /// first that fails ends it; the failure counts only if it is the very first.
    fn several(&self, messages: u64, count: u32, act: impl Fn(u64, bool) -> Outcome) -> Outcome {
        let mut done = 0;
        for number in 0..u64::from(count.min(MAX_MESSAGES)) {
            let at = messages
                .checked_add(number * MESSAGES)
                .ok_or(UserError::Bad)?;
            match act(at, number == 0) {
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

    /// Reads from a socket.
    pub(super) fn read_socket(
        &self,
        file: &Arc<OpenFile>,
        socket: &Arc<Socket>,
        buffers: &[Buffer],
    ) -> Outcome {
        let received = self.receive(file, socket, buffers, 0, |_| Ok(()))?;
        Ok(received.0)
    }

    /// Writes to a socket.
    pub(super) fn write_socket(
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
        while cursor.left() > 0 && done - before < PORTION {
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
        let copied = datagram.data.each(0, fits, |bytes| cursor.put(bytes));
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
            if done - before >= PORTION && cursor.left() > 0 {
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
        let owner = socket.paid.payer().owner;
        let mut cursor = Cursor::new(self.memory, buffers, 0);
        let made = Data::gathered(&socket.network.environment, owner, total, |part| {
            cursor.take(part)
        });
        Ok(made??)
    }
}

/// Whether a call is not to wait.
fn must_not_wait(file: &OpenFile, flags: u32) -> bool {
    file.is_nonblocking() || flags & linux::MSG_DONTWAIT != 0
}

/// Why a call goes no further before the socket is ready.
fn wait_for(file: &Arc<OpenFile>, events: Events, flags: u32) -> Failure {
    if must_not_wait(file, flags) {
        return Errno::EAGAIN.into();
    }
    Failure::Blocks(file.clone(), events)
}
