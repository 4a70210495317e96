//! Calls on sockets.
//!
//! A call that cannot go on leaves all as it was, and is made again from its beginning: what it has
//! moved before is in [`Call::done`].

mod transfer;

use alloc::sync::Arc;

use arrayvec::ArrayVec;

use linux_raw_sys::general::{O_NONBLOCK, O_RDWR};
use linux_raw_sys::net as linux;

use super::descriptors::{OpenFile, Opened};
use super::ready::Events;
use super::{Call, Failure, Outcome};
use crate::errno::Errno;
use crate::net::{Address, Connecting, MAX_ADDRESS, Socket};

/// The longest value of an option.
const MAX_OPTION: usize = 256;

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

impl OpenFile {
    /// The socket that it is.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK.
    fn socket(&self) -> Result<&Arc<Socket>, Errno> {
        match &self.opened {
            Opened::Socket(socket) => Ok(socket),
            Opened::Place => Err(Errno::EBADF),
            _ => Err(Errno::ENOTSOCK),
        }
    }
}

impl Call<'_> {
    /// A socket.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK.
    fn socket(&self, descriptor: i32) -> Result<Arc<OpenFile>, Errno> {
        let file = self.descriptors.lock().get(descriptor)?;
        file.socket()?;
        Ok(file)
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

    /// Sees to it that an address can be written there.
    fn check_place(&self, place: Place) -> Result<(), Failure> {
        let mut room = [0; 4];
        self.memory.read(place.length_at, &mut room)?;
        self.memory.write(place.length_at, &room)?;
        let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| Errno::EINVAL)?;
        let mut bytes = [0; MAX_ADDRESS];
        let bytes = &mut bytes[..room.min(MAX_ADDRESS)];
        self.memory.read(place.at, bytes)?;
        self.memory.write(place.at, bytes)?;
        Ok(())
    }

    /// `bind(descriptor, address, length)`.
    ///
    /// # Errors
    /// As bind(2).
    pub fn bind(&self, descriptor: i32, address: u64, length: u32) -> Outcome {
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        socket.bind(&self.address(address, length)?)?;
        Ok(0)
    }

    /// `listen(descriptor, backlog)`.
    ///
    /// # Errors
    /// As listen(2).
    pub fn listen(&self, descriptor: i32, backlog: i32) -> Outcome {
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
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
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        if flags & !(O_NONBLOCK | linux_raw_sys::general::O_CLOEXEC) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let place = Place {
            at: address,
            length_at: length,
        };
        // The place for the answer first: what is accepted need not be put back then.
        if address != 0 {
            self.check_place(place)?;
        }
        let mut descriptors = self.descriptors.lock();
        // So is the descriptor: without one, the connection waits on.
        descriptors.check_room()?;
        let accepted = socket.accept()?;
        let (accepted, peer) = accepted.ok_or_else(|| wait_for(&file, Events::READABLE, 0))?;
        let opened = Opened::Socket(Arc::new(accepted));
        let file = OpenFile::new(opened, None, O_RDWR | flags & O_NONBLOCK);
        let closes = flags & linux_raw_sys::general::O_CLOEXEC != 0;
        let number = descriptors.add(file.clone(), closes, 0)?;
        drop(descriptors);
        if let Opened::Socket(accepted) = &file.opened {
            accepted.apply();
        }
        if address != 0
            && let Err(failure) = self.tell_address(&peer, place)
        {
            let gone = self.descriptors.lock().close(number);
            drop(gone);
            return Err(failure);
        }
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
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
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
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        socket.shut_down(how)?;
        Ok(0)
    }

    /// `getsockname(descriptor, address, length)`.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn socket_name(&self, descriptor: i32, at: u64, length_at: u64) -> Outcome {
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
        self.tell_address(&socket.name(), Place { at, length_at })?;
        Ok(0)
    }

    /// `getpeername(descriptor, address, length)`.
    ///
    /// # Errors
    /// As getpeername(2).
    pub fn peer_name(&self, descriptor: i32, at: u64, length_at: u64) -> Outcome {
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
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
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
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
        let file = self.socket(descriptor)?;
        let socket = file.socket()?;
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
