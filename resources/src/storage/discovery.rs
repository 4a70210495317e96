//! Looking for disks: what units a controller has, how large they are, and what partitions are on
//! them. A task of the SCSI Resource, paid by the infrastructure.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::Owner;
use vortex_toolkit::{Context, Outcome, Request};
use vortex_toolkit::{Port, Task};

use super::adapter::{Cdb, Failure, Response, Unit};
use super::controller::Controller;
use super::disks::{self, Disk};
use super::partitions::{Gpt, Mbr, Range, mbr};
use super::scsi::{self, Blocks, Verdict};
use super::volumes::{self, Backing};
use super::{ControllerId, DiskMessage, Segment, Volume};
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::system::{Kind, Message, Shared, Vortex};

/// Units asked at one time.
const AT_ONCE: usize = 32;
/// How often a unit is asked that is not ready, or has something to say first.
const ATTEMPTS: usize = 5;
/// Units of a controller that do not answer in time before it is given up.
const PATIENCE: usize = 3;

/// Looks for disks at a controller.
pub(crate) fn begin<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    id: ControllerId,
) -> Outcome<Message<M>> {
    let Some(controller) = shared.storage.controller(id) else {
        return Outcome::Done;
    };
    let resource = context.head().destination;
    let shared = shared.clone();
    let work = move |port| async move {
        let search = Search {
            destination: shared.destination(Kind::DiskRequest, ActivityId::INFRASTRUCTURE),
            port,
            controller,
            shared,
            resource,
        };
        search.run().await;
    };
    Outcome::Continue(Task::new(context.port(), work))
}

/// A controller has been looked at, for the first time, or it is gone.
pub(crate) fn has_ended<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    id: ControllerId,
) {
    let Some(controller) = shared.storage.controller(id) else {
        return;
    };
    if !core::mem::replace(&mut *controller.is_known.lock(), true) {
        shared.storage.one_settled();
    }
    volumes::tell_all(shared, context);
}

/// A search under way.
struct Search<M: Machine> {
    shared: Arc<Shared<M>>,
    controller: Arc<Controller>,
    port: Port<Message<M>>,
    /// Who has the frames.
    resource: ResourceId,
    destination: ResourceId,
}

/// A frame that data are read into.
struct Page<M: Machine> {
    shared: Arc<Shared<M>>,
    frame: Frame,
}

impl<M: Machine> Drop for Page<M> {
    fn drop(&mut self) {
        self.shared.memory.release(self.frame);
    }
}

impl<M: Machine> Page<M> {
    fn bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![0; length];
        self.shared.machine.read_frame(self.frame, 0, &mut bytes);
        bytes
    }
}

type Answer = Result<Response, Failure>;

impl<M: Machine> Search<M> {
    async fn run(self) {
        let mut silent = 0;
        let targets = self.controller.targets();
        for some in targets.chunks(AT_ONCE) {
            let found = self.ask_all(some).await;
            for (target, answer) in found {
                match answer {
                    Err(Failure::TimedOut) => silent += 1,
                    Err(Failure::Gone) => silent = PATIENCE,
                    Err(Failure::NoUnit) => {}
                    _ => self.look_at_target(target).await,
                }
            }
            if silent >= PATIENCE {
                log::warn!("storage: {} does not answer", self.controller.name);
                break;
            }
        }
        self.end();
    }

    /// Says that it is over.
    fn end(&self) {
        let message = Message::Disk(DiskMessage::Discovered(self.controller.id));
        let destination = self.port.head().destination;
        self.port.send(self.port.request(destination, message));
    }

    /// Which of these targets there are.
    async fn ask_all(&self, targets: &[u8]) -> Vec<(u8, Answer)> {
        let ask = |target: &u8| {
            let unit = Unit {
                target: *target,
                lun: 0,
            };
            (
                *target,
                self.call(unit, scsi::test_unit_ready(), Vec::new()),
            )
        };
        let calls: Vec<_> = targets.iter().map(ask).collect();
        let mut answers = Vec::new();
        for (target, call) in calls {
            answers.push((target, call.await));
        }
        answers
    }

    /// Sends a command, now; its answer.
    fn call(
        &self,
        unit: Unit,
        cdb: Cdb,
        segments: Vec<Segment>,
    ) -> impl Future<Output = Answer> + Send + use<M> {
        let io = disks::raw((self.controller.id, unit), self.port.head(), cdb, segments);
        let message = Message::Disk(DiskMessage::Request(io));
        let request: Request<_> = self.port.request(self.destination, message);
        let call = self.port.call(request);
        async move {
            match call.await {
                Ok(Message::Disk(DiskMessage::Raw(answer))) => answer,
                _ => Err(Failure::Controller),
            }
        }
    }

    /// Sends a command until the unit has done it, or has refused it for good.
    async fn command(&self, unit: Unit, cdb: Cdb, length: u32) -> Option<Vec<u8>> {
        let page = match length {
            0 => None,
            _ => Some(self.page()?),
        };
        let segment = |page: &Page<M>| Segment {
            frame: page.frame,
            offset: 0,
            length,
        };
        for _ in 0..ATTEMPTS {
            let answer = self.call(unit, cdb, page.iter().map(segment).collect());
            let answer = answer.await;
            // Less than was asked for is enough: the rest are zeros.
            let enough = answer.map(|response| Response {
                residue: 0,
                ..response
            });
            match scsi::judge(&enough) {
                Verdict::Good => {
                    let bytes = page.as_ref().map(|page| page.bytes(length as usize));
                    return Some(bytes.unwrap_or_default());
                }
                Verdict::Retry => {}
                _ => return None,
            }
        }
        None
    }

