//! Sockets, as open files.
//!
//! Key types: [`Socket`], [`Moving`] (how far a transfer of bytes came), [`Stage`].

mod connected;

use alloc::sync::Arc;
use core::net::Ipv4Addr;

use linux_raw_sys::net::{AF_INET, AF_UNIX, SHUT_RD, SHUT_RDWR, SHUT_WR};
use spin::Mutex;
use vortex_toolkit::ids::ActivityId;

pub(crate) use connected::StreamSocket;

use super::Network;
use super::address::Address;
use super::data::{Paid, Payer};
use super::local::LocalSocket;
use super::options::Options;
use super::tcp::{Moved, Stream, Transfer};
use super::udp::Endpoint;
use crate::errno::Errno;
use crate::files::{Buffers, Cursor, Events, WaitQueue};
use crate::space::UserError;

/// What a socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing yet.
    Idle,
    /// It accepts connections.
    Listening,
    /// It is connected, or will be.
    Connected,
}

/// How far a transfer came.
pub use super::tcp::Moved as Moving;

/// The kinds of sockets.
#[derive(Debug)]
pub(crate) enum Kind {
    /// TCP.
    Stream(StreamSocket),
    /// UDP.
    Datagram(Arc<Endpoint>),
    /// Inside the machine.
    Local(LocalSocket),
}

/// A socket; open until it is dropped.
#[derive(Debug)]
pub struct Socket {
    pub(crate) network: Arc<Network>,
    /// Tells it from all others, as its inode.
    pub(crate) number: u64,
    pub(crate) paid: Paid,
    pub(crate) options: Mutex<Options>,
    pub(crate) kind: Kind,
}

/// Whether a connection is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connecting {
    /// It is.
    Done,
    /// It has to be waited for.
    Blocks,
}

impl Socket {
    fn new(network: Arc<Network>, paid: Paid, options: Options, kind: Kind) -> Self {
        let number = network.next_number();
        Self {
            network,
            number,
            paid,
            options: Mutex::new(options),
            kind,
        }
    }

    /// For TCP.
    #[must_use]
    pub fn stream(network: &Arc<Network>, payer: Payer) -> Self {
        let kind = Kind::Stream(StreamSocket::default());
        Self::new(network.clone(), Paid::by(payer), Options::default(), kind)
    }

    /// For UDP.
    #[must_use]
    pub fn datagram(network: &Arc<Network>, payer: Payer) -> Self {
        let paid = Paid::by(payer);
        let kind = Kind::Datagram(Endpoint::new(network.clone(), paid.clone()));
        Self::new(network.clone(), paid, Options::default(), kind)
    }

    /// Inside the machine.
    #[must_use]
    pub fn local(network: &Arc<Network>, payer: Payer, buffers: Arc<dyn Buffers>) -> Self {
        let kind = Kind::Local(LocalSocket::new(buffers));
        Self::new(network.clone(), Paid::by(payer), Options::default(), kind)
    }

