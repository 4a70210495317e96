//! Calls that move bytes and may have to wait for that, and those that make pipes.

use alloc::sync::Arc;
use core::iter;

use linux_raw_sys::general::{O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY};
use vortex_toolkit::memory::{Multiplexor, Owner, Refusal};

use super::argument::{Fd, Flags, In, InOut, Out};
use super::layout::Iovec;
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::files::{self, Buffers, Call, Events, Failure, OpenFile, Opened, Parts, PipeEnd};
use crate::machine::{Frame, Machine};
use crate::process::console;
use crate::signals::{self, Signal};
use crate::system::Kind;
use crate::thread::{self, Interruption};

/// Makes a call on files that may have to wait.
pub(super) fn transfer<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    call: impl FnOnce(&Call<'_>) -> files::Outcome,
) -> Outcome {
    let of_files = super::files::of(caller);
    let outcome = call(&of_files);
    let done = of_files.done.get();
    match outcome {
        Ok(result) => {
            console::listen_again(caller.shared, caller.context);
            Ok(result)
        }
        Err(Failure::Blocks(file, events)) => wait(caller, &file, events, done),
        Err(Failure::Broken) => {
            signals::send_own(caller.shared, caller.context, caller.thread, Signal::PIPE);
            match done {
                0 => Err(Errno::EPIPE.into()),
                done => Ok(done),
            }
        }
        Err(failure) => {
            caller.thread.kept.set_done(done);
            files::conclude(caller, Err(failure))
        }
    }
}

/// The thread waits until a file is ready, at most as long as the file says; `done` bytes have been
/// moved before.
fn wait<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    file: &OpenFile,
    events: Events,
    done: u64,
) -> Outcome {
    let deadline = match file.timeout_ns(events) {
        None => None,
        Some(ns) => {
            let at = thread::relative_deadline(caller, ns);
            caller.thread.kept.set_deadline(Some(at));
            if at <= caller.shared.machine.now() {
                return match done {
                    0 => file.late().map_err(Verdict::from),
                    done => Ok(done),
                };
            }
            Some(at)
        }
    };
    caller.thread.kept.set_done(done);
    let files = iter::once((file, events));
    Err(thread::wait_for(
        caller,
        files,
        Interruption::Restart,
        deadline,
    ))
}

super::passed_on! {
    by transfer;
    /// read(2).
    read(fd: Fd, buffer: Out<u8, 2>, count: u64) = read(fd.0, buffer.address(), count);
    /// write(2).
    write(fd: Fd, buffer: In<u8, 2>, count: u64) = write(fd.0, buffer.address(), count);
    /// readv(2).
    readv(fd: Fd, buffers: In<Iovec, 2>, count: u32) = read_vector(fd.0, buffers.address(), count.into());
    /// writev(2).
    writev(fd: Fd, buffers: In<Iovec, 2>, count: u32) = write_vector(fd.0, buffers.address(), count.into());
    /// preadv2(2).
    preadv2(fd: Fd, buffers: In<Iovec, 2>, count: u32, offset: i64, _high: u64, flags: Flags) = read_parts(fd.0, Parts::Vector(buffers.address(), count.into()), offset, flags.0);
    /// pwritev2(2).
    pwritev2(fd: Fd, buffers: In<Iovec, 2>, count: u32, offset: i64, _high: u64, flags: Flags) = write_parts(fd.0, Parts::Vector(buffers.address(), count.into()), offset, flags.0);
    /// sendfile(2).
    sendfile(sink: Fd, source: Fd, offset: Option<InOut<i64>>, count: u64) = send_file(sink.0, source.0, offset.map_or(0, InOut::address), count);
    /// `copy_file_range`(2).
    copy_file_range(source: Fd, source_offset: Option<InOut<i64>>, sink: Fd, sink_offset: Option<InOut<i64>>, count: u64, flags: Flags) = copy_range((source.0, source_offset.map_or(0, InOut::address)), (sink.0, sink_offset.map_or(0, InOut::address)), count, flags.0);
}

/// Frames for pipes, charged to the activity of the process that makes them.
struct Charged<M: Machine> {
    machine: M,
    memory: Arc<Multiplexor<M>>,
    owner: Owner,
}

impl<M: Machine> core::fmt::Debug for Charged<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Charged").field(&self.owner).finish()
    }
}

impl<M: Machine> Buffers for Charged<M> {
    fn allocate(&self) -> Result<Frame, Refusal> {
        self.memory.allocate(self.owner)
    }

    fn read(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        self.machine.read_frame(frame, offset, into);
    }

    fn write(&self, frame: Frame, offset: usize, from: &[u8]) {
        self.machine.write_frame(frame, offset, from);
    }

    fn release(&self, frame: Frame) {
        self.memory.release(frame);
    }
}

/// pipe(2).
pub(super) fn pipe<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    descriptors: Out<[u8; 8]>,
) -> Outcome {
    pipe2(caller, descriptors, Flags(0))
}

/// pipe2(2). With `O_DIRECT` it would be a pipe of packets, which is not here.
pub(super) fn pipe2<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    descriptors: Out<[u8; 8]>,
    flags: Flags,
) -> Outcome {
    if flags.0 & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 || flags.0 & O_DIRECT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let process = caller.process;
    // The place for the answer first: what is made then need not be taken back.
    descriptors.write(process.space(), &[0; 8])?;
    let [reads, writes] = PipeEnd::pair(buffers_of(caller))?;
    let status = flags.0 & O_NONBLOCK;
    let reads = OpenFile::new(Opened::Pipe(reads), None, O_RDONLY | status);
    let writes = OpenFile::new(Opened::Pipe(writes), None, O_WRONLY | status);
    let closes = flags.0 & O_CLOEXEC != 0;
    add_two(caller, [reads, writes], closes, descriptors)
}

/// Frames for pipes and the like, charged to the caller's activity.
pub(super) fn buffers_of<M: Machine>(caller: &Caller<'_, '_, M>) -> Arc<dyn Buffers> {
    let process = caller.process;
    Arc::new(Charged {
        machine: caller.shared.machine.clone(),
        memory: caller.shared.memory.clone(),
        owner: Owner {
            resource: process.destination(caller.shared, Kind::Process),
            activity: process.activity(),
            cookie: 0,
        },
    })
}

/// Two new descriptors, which are written to the program's memory.
pub(super) fn add_two<M: Machine>(
    caller: &Caller<'_, '_, M>,
    [one, other]: [Arc<OpenFile>; 2],
    closes: bool,
    descriptors: Out<[u8; 8]>,
) -> Outcome {
    let process = caller.process;
    let mut table = process.descriptors().lock();
    let first = table.add(one, closes, 0)?;
    let second = table.add(other, closes, 0);
    let second = second.inspect_err(|_| drop(table.close(first)))?;
    drop(table);
    let numbers = [first, second].map(i32::to_le_bytes);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(numbers.as_flattened());
    let written = descriptors.write(process.space(), &bytes);
    if let Err(error) = written {
        let mut table = process.descriptors().lock();
        let gone = [first, second].map(|number| table.close(number));
        drop(table);
        drop(gone);
        return Err(Verdict::from(error));
    }
    Ok(0)
}
