//! All of storage on the fake machine, with a disk that lives in memory.

use std::sync::{Mutex, MutexGuard};

use vortex_toolkit::Request;
use vortex_toolkit::ids::{ActivityId, CoreId};
use vortex_toolkit::memory::Owner;

use super::*;
use crate::errand::{Errand, Here};
use crate::fake::disk::{FakeAdapter, FakeDisk};
use crate::fake::processor::FakeMachine;
use crate::fake::world::World;
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::system::Message;

#[test]
fn disks_are_named_by_letters() {
    let names = [0, 1, 25, 26, 27, 701, 702].map(disk_name);
    assert_eq!(
        names,
        ["sda", "sdb", "sdz", "sdaa", "sdab", "sdzz", "sdaaa"]
    );
}

const BLOCKS: u64 = 4096;

/// A system with a disk.
struct Rig {
    world: World,
    disk: Arc<Mutex<FakeDisk>>,
}

impl Rig {
    fn new(cores: u16) -> Self {
        let world = World::new(cores, 2048, &[("infrastructure", 100)], 1000, Vec::new());
        let content = (0..BLOCKS * 64).flat_map(u64::to_le_bytes);
        let disk = Arc::new(Mutex::new(FakeDisk::new(content.collect())));
        let adapter = FakeAdapter::new(world.machine.clone(), disk.clone());
        let id = world.shared.storage.attach(Box::new(adapter));
        world.shared.storage.settle();
        let rig = Self { world, disk };
        rig.send(Kind::DiskInterrupt, Message::Disk(DiskMessage::Service(id)));
        rig
    }

    fn disk(&self) -> MutexGuard<'_, FakeDisk> {
        self.disk.lock().expect("no test panics with it")
    }

    fn send(&self, kind: Kind, message: Message<FakeMachine>) {
        let activity = ActivityId::INFRASTRUCTURE;
        let destination = self.world.shared.destination(kind, activity);
        let platform = self.world.machine.platform(CoreId(0));
        let request = Request::new(destination, activity, message);
        let sent = self.world.shared.grid.submit(&platform, request);
        assert!(sent.is_ok(), "an inbox has room");
    }

    /// Runs transfers to the first volume at the same time, when there are volumes; what came of
    /// them.
    fn run(&mut self, transfers: Vec<Transfer>) -> Vec<Result<(), IoError>> {
        let results = Arc::new(Mutex::new(None));
        let told = results.clone();
        let activity = ActivityId::INFRASTRUCTURE;
        let storage = self.world.shared.destination(Kind::Storage, activity);
        let work = move |here: Here<FakeMachine>| async move {
            let port = here.port;
            let request = port.request(storage, Message::AwaitVolumes);
            let answer = port.call(request).await;
            assert!(matches!(answer, Ok(Message::Volumes(_))));
            let call = |transfer| {
                let message = Message::Volume(Box::new(transfer));
                port.call(port.request(storage, message))
            };
            let calls: Vec<_> = transfers.into_iter().map(call).collect();
            let mut all = Vec::new();
            for call in calls {
                match call.await {
                    Ok(Message::VolumeDone(result)) => all.push(result),
                    _ => panic!("another answer"),
                }
            }
            *told.lock().expect("no test panics with it") = Some(all);
        };
        self.send(Kind::Storage, Errand::message(work));
        for _ in 0..2000 {
            self.world.run_for(1_000_000);
            if let Some(results) = results.lock().expect("no test panics with it").take() {
                return results;
            }
        }
        panic!("it does not end");
    }

    fn frame(&self) -> Frame {
        let owner = Owner {
            resource: ResourceId::OUTSIDE,
            activity: ActivityId::INFRASTRUCTURE,
            cookie: 0,
        };
        self.world.shared.memory.allocate(owner).expect("a frame")
    }

    /// Frees frames, which nobody else may have any longer; returns what was in them.
    fn take(&self, frames: &[Frame]) -> Vec<u8> {
        let mut all = Vec::new();
        for frame in frames {
            let mut bytes = alloc::vec![0; PAGE_SIZE as usize];
            self.world.machine.read_frame(*frame, 0, &mut bytes);
            all.extend(bytes);
            assert!(self.world.shared.memory.release(*frame), "it was pinned");
        }
        all
    }
}

fn transfer(direction: Direction, page: u64, frames: &[Frame]) -> Transfer {
    Transfer {
        volume: VolumeId(0),
        offset: page * PAGE_SIZE,
        direction,
        segments: frames.iter().map(|frame| Segment::whole(*frame)).collect(),
        joint: None,
    }
}