    /// Two inside the machine that are connected.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn pair(
        network: &Arc<Network>,
        payer: &Payer,
        buffers: &Arc<dyn Buffers>,
    ) -> Result<[Self; 2], Errno> {
        let pair = LocalSocket::pair(buffers)?;
        Ok(pair.map(|local| {
            let paid = Paid::by(payer.clone());
            Self::new(
                network.clone(),
                paid,
                Options::default(),
                Kind::Local(local),
            )
        }))
    }

    /// Its connection, if it is of TCP and connected.
    #[must_use]
    pub(crate) fn connection(&self) -> Option<Arc<Stream>> {
        match &self.kind {
            Kind::Stream(stream) => stream.connection(),
            Kind::Datagram(_) | Kind::Local(_) => None,
        }
    }

    /// Its family (`SO_DOMAIN`).
    #[must_use]
    pub const fn family(&self) -> u32 {
        match self.kind {
            Kind::Stream(_) | Kind::Datagram(_) => AF_INET,
            Kind::Local(_) => AF_UNIX,
        }
    }

    /// Who waits for it.
    #[must_use]
    pub fn queue(&self) -> &Arc<WaitQueue> {
        match &self.kind {
            Kind::Stream(stream) => stream.queue(),
            Kind::Datagram(endpoint) => endpoint.queue(),
            Kind::Local(local) => local.queue(),
        }
    }

    /// What it is ready for.
    #[must_use]
    pub fn readiness(&self) -> Events {
        match &self.kind {
            Kind::Stream(stream) => stream.readiness(),
            Kind::Datagram(endpoint) => endpoint.readiness(),
            Kind::Local(local) => local.readiness(),
        }
    }

    /// How long a call waits that reads, or one that writes, in nanoseconds; `None` for ever.
    #[must_use]
    pub fn timeout_ns(&self, writes: bool) -> Option<u64> {
        let options = self.options.lock();
        let timeout = match writes {
            true => options.send_timeout_ns,
            false => options.receive_timeout_ns,
        };
        Some(timeout).filter(|ns| *ns > 0)
    }

    /// What it does.
    pub(crate) fn stage(&self) -> Stage {
        match &self.kind {
            Kind::Stream(stream) => stream.stage(),
            Kind::Datagram(endpoint) if endpoint.ends().1.is_some() => Stage::Connected,
            Kind::Datagram(_) => Stage::Idle,
            Kind::Local(local) => local.stage(),
        }
    }

    /// An address of the socket's family.
    fn internet(address: &Address) -> Result<(Ipv4Addr, u16), Errno> {
        match *address {
            Address::Internet(address, port) => Ok((address, port)),
            Address::None => Ok((Ipv4Addr::UNSPECIFIED, 0)),
            Address::Local(_) => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// bind(2).
    ///
    /// # Errors
    /// As bind(2).
    pub(crate) fn bind(&self, address: &Address) -> Result<(), Errno> {
        let sharing = self.options.lock().sharing;
        match &self.kind {
            Kind::Stream(stream) => {
                let local = Self::internet(address)?;
                stream.bind(&self.network, local, sharing)
            }
            Kind::Datagram(endpoint) => endpoint.bind(Self::internet(address)?, sharing),
            Kind::Local(local) => match address {
                Address::Local(name) => local.bind(&self.network.names, name),
                _ => Err(Errno::EINVAL),
            },
        }
    }

    /// listen(2).
    ///
    /// # Errors
    /// As listen(2).
    pub(crate) fn listen(&self, backlog: i32) -> Result<(), Errno> {
        const MOST: usize = 4096;
        let backlog = usize::try_from(backlog).map_or(MOST, |backlog| backlog.min(MOST));
        match &self.kind {
            Kind::Stream(stream) => {
                let config = self.options.lock().config();
                stream.listen(&self.network, config, backlog, self.paid.clone())
            }
            Kind::Datagram(_) => Err(Errno::EOPNOTSUPP),
            Kind::Local(local) => local.listen(&self.network.names, backlog),
        }
    }

    /// The connection that has waited longest to be accepted, and its address.
    ///
    /// # Errors
    /// As accept(2).
    pub(crate) fn accept(&self) -> Result<Option<(Self, Address)>, Errno> {
        let accepted = match &self.kind {
            Kind::Stream(stream) => stream.accept()?.map(|stream| {
                let (address, port) = stream.tuple().remote;
                let paid = stream.paid.clone();
                let kind = Kind::Stream(StreamSocket::accepted(stream));
                (kind, paid, Address::Internet(address, port))
            }),
            Kind::Datagram(_) => return Err(Errno::EOPNOTSUPP),
            Kind::Local(local) => local.accept()?.map(|local| {
                let peer = local
                    .peer()
                    .unwrap_or(Address::Local(alloc::vec::Vec::new()));
                (Kind::Local(local), self.paid.apart(), peer)
            }),
        };
        let options = self.options.lock().inherited();
        Ok(accepted.map(|(kind, paid, address)| {
            let socket = Self::new(self.network.clone(), paid, options, kind);
            (socket, address)
        }))
    }

    /// connect(2); `again` for a call that has waited.
    ///
    /// # Errors
    /// As connect(2).
    pub(crate) fn connect(&self, address: &Address, again: bool) -> Result<Connecting, Errno> {
        match &self.kind {
            Kind::Stream(stream) if *address == Address::None => {
                stream.disconnect();
                Ok(Connecting::Done)
            }
            Kind::Stream(stream) => {
                let config = self.options.lock().config();
                let remote = Self::internet(address)?;
                stream.connect(&self.network, remote, config, &self.paid, again)
            }
            Kind::Datagram(endpoint) => {
                let remote = match address {
                    Address::None => None,
                    address => Some(Self::internet(address)?),
                };
                endpoint.connect(remote).map(|()| Connecting::Done)
            }
            Kind::Local(local) => match address {
                Address::Local(name) => {
                    let connected = local.connect(&self.network.names, name);
                    connected.map(|()| Connecting::Done)
                }
                _ => Err(Errno::EINVAL),
            },
        }
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// EINVAL, ENOTCONN.
    pub(crate) fn shut_down(&self, how: u32) -> Result<(), Errno> {
        let (reads, writes) = match how {
            SHUT_RD => (true, false),
            SHUT_WR => (false, true),
            SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        match &self.kind {
            Kind::Stream(stream) => stream.shut_down(reads, writes),
            Kind::Datagram(endpoint) => endpoint.shut_down(reads, writes),
            Kind::Local(local) => local.shut_down(reads, writes),
        }
    }

    /// getsockname(2).
    #[must_use]
    pub(crate) fn name(&self) -> Address {
        let end = match &self.kind {
            Kind::Stream(stream) => stream.local(),
            Kind::Datagram(endpoint) => endpoint.ends().0,
            Kind::Local(local) => return local.name(),
        };
        let (address, port) = end.unwrap_or((Ipv4Addr::UNSPECIFIED, 0));
        Address::Internet(address, port)
    }

    /// getpeername(2).
    ///
    /// # Errors
    /// ENOTCONN.
    pub(crate) fn peer(&self) -> Result<Address, Errno> {
        let end = match &self.kind {
            Kind::Stream(stream) => stream.remote(),
            Kind::Datagram(endpoint) => endpoint.ends().1,
            Kind::Local(local) => return local.peer(),
        };
        let (address, port) = end.ok_or(Errno::ENOTCONN)?;
        Ok(Address::Internet(address, port))
    }

    /// What has happened, once (`SO_ERROR`).
    pub(crate) fn take_error(&self) -> Option<Errno> {
        match &self.kind {
            Kind::Stream(stream) => stream.take_error(),
            Kind::Datagram(endpoint) => endpoint.take_error(),
            Kind::Local(_) => None,
        }
    }

    /// Bytes that can be read, and that are on their way (`FIONREAD`, `TIOCOUTQ`).
    #[must_use]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        match &self.kind {
            Kind::Stream(stream) => stream.waiting(),
            Kind::Datagram(endpoint) => (endpoint.next_length(), 0),
            Kind::Local(local) => {
                let bytes = |end: &Arc<crate::files::PipeEnd>| end.bytes() as usize;
                let reads = local.reads().ok().flatten();
                let writes = local.writes().ok().flatten();
                (
                    reads.as_ref().map_or(0, bytes),
                    writes.as_ref().map_or(0, bytes),
                )
            }
        }
    }

    /// Moves bytes of a stream to where the cursor is.
    ///
    /// # Errors
    /// The program's memory cannot be used, or not yet; then nothing has been taken out.
    pub(crate) fn read(&self, cursor: &mut Cursor<'_>, how: Transfer) -> Result<Moved, UserError> {
        match &self.kind {
            Kind::Stream(stream) => stream.read(cursor, how),
            Kind::Datagram(_) => Ok(Moved::Failed(Errno::EOPNOTSUPP)),
            Kind::Local(local) => match local.reads() {
                Err(error) => Ok(Moved::Failed(error)),
                Ok(None) => Ok(Moved::End),
                Ok(Some(_)) if how.peeks => Ok(Moved::Failed(Errno::EOPNOTSUPP)),
                Ok(Some(end)) => end.read(cursor).map(Moved::from),
            },
        }
    }

    /// Moves bytes from where the cursor is to a stream.
    ///
    /// # Errors
    /// The program's memory cannot be used, or not yet; then nothing has been put in.
    pub(crate) fn write(&self, cursor: &mut Cursor<'_>, how: Transfer) -> Result<Moved, UserError> {
        match &self.kind {
            Kind::Stream(stream) => stream.write(cursor, how),
            Kind::Datagram(_) => Ok(Moved::Failed(Errno::EOPNOTSUPP)),
            Kind::Local(local) => match local.writes() {
                Err(error) => Ok(Moved::Failed(error)),
                Ok(None) => Ok(Moved::Broken),
                Ok(Some(end)) => end.write(cursor, true).map(|step| match step.into() {
                    Moved::End => Moved::Broken,
                    moved => moved,
                }),
            },
        }
    }

    /// Who pays for it.
    pub(crate) fn activity(&self) -> ActivityId {
        self.paid.activity()
    }

    /// From now on somebody else pays for it.
    pub(crate) fn assign(&self, payer: Payer) {
        self.paid.set(payer);
    }
}

impl From<crate::files::Step> for Moved {
    fn from(step: crate::files::Step) -> Self {
        match step {
            crate::files::Step::Moved(bytes) => Self::Bytes(bytes),
            crate::files::Step::Blocks => Self::Blocks,
            crate::files::Step::Gone => Self::End,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let resets = self.options.lock().linger == Some(0);
        match &self.kind {
            Kind::Stream(stream) => stream.close(resets),
            Kind::Datagram(endpoint) => endpoint.close(),
            Kind::Local(local) => local.close(&self.network.names),
        }
    }
}
