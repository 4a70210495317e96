//! Disks: all volumes are read and, where that is allowed, written.
//!
//! Of every disk that is large enough, what is from [`FROM`] on is copied with all bits inverted to
//! [`TO`] and on, in requests of many sizes, several at a time; then the cache is flushed, and the
//! copy is read and compared. Requests that the disk fails are counted and told; wrong data fail
//! the check. The host that made the disk compares what is on it afterwards.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Once;
use vortex_hal::{clock, cpu, logging};
use vortex_resources::errand::Errand;
use vortex_resources::machine::{Frame, Machine};
use vortex_resources::storage::{Direction, IoError, Segment, Transfer, Volume};
use vortex_resources::system::{self, Kind, Message};
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::Owner;
use vortex_toolkit::{Port, Request};

use super::{Failure, ensure};
use crate::grid::{self, Hardware, Local};
use crate::processes::{self, System};

/// Where the bytes are that are copied.
const FROM: u64 = 1 << 20;
/// Where they are copied to.
const TO: u64 = 4 << 20;
/// How many.
const BYTES: u64 = 2 << 20;
/// The sizes of requests, in bytes, one after the other.
const SIZES: [u32; 6] = [512, 4096, 1536, 32 << 10, 8192, 256 << 10];
/// Requests at one time.
const AT_ONCE: usize = 16;
/// How long all may take, in nanoseconds.
const PATIENCE_NS: u64 = 300_000_000_000;
/// Bytes of a frame.
const FRAME: u32 = 4096;

type Shared = Arc<system::Shared<Hardware>>;

/// What came of it.
static RESULT: Once<Result<(), String>> = Once::new();

/// Runs the check on `local`, the boot core.
pub(super) fn check(
    wired: &grid::Shared<System>,
    local: &mut Local<System>,
) -> Result<(), Failure> {
    let missing = || Failure::new(format_args!("the boot core is not in the grid"));
    let shared = processes::shared().ok_or_else(missing)?.clone();
    let activity = ActivityId::INFRASTRUCTURE;
    let storage = shared.destination(Kind::Storage, activity);
    let check = Errand::message(move |here| async move {
        let check = Check {
            shared: here.shared,
            port: here.port,
            storage,
        };
        let result = check.run().await;
        RESULT.call_once(|| result);
        grid::wake_boot_core();
    });
    let request = Request::new(storage, activity, check);
    let sent = wired.grid.submit(local.platform(), request);
    ensure(sent.is_ok(), format_args!("the inbox is full"))?;
    let cycles = clock::rate().map_or(u64::MAX, |rate| rate.cycles(PATIENCE_NS));
    let end = cpu::timestamp().saturating_add(cycles);
    local.run_until(end, || RESULT.get().is_some());
    match RESULT.get() {
        Some(Ok(())) => Ok(()),
        Some(Err(what)) => Err(Failure::new(format_args!("{what}"))),
        None => Err(Failure::new(format_args!("it does not end"))),
    }
}

/// The check under way.
struct Check {
    shared: Shared,
    port: Port<Message<Hardware>>,
    storage: ResourceId,
}

/// Memory for one request.
struct Buffer {
    shared: Shared,
    frames: Vec<Frame>,
    bytes: u32,
}

impl Buffer {
    fn segments(&self) -> Vec<Segment> {
        let frames = self
            .frames
            .iter()
            .zip((0..self.bytes).step_by(FRAME as usize));
        let segment = |(frame, at): (&Frame, u32)| Segment {
            frame: *frame,
            offset: 0,
            length: (self.bytes - at).min(FRAME),
        };
        frames.map(segment).collect()
    }

    fn content(&self) -> Vec<u8> {
        let mut content = alloc::vec![0; self.bytes as usize];
        for (frame, part) in self.frames.iter().zip(content.chunks_mut(FRAME as usize)) {
            self.shared.machine.read_frame(*frame, 0, part);
        }
        content
    }

    fn invert(&self) {
        let mut content = self.content();
        content.iter_mut().for_each(|byte| *byte = !*byte);
        for (frame, part) in self.frames.iter().zip(content.chunks(FRAME as usize)) {
            self.shared.machine.write_frame(*frame, 0, part);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        for frame in &self.frames {
            self.shared.memory.release(*frame);
        }
    }
}

/// A range of a volume.
#[derive(Clone, Copy)]
struct Piece {
    at: u64,
    bytes: u32,
}

impl Check {
    async fn run(&self) -> Result<(), String> {
        let request = self.port.request(self.storage, Message::AwaitVolumes);
        let Ok(Message::Volumes(volumes)) = self.port.call(request).await else {
            return Err("nobody tells the volumes".into());
        };
        for volume in &*volumes {
            let access = if volume.read_only { "read" } else { "write" };
            logging::print_line(format_args!(
                "disk: {} {} bytes in blocks of {}, {access}",
                volume.name, volume.bytes, volume.block
            ));
        }
        for volume in &*volumes {
            let is_disk = volume.name.starts_with("sd")
                && !volume.name.ends_with(|c: char| c.is_ascii_digit());
            if is_disk && volume.bytes >= TO + BYTES {
                self.exercise(volume).await?;
            }
        }
        Ok(())
    }

