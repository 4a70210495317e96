//! Operations on their way: from the call that leaves one to the resources, to the thread that goes
//! on when it has ended.
//!
//! A thread that makes a call waits while the operation is carried out; then the call has the
//! operation's result, or is made again when something has been brought in for it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::Context;

use super::aio::{self, PinnedBuffers};
use super::cursor::Buffer;
use super::operation::{Made, Operation};
use super::{Failure, cache, copy, list, mounts, names};
use crate::calls::asynchronous::{Ring, Told};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errand::{Errand, Here};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::process::{Process, console};
use crate::space::{Pinned, Space, UserError};
use crate::system::{Kind, Message, Shared, Vortex};
use crate::thread::{self, Resumption, Thread};

/// Has what inodes have left behind cleared up, on the account of a process that may have been the last
/// to use them.
pub(crate) fn clear_up<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Process<M>,
) {
    if let Some(disk) = shared.disk.get()
        && disk.tree.gone().any()
    {
        let message = Errand::message(|here: Here<M>| async move { names::clear_up(&here).await });
        let request = process.request(shared, context, Kind::FileCache, message);
        context.send(request);
    }
}

/// What becomes of a thread whose call on files has got so far.
///
/// # Errors
/// The verdict, if the call has not ended with a result.
pub(crate) fn conclude<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    outcome: super::Outcome,
) -> Outcome {
    clear_up(caller.shared, caller.context, caller.process);
    console::listen_again(caller.shared, caller.context);
    match outcome {
        Ok(result) => Ok(result),
        Err(Failure::Signals(group, signal)) => {
            console::signal_group(caller.shared, caller.context, group, signal);
            Err(Verdict::Again)
        }
        Err(Failure::Left(operation)) => {
            let thread = caller.thread.clone();
            begin(caller, *operation, Completion::Thread(thread))?;
            Err(Verdict::Blocked)
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Who is told when an operation has completed.
pub enum Completion<M: Machine> {
    /// The thread that waits for it.
    Thread(Arc<Thread<M>>),
    /// Who has submitted it, and does not wait.
    Ring(Arc<Ring<M>>, Told),
}

/// Sends an operation to the resource that carries it out.
///
/// # Errors
/// The verdict, if its buffers cannot be used.
pub(crate) fn begin<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    operation: Operation,
    completion: Completion<M>,
) -> Result<(), Verdict> {
    let space = caller.process.space();
    let thread = caller.thread.clone();
    let waits = matches!(completion, Completion::Thread(_));
    let (kind, message) = match operation {
        Operation::Read(file, inode, buffers, offset) => {
            let start = offset.unwrap_or_else(|| *file.position.lock());
            let room = inode.size().saturating_sub(start);
            let pinned = pin(space, &buffers, room, true)?;
            let work = move |here: Here<M>| async move {
                let read = aio::read(&here, &file, &inode, offset, pinned).await;
                finish(&here, &completion, read.map_err(Failure::Error));
            };
            (Kind::Aio, Errand::message(work))
        }
        Operation::Write(file, inode, buffers, place) => {
            let pinned = pin(space, &buffers, u64::MAX, false)?;
            let work = move |here: Here<M>| async move {
                let written = aio::write(&here, &file, &inode, place, pinned).await;
                finish(&here, &completion, written.map_err(Failure::Error));
            };
            (Kind::Aio, Errand::message(work))
        }
        Operation::Copy(copying) => {
            let work = move |here: Here<M>| async move {
                let copied = copy::copy(&here, &thread, *copying).await;
                finish(&here, &completion, copied.map_err(Failure::Error));
            };
            (Kind::Aio, Errand::message(work))
        }
        operation => {
            let work = |here: Here<M>| async move {
                let done = perform(&here, &thread, operation).await;
                finish(&here, &completion, done);
            };
            (Kind::FileCache, Errand::message(work))
        }
    };
    let request = caller
        .process
        .request(caller.shared, caller.context, kind, message);
    if waits {
        thread::calls(caller.thread);
    }
    caller.context.send(request);
    Ok(())
}

/// Pins buffers, at most `most` bytes of them. What comes before a part that cannot be used is
/// enough, if there is any.
///
/// # Errors
/// [`UserError`].
pub(crate) fn pin<M: Machine>(
    space: &Space<M>,
    buffers: &[Buffer],
    most: u64,
    write: bool,
) -> Result<PinnedBuffers<M>, UserError> {
    let mut left = most.min(Pinned::<M>::MAX as u64);
    let mut pieces: Vec<Pinned<M>> = Vec::new();
    for buffer in buffers {
        let length = buffer.length.min(left);
        if length == 0 {
            continue;
        }
        match space.pin_part(buffer.address, length as usize, write) {
            Ok(piece) => {
                let got = piece.len() as u64;
                pieces.push(piece);
                left -= got;
                if got < length {
                    break;
                }
            }
            Err(UserError::Bad) if !pieces.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(PinnedBuffers::new(pieces))
}

/// An operation has ended so.
fn finish<M: Machine>(here: &Here<M>, completion: &Completion<M>, result: Result<u64, Failure>) {
    let thread = match completion {
        Completion::Thread(thread) => thread,
        Completion::Ring(ring, told) => {
            let result = result.map_err(|failure| match failure {
                Failure::Error(error) => error,
                _ => Errno::EFAULT,
            });
            return told.complete(ring, &here.shared, &mut &*here, result);
        }
    };
    match result {
        Ok(value) => thread::complete(&mut &*here, thread, Ok(value)),
        Err(Failure::Error(error)) => thread::complete(&mut &*here, thread, Err(error)),
        Err(Failure::User(UserError::Bad)) => {
            thread::complete(&mut &*here, thread, Err(Errno::EFAULT));
        }
        Err(Failure::User(UserError::Absent(address, write))) => {
            let message = Message::BringIn(thread.clone(), address, write);
            let sink = here.shared.destination(Kind::AddressSpace, here.activity());
            here.port.send(here.port.request(sink, message));
        }
        // What it needed is there.
        Err(_) => thread::go_on(&mut &*here, thread, Resumption::Again),
    }
}

/// Carries out an operation in the File Cache Resource.
async fn perform<M: Machine>(
    here: &Here<M>,
    thread: &Arc<Thread<M>>,
    operation: Operation,
) -> Result<u64, Failure> {
    match operation {
        Operation::BringIn(wanted) => {
            names::bring_in(here, wanted.clone()).await?;
            return Err(Failure::Left(Operation::BringIn(wanted).into()));
        }
        Operation::Make(entry, made, mode) => {
            let inode = names::make(here, &entry, &made, mode).await?;
            if let Made::Opened(flags) = made {
                return Ok(names::open(thread, inode, flags)?);
            }
        }
        Operation::OpenEmpty(inode, flags) => {
            cache::cut(here, &inode, 0).await?;
            return Ok(names::open(thread, inode, flags)?);
        }
        Operation::Link(inode, entry) => names::link(here, &inode, &entry).await?,
        Operation::Remove(entry, is_directory) => names::remove(here, &entry, is_directory).await?,
        Operation::Rename(from, to, how) => names::rename(here, &from, &to, how).await?,
        Operation::Change(inode, changes) => names::change(here, &inode, changes).await?,
        Operation::Cut(inode, size) => cache::cut(here, &inode, size).await?,
        Operation::Allocate(inode, end, grows) => {
            if grows && end > inode.size() {
                cache::cut(here, &inode, end).await?;
            }
        }
        Operation::Sync(inodes) => {
            for inode in inodes {
                cache::sync_file(here, &inode).await?;
            }
        }
        Operation::SyncAll => cache::sync(here).await?,
        Operation::Evict(inode) => {
            return Ok(cache::evict_file(here, &inode, 0..u64::MAX, None).await);
        }
        Operation::Discard(inode, pages) => {
            cache::evict_file(here, &inode, pages, None).await;
        }
        Operation::Print(bytes, count) => {
            super::console::print(here, &bytes).await;
            return Ok(count);
        }
        Operation::Mount(mounting) => mounts::mount(here, *mounting).await?,
        Operation::Unmount(system) => mounts::unmount(here, system).await?,
        Operation::EvictOf(activity) => return Ok(cache::evict_of(here, activity).await),
        Operation::List(file, inode, buffer) => {
            return list::list_on_disk(here, thread, &file, &inode, buffer).await;
        }
        Operation::Read(..) | Operation::Write(..) | Operation::Copy(_) => {
            return Err(Errno::EINVAL.into());
        }
    }
    names::clear_up(here).await;
    Ok(0)
}
