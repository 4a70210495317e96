//! What resources say to each other.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::memory::Reclaim;

use crate::calls::asynchronous::StreamIo;
use crate::errand::Errand;
use crate::errno::Errno;
use crate::files::{Frames, Put, Read};
use crate::machine::Machine;
use crate::net::NetMessage;
use crate::object::Object;
use crate::process::{Fork, Process, Spawn};
use crate::space::Pinned;
use crate::storage::{DiskMessage, IoError, Transfer, Volume};
use crate::thread::{Starved, Thread};

/// A system call that has become a request (paper, section 3.4): the resource performs it by
/// [`crate::calls::perform`], then the thread goes on.
pub struct Call<M: Machine> {
    /// Who called; it waits.
    pub thread: Arc<Thread<M>>,
    /// The call's number.
    pub number: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// The pages that the arguments name, if the stub has pinned them.
    pub pinned: Option<Pinned<M>>,
    /// What its steps hand on to each other; empty at first.
    pub kept: Vec<u8>,
}

/// What resources say to each other.
pub enum Message<M: Machine> {
    /// To a thread resource: the thread is ready; let it run.
    Run(Arc<Thread<M>>),
    /// To any resource: performs a system call.
    Call(Box<Call<M>>),
    /// To the executable resource: bring in a page of an object for a thread that waits (true: which
    /// writes it where it is).
    Fetch(Arc<Thread<M>>, Arc<dyn Object>, u64, bool),
    /// To the executable resource: the page could not be brought in.
    Unfetched(Arc<Thread<M>>, Errno),
    /// To the memory resource: there is no frame for a thread that waits; get some back.
    Starved(Arc<Starved<M>>),
    /// To the owner of a frame: give it back, for who waits for one.
    Reclaim(Reclaim, Arc<Starved<M>>),
    /// To the process resource: start a process.
    Spawn(Box<Spawn<M>>),
    /// To the address-space resource: give the next portion of a process's memory to its fork.
    Fork(Box<Fork<M>>),
    /// To the process resource: have the next threads of a dying process end, those with numbers
    /// above this one.
    Kill(Arc<Process<M>>, u32),
    /// To the address-space resource: give back the next portion of a process's memory.
    Teardown(Arc<Process<M>>),
    /// To the address-space resource: have the next portion of a process's memory be paid by its new
    /// activity.
    Recharge(Arc<Process<M>>),
    /// To the process resource: all of a process has been given back; tell who waits.
    Ended(Arc<Process<M>>),
    /// To any resource: work that it goes on with as a continuation.
    Errand(Errand<M>),
    /// To the file cache, as a source: pages of a file. The reply is [`Message::ReadDone`].
    Read(Box<Read>),
    /// The reply to [`Message::Read`].
    ReadDone(Result<Frames<M>, Errno>),
    /// To the address space, as a sink: data for a program's memory. The reply is
    /// [`Message::Done`].
    Put(Box<Put<M>>),
    /// The reply where there is nothing more to say.
    Done,
    /// To the address space: bring in the page at an address (true: for writing) for a thread that
    /// waits; then it makes its call again.
    BringIn(Arc<Thread<M>>, u64, bool),
    /// To the storage resource: move bytes between frames and a volume. The reply is
    /// [`Message::VolumeDone`].
    Volume(Box<Transfer>),
    /// The reply to [`Message::Volume`].
    VolumeDone(Result<(), IoError>),
    /// Between the resources of storage.
    Disk(DiskMessage),
    /// Between the resources of the network.
    Net(NetMessage),
    /// To the process resource: something has been typed at the terminal.
    Console,
    /// To the process resource, on the account of who has the terminal: this has been typed.
    Typed(Box<[u8]>),
    /// To the storage resource: reply with [`Message::Volumes`] once all disks that were there at
    /// boot have been looked at, or have not answered in time.
    AwaitVolumes,
    /// To the asynchronous I/O resource: an operation on a stream makes an attempt.
    Stream(Arc<StreamIo<M>>),
    /// The reply to [`Message::AwaitVolumes`]: the volumes there are.
    Volumes(Arc<[Volume]>),
}

impl<M: Machine> vortex_toolkit::Message for Message<M> {
    fn sort_key(&self) -> u64 {
        match self {
            Self::Disk(message) => message.sort_key(),
            _ => 0,
        }
    }
}