    /// A frame of zeros.
    fn page(&self) -> Option<Page<M>> {
        let owner = Owner {
            resource: self.resource,
            activity: ActivityId::INFRASTRUCTURE,
            cookie: 0,
        };
        let frame = self.shared.memory.allocate(owner).ok()?;
        self.shared.machine.zero_frame(frame);
        let shared = self.shared.clone();
        Some(Page { shared, frame })
    }

    async fn look_at_target(&self, target: u8) {
        let first = Unit { target, lun: 0 };
        let listed = self
            .command(first, scsi::report_luns(), scsi::LUNS_BYTES)
            .await;
        // One that does not know the command has the one unit.
        let mut luns = listed.map_or_else(Vec::new, |data| scsi::luns(&data));
        if luns.is_empty() {
            luns.push(0);
        }
        luns.dedup();
        for lun in luns {
            let unit = Unit { target, lun };
            if !self.is_known(unit) {
                self.look_at_unit(unit).await;
            }
        }
    }

    /// Whether there is a volume on it.
    fn is_known(&self, unit: Unit) -> bool {
        let id = self.controller.id;
        self.shared.storage.any(|backing| match backing {
            Backing::Disk { disk, .. } => {
                disk.controller == id && disk.unit == unit && !disk.is_gone()
            }
            Backing::Image(_) | Backing::Ram(_) => false,
        })
    }

    async fn look_at_unit(&self, unit: Unit) {
        let length = scsi::INQUIRY_BYTES.into();
        let inquiry = self.command(unit, scsi::inquiry(), length).await;
        if !inquiry.is_some_and(|data| scsi::is_disk(&data)) {
            return;
        }
        let ready = self.command(unit, scsi::test_unit_ready(), 0).await;
        let Some(capacity) = self.capacity(unit).await else {
            log::warn!("storage: a disk at {unit:?} does not say how large it is ({ready:?})");
            return;
        };
        let length = scsi::MODE_BYTES.into();
        let modes = self.command(unit, scsi::mode_sense(), length).await;
        let modes = modes.map_or_else(scsi::Modes::default, |data| scsi::modes(&data));
        let name = self.shared.storage.next_name();
        let place = (self.controller.id, unit);
        let limits = self.controller.limits();
        let disk = Arc::new(Disk::new(name, place, capacity, modes, limits));
        self.add(&disk, None);
        for range in self.partitions(&disk).await {
            self.add(&disk, Some(range));
        }
    }

    async fn capacity(&self, unit: Unit) -> Option<scsi::Capacity> {
        let data = self.command(unit, scsi::read_capacity(), 8).await?;
        match scsi::capacity(&data) {
            Ok(Some(capacity)) => Some(capacity),
            Ok(None) => {
                let length = scsi::CAPACITY_BYTES;
                let data = self.command(unit, scsi::read_capacity_16(), length).await?;
                scsi::capacity_16(&data).ok()
            }
            Err(_) => None,
        }
    }

    /// Adds a disk, or a partition of it.
    fn add(&self, disk: &Arc<Disk>, range: Option<Range>) {
        let (name, first, blocks) = match range {
            None => (disk.name.clone(), 0, disk.blocks),
            Some(range) => {
                let name = alloc::format!("{}{}", disk.name, range.number);
                (name, range.first, range.blocks)
            }
        };
        let volume = |id| Volume {
            id,
            name,
            bytes: blocks * u64::from(disk.block),
            block: disk.block,
            read_only: disk.protected,
        };
        let disk = disk.clone();
        self.shared
            .storage
            .add_volume(volume, Backing::Disk { disk, first });
    }

    /// The partitions of a disk.
    async fn partitions(&self, disk: &Disk) -> Vec<Range> {
        let Some(first) = self.read(disk, 0, 1).await else {
            log::warn!("{}: its first block cannot be read", disk.name);
            return Vec::new();
        };
        match mbr(&first, disk.blocks) {
            Mbr::None => Vec::new(),
            Mbr::Partitions(found) => found,
            Mbr::Protective => self.gpt(disk).await,
        }
    }

    /// The partitions of a GPT: the first one, or else the one at the end of the disk.
    async fn gpt(&self, disk: &Disk) -> Vec<Range> {
        for place in [1, disk.blocks - 1] {
            let Some(header) = self.read(disk, place, 1).await else {
                continue;
            };
            let Some(gpt) = Gpt::read(&header, place, disk.blocks) else {
                log::warn!(
                    "{}: the partition table at block {place} is damaged",
                    disk.name
                );
                continue;
            };
            let blocks = gpt.bytes().div_ceil(disk.block);
            let entries = self.read(disk, gpt.entries_at, blocks).await;
            if let Some(found) = entries.and_then(|entries| gpt.partitions(&entries)) {
                return found;
            }
            log::warn!(
                "{}: the partitions listed for block {place} are damaged",
                disk.name
            );
        }
        Vec::new()
    }

    /// Reads blocks, page by page.
    async fn read(&self, disk: &Disk, first: u64, count: u32) -> Option<Vec<u8>> {
        let end = first.checked_add(count.into())?;
        if end > disk.blocks {
            return None;
        }
        let most = PAGE_SIZE as u32 / disk.block;
        let mut bytes = Vec::new();
        let mut at = first;
        while at < end {
            let count = (end - at).min(most.into()) as u32;
            let cdb = scsi::blocks(Blocks::Read, at, count);
            bytes.extend(self.command(disk.unit, cdb, count * disk.block).await?);
            at += u64::from(count);
        }
        Some(bytes)
    }
}