#[test]
fn a_disk_is_found_read_written_and_flushed() {
    for cores in [1, 4] {
        let mut rig = Rig::new(cores);
        let frames: Vec<_> = (0..40).map(|_| rig.frame()).collect();
        // 160 KiB: more than a command may have.
        let read = transfer(Direction::Read, 7, &frames);
        assert_eq!(rig.run([read].to_vec()), [Ok(())]);
        let volumes = rig.world.shared.storage.volumes();
        let names: Vec<_> = volumes.iter().map(|one| (&*one.name, one.bytes)).collect();
        assert_eq!(names, [("sda", BLOCKS * 512)]);
        let write = transfer(Direction::Write, 200, &frames);
        assert_eq!(rig.run([write].to_vec()), [Ok(())]);
        assert_eq!(
            rig.run([transfer(Direction::Flush, 0, &[])].to_vec()),
            [Ok(())]
        );
        let content = rig.take(&frames);
        let page = PAGE_SIZE as usize;
        let disk = rig.disk();
        assert!(content == disk.content[7 * page..47 * page], "read");
        assert!(content == disk.content[200 * page..240 * page], "written");
        assert!(disk.most_under_way <= Settings::default().depth);
    }
}

#[test]
fn neighbours_are_merged_and_a_bad_block_fails_one_of_them() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.run(Vec::new()), []);
    rig.disk().commands.clear();
    // In no order; page 20 cannot be read.
    rig.disk().bad.insert(20 * 8 + 3);
    let pages: Vec<u64> = (0..64).map(|number| number * 37 % 64).collect();
    let frames: Vec<_> = pages.iter().map(|_| rig.frame()).collect();
    let all = pages.iter().zip(&frames);
    let reads = all.map(|(page, frame)| transfer(Direction::Read, *page, &[*frame]));
    let results = rig.run(reads.collect());
    for (page, result) in pages.iter().zip(&results) {
        let expected = if *page == 20 {
            Err(IoError::Medium)
        } else {
            Ok(())
        };
        assert_eq!(*result, expected, "page {page}");
    }
    let commands = rig.disk().commands.clone();
    assert!(
        commands.iter().any(|(_, count)| *count == 64),
        "32 KiB: {commands:?}"
    );
    assert!(commands.iter().all(|(_, count)| *count <= 64));
    assert!(commands.len() < 40, "{commands:?}");
    rig.take(&frames);
}

#[test]
fn transfers_outside_are_refused() {
    let mut rig = Rig::new(1);
    let frame = rig.frame();
    let beyond = transfer(Direction::Read, BLOCKS * 512 / PAGE_SIZE, &[frame]);
    let mut crooked = transfer(Direction::Read, 0, &[frame]);
    crooked.offset = 100;
    let mut nowhere = transfer(Direction::Read, 0, &[frame]);
    nowhere.volume = VolumeId(9);
    let mut long = transfer(Direction::Read, 0, &[frame]);
    long.segments[0].length = 8192;
    let results = rig.run([beyond, crooked, nowhere, long].to_vec());
    let bad = Err(IoError::BadRange);
    assert_eq!(results, [bad, bad, Err(IoError::NoVolume), bad]);
    rig.take(&[frame]);
}

#[test]
fn a_disk_that_disappears_fails_all_that_waits() {
    let mut rig = Rig::new(2);
    assert_eq!(rig.run(Vec::new()), []);
    rig.disk().is_gone = true;
    let frames: Vec<_> = (0..32).map(|_| rig.frame()).collect();
    let reads = (0..).zip(&frames);
    let reads = reads.map(|(page, frame)| transfer(Direction::Read, 2 * page, &[*frame]));
    let results = rig.run(reads.collect());
    assert_eq!(results, [Err(IoError::Gone); 32]);
    rig.take(&frames);
}

#[test]
fn an_image_is_a_volume_too() {
    let mut rig = Rig::new(1);
    let image: Vec<u8> = (0..PAGE_SIZE * 2).map(|byte| (byte % 251) as u8).collect();
    let image: &'static [u8] = image.leak();
    let volume = rig.world.shared.storage.add_image("ram0", image);
    let frame = rig.frame();
    let mut read = transfer(Direction::Read, 1, &[frame]);
    read.volume = volume;
    let write = Transfer {
        direction: Direction::Write,
        ..read.clone()
    };
    assert_eq!(
        rig.run([read, write].to_vec()),
        [Ok(()), Err(IoError::ReadOnly)]
    );
    assert!(rig.take(&[frame]) == image[PAGE_SIZE as usize..]);
}

/// The tags of commands under way differ: the answers come in another order than the commands.
#[test]
fn tags_are_of_one_command_each() {
    let mut rig = Rig::new(1);
    let frames: Vec<_> = (0..8).map(|_| rig.frame()).collect();
    let reads = (0..).zip(&frames);
    let reads = reads.map(|(page, frame)| transfer(Direction::Read, 10 * page, &[*frame]));
    assert_eq!(rig.run(reads.collect()), [Ok(()); 8]);
    let content = rig.take(&frames);
    for (page, found) in (0..).zip(content.chunks(PAGE_SIZE as usize)) {
        let at = 10 * page * PAGE_SIZE as usize;
        assert!(
            found == &rig.disk().content[at..at + PAGE_SIZE as usize],
            "page {page}"
        );
    }
}