    /// Copies, flushes, compares.
    async fn exercise(&self, volume: &Volume) -> Result<(), String> {
        let begin = cpu::timestamp();
        let mut failed = 0;
        let (mut read, mut written) = (0, 0);
        for pieces in pieces(volume).chunks(AT_ONCE) {
            let originals = self.all(volume, Direction::Read, pieces, FROM, &[]).await?;
            let mut good = Vec::new();
            for (piece, (buffer, result)) in pieces.iter().zip(originals) {
                if result.is_err() {
                    failed += 1;
                    continue;
                }
                read += u64::from(piece.bytes);
                buffer.invert();
                good.push((*piece, buffer));
            }
            if volume.read_only {
                continue;
            }
            let (places, buffers): (Vec<_>, Vec<_>) = good.into_iter().unzip();
            let copies = self
                .all(volume, Direction::Write, &places, TO, &buffers)
                .await?;
            let done = copies.iter().filter(|(_, result)| result.is_ok()).count();
            failed += copies.len() - done;
            let again = self.all(volume, Direction::Read, &places, TO, &[]).await?;
            for (((piece, buffer), (copy, result)), (_, write)) in
                places.iter().zip(&buffers).zip(&again).zip(&copies)
            {
                match (result, write) {
                    (Ok(()), Ok(())) if copy.content() != buffer.content() => {
                        let at = TO + piece.at;
                        return Err(format!("{}: wrong bytes at {at}", volume.name));
                    }
                    (Ok(()), Ok(())) => written += u64::from(piece.bytes),
                    _ => failed += usize::from(result.is_err()),
                }
            }
        }
        let flushed = self.send(volume, Direction::Flush, 0, Vec::new()).await;
        let taken = clock::rate().map_or(0, |rate| rate.nanoseconds(cpu::timestamp() - begin));
        logging::print_line(format_args!(
            "disk: {}: {read} bytes read, {written} written and read, {failed} requests failed, \
             flush {flushed:?}, {} ms",
            volume.name,
            taken / 1_000_000
        ));
        Ok(())
    }

    /// Sends a request for each piece, all at once; what came of them. Reads make their buffers.
    async fn all(
        &self,
        volume: &Volume,
        direction: Direction,
        pieces: &[Piece],
        base: u64,
        buffers: &[Buffer],
    ) -> Result<Vec<(Buffer, Result<(), IoError>)>, String> {
        let mut calls = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let buffer = match buffers.get(number) {
                Some(buffer) => self.share(buffer),
                None => self.buffer(piece.bytes).ok_or("no memory for a request")?,
            };
            let segments = buffer.segments();
            let call = self.send(volume, direction, base + piece.at, segments);
            calls.push((buffer, call));
        }
        let mut done = Vec::new();
        for (buffer, call) in calls {
            done.push((buffer, call.await));
        }
        Ok(done)
    }

    /// Sends a request, now.
    fn send(
        &self,
        volume: &Volume,
        direction: Direction,
        offset: u64,
        segments: Vec<Segment>,
    ) -> impl Future<Output = Result<(), IoError>> + Send + use<> {
        let transfer = Transfer {
            volume: volume.id,
            offset,
            direction,
            segments,
            joint: None,
        };
        let message = Message::Volume(Box::new(transfer));
        let call = self.port.call(self.port.request(self.storage, message));
        async move {
            match call.await {
                Ok(Message::VolumeDone(result)) => result,
                _ => Err(IoError::Failed),
            }
        }
    }

    fn buffer(&self, bytes: u32) -> Option<Buffer> {
        let owner = Owner {
            resource: self.storage,
            activity: ActivityId::INFRASTRUCTURE,
            cookie: 0,
        };
        let mut buffer = Buffer {
            shared: self.shared.clone(),
            frames: Vec::new(),
            bytes,
        };
        for _ in 0..bytes.div_ceil(FRAME) {
            let frame = self.shared.memory.allocate(owner).ok()?;
            buffer.frames.push(frame);
            self.shared.machine.zero_frame(frame);
        }
        Some(buffer)
    }

    /// The same memory again.
    fn share(&self, buffer: &Buffer) -> Buffer {
        for frame in &buffer.frames {
            self.shared.memory.share(*frame);
        }
        Buffer {
            shared: self.shared.clone(),
            frames: buffer.frames.clone(),
            bytes: buffer.bytes,
        }
    }
}

/// All of what is copied, in requests of many sizes.
fn pieces(volume: &Volume) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for size in SIZES.iter().cycle() {
        let size = size.next_multiple_of(volume.block);
        let bytes = u64::from(size).min(BYTES - at) as u32;
        if bytes == 0 {
            break;
        }
        pieces.push(Piece { at, bytes });
        at += u64::from(bytes);
    }
    pieces
}
