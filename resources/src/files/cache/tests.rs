//! The cache on a disk that takes its time, with activities of very different weight.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use vortex_toolkit::Request;
use vortex_toolkit::ids::{CoreId, ResourceId};

use super::pages::Found;
use super::space::Cut;
use super::*;
use crate::errand::{Errand, Here};
use crate::errno::Errno;
use crate::fake::disk::{FakeAdapter, FakeDisk};
use crate::fake::processor::FakeMachine;
use crate::fake::world::World;
use crate::files::mounting;
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::storage::DiskMessage;
use crate::system::{Kind, Message};

const RICH: ActivityId = ActivityId(1);
const POOR: ActivityId = ActivityId(2);
const PAGE: usize = PAGE_SIZE as usize;
/// Pages of each file.
const PAGES: u64 = 1000;
/// Empty files.
const WRITTEN: [&str; 6] = ["/w0", "/w1", "/w2", "/w3", "/w4", "/w5"];
/// What a command takes.
const COMMAND_NS: u64 = 2_000_000;

/// A system with two files on a disk, by their inodes.
struct Rig {
    world: World,
    disk: Arc<Mutex<FakeDisk>>,
    shared: Arc<Inode>,
    other: Arc<Inode>,
}

/// How a read has ended, when it has.
type Ending = Arc<Mutex<Option<Result<Vec<u8>, Errno>>>>;

/// Of file 0 or 1: no two pages are the same.
fn contents(file: u32) -> Vec<u8> {
    let pages = (0..PAGES as u32).map(|page| (2 * page + file + 1).to_le_bytes());
    pages.flat_map(|word| word.repeat(PAGE / 4)).collect()
}

fn image() -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("shared"), contents(0)).unwrap();
    std::fs::write(folder.join("other"), contents(1)).unwrap();
    for name in WRITTEN {
        std::fs::write(folder.join(name.trim_start_matches('/')), []).unwrap();
    }
    let path = place.path().join("image");
    let output = std::process::Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-F", "-t", "ext2", "-b", "4096", "-d"])
        .args([&folder, &path])
        .arg("6000")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::read(path).unwrap()
}

/// A page that is written, of this byte.
struct Filled(FakeMachine, u8);

impl Written for Filled {
    fn len(&self) -> usize {
        PAGE
    }

    fn copy_to(&self, _offset: usize, (frame, at): (Frame, usize), length: usize) {
        self.0.write_frame(frame, at, &[self.1; PAGE][..length]);
    }
}

impl Rig {
    fn new() -> Self {
        Self::with_weights(100, 1)
    }

    fn with_weights(rich: u32, poor: u32) -> Self {
        let activities = [("rich", rich), ("poor", poor)];
        let mut world = World::new(1, 8192, &activities, 1000, Vec::new());
        let disk = Arc::new(Mutex::new(FakeDisk::new(image())));
        let adapter = FakeAdapter::new(world.machine.clone(), disk.clone());
        let storage = &world.shared.storage;
        let id = storage.attach(alloc::boxed::Box::new(adapter));
        storage.settle();
        let interrupt = world
            .shared
            .destination(Kind::DiskInterrupt, ActivityId::INFRASTRUCTURE);
        let service = Message::Disk(DiskMessage::Service(id));
        let service = Request::new(interrupt, ActivityId::INFRASTRUCTURE, service);
        submit(&world, service);
        submit(&world, mounting(&world.shared));
        until(&mut world, |world| world.shared.disk.get().is_some());
        let [shared, other] = ["/shared", "/other"].map(|path| find(&mut world, path));
        disk.lock().unwrap().command_ns = COMMAND_NS;
        Self {
            world,
            disk,
            shared,
            other,
        }
    }

    /// An activity reads a page.
    fn read(&self, activity: ActivityId, inode: &Arc<Inode>, page: u64) -> Ending {
        let ending = Ending::default();
        let (told, inode) = (ending.clone(), inode.clone());
        let work = move |here: Here<FakeMachine>| async move {
            let frames = pages_of(&here, &inode, page..page + 1).await;
            let read = frames.map(|frames| {
                let mut bytes = alloc::vec![0; PAGE];
                let machine = &here.shared.machine;
                machine.read_frame(frames.all()[0], 0, &mut bytes);
                bytes
            });
            *told.lock().unwrap() = Some(read);
        };
        let destination = self.world.shared.destination(Kind::FileCache, activity);
        submit(
            &self.world,
            Request::new(destination, activity, Errand::message(work)),
        );
        ending
    }

    /// The poor one writes all of some pages of a file, one after another.
    fn write(&self, inode: &Arc<Inode>, pages: core::ops::Range<u64>) -> Ending {
        let ending = Ending::default();
        let (told, inode) = (ending.clone(), inode.clone());
        let work = move |here: Here<FakeMachine>| async move {
            let mut written = Ok(Vec::new());
            for page in pages {
                let data = Filled(here.shared.machine.clone(), page as u8);
                if let Err(error) = write(&here, &inode, Some(page * PAGE_SIZE), &data).await {
                    written = Err(error);
                }
            }
            *told.lock().unwrap() = Some(written);
        };
        let destination = self.world.shared.destination(Kind::FileCache, POOR);
        submit(
            &self.world,
            Request::new(destination, POOR, Errand::message(work)),
        );
        ending
    }

    /// The poor one asks for many pages here and there of the other file, then for one of the
    /// shared file; when that waits in its queue, this returns. How all of them end.
    fn long_queue(&mut self, last: u64) -> Vec<Ending> {
        // The other file's table is known, so that all of them wait at the disk.
        let (other, before) = (self.other.clone(), self.commands());
        let known = self.read(POOR, &other, 999);
        assert!(self.wait(&known).is_ok());
        let scattered = (0..199).map(|number| number * 5);
        let mut all: Vec<_> = scattered
            .map(|page| self.read(POOR, &other, page))
            .collect();
        let shared = self.shared.clone();
        // So that the order of the disk has it behind them.
        until(&mut self.world, |_| {
            self.disk.lock().unwrap().commands.len() > before + 4
        });
        all.push(self.read(POOR, &shared, last));
        until(&mut self.world, |_| {
            shared.pages.lock().find(last) == Found::Coming
        });
        self.world.run_for(1_000_000);
        assert_eq!(shared.pages.lock().find(last), Found::Coming);
        all
    }

    fn commands(&self) -> usize {
        self.disk.lock().unwrap().commands.len()
    }

    fn wait(&mut self, ending: &Ending) -> Result<Vec<u8>, Errno> {
        until(&mut self.world, |_| ending.lock().unwrap().is_some());
        ending.lock().unwrap().take().unwrap()
    }

    /// Bytes that an activity's commands have moved.
    fn bytes(&self, activity: ActivityId) -> u64 {
        let shared = &self.world.shared;
        let ring = shared.destination(Kind::DiskWrite, activity);
        let snapshot = shared.grid.snapshot(self.world.now());
        let accounts = snapshot.accounts.iter();
        accounts
            .filter(|one| one.activity == activity && one.resource == ring)
            .map(|one| one.usage.bytes)
            .sum()
    }
}

fn submit(world: &World, request: Request<Message<FakeMachine>>) {
    let platform = world.machine.platform(CoreId(0));
    let sent = world.shared.grid.submit(&platform, request);
    assert!(sent.is_ok(), "an inbox has room");
}

fn until(world: &mut World, done: impl Fn(&World) -> bool) {
    for _ in 0..100_000 {
        if done(world) {
            return;
        }
        world.run_for(100_000);
    }
    panic!("it does not come to that");
}

/// The inode of a path.
fn find(world: &mut World, path: &'static str) -> Arc<Inode> {
    let found = Arc::new(Mutex::new(None));
    let told = found.clone();
    let work = move |here: Here<FakeMachine>| async move {
        let root = here.shared.disk.get().unwrap().tree.root().clone();
        let name = path.trim_start_matches('/').as_bytes().to_vec();
        let wanted = super::super::inode::Wanted::Child(root, name);
        super::super::names::bring_in(&here, wanted).await.unwrap();
        let names = here.shared.names();
        let follow = super::super::tree::Follow::Always;
        let node = names.walk(&names.root(), path.as_bytes(), follow, b"");
        let node = node.unwrap().node().unwrap();
        *told.lock().unwrap() = Some(node.on_disk().unwrap().clone());
    };
    let payer = ActivityId::INFRASTRUCTURE;
    let destination: ResourceId = world.shared.destination(Kind::FileCache, payer);
    submit(
        world,
        Request::new(destination, payer, Errand::message(work)),
    );
    until(world, |_| found.lock().unwrap().is_some());
    found.lock().unwrap().take().unwrap()
}

/// Commands that may be at the device, or chosen, when somebody asks; and one's own.
const AT_ONCE: usize = 12;

#[test]
fn who_joins_a_fetch_waits_by_its_own_share_and_the_page_is_read_once() {
    let mut rig = Rig::new();
    let (shared, page) = (rig.shared.clone(), 600);
    // The tables are known.
    let known = rig.read(RICH, &shared, 999);
    assert!(rig.wait(&known).is_ok());
    let all = rig.long_queue(page);
    let (before, paid) = (rig.commands(), [RICH, POOR].map(|one| rig.bytes(one)));
    let joined = rig.read(RICH, &shared, page);
    let read = rig.wait(&joined).unwrap();
    let waited = rig.commands() - before;
    assert!(waited <= AT_ONCE, "it waited for {waited} commands");
    let at = page as usize * PAGE;
    assert!(read == contents(0)[at..at + PAGE], "not that page");
    let left = all
        .iter()
        .filter(|one| one.lock().unwrap().is_none())
        .count();
    assert!(left > 100, "the poor one has hardly waited: {left} left");
    for ending in &all {
        assert!(rig.wait(ending).is_ok());
    }
    rig.world.run_for(10_000_000);
    let had = [RICH, POOR].map(|one| rig.bytes(one) / PAGE_SIZE);
    let more = [0, 1].map(|one| had[one] - paid[one] / PAGE_SIZE);
    assert_eq!(more[0], 1, "who has read it pays for it");
    assert!(more[1] < all.len() as u64, "{} of {}", more[1], all.len());
    let image_page = |command: &(u64, u64)| command.0 / 8..(command.0 + command.1) / 8;
    let disk = rig.disk.lock().unwrap();
    let content = &contents(0)[at..at + PAGE];
    let is_it = |block: &u64| &disk.content[*block as usize * PAGE..][..PAGE] == content;
    let reads = disk.commands.iter().flat_map(image_page).filter(is_it);
    assert_eq!(reads.count(), 1, "it is read once");
}

#[test]
fn who_needs_a_table_that_another_one_reads_does_not_wait_for_that() {
    let mut rig = Rig::new();
    let shared = rig.shared.clone();
    // Both need the same indirect block, which nobody has read.
    let all = rig.long_queue(600);
    let before = rig.commands();
    let joined = rig.read(RICH, &shared, 601);
    assert!(rig.wait(&joined).is_ok());
    let waited = rig.commands() - before;
    assert!(waited <= 2 * AT_ONCE, "it waited for {waited} commands");
    for ending in &all {
        assert!(rig.wait(ending).is_ok());
    }
}

#[test]
fn a_fetch_that_fails_is_told_to_all_and_can_be_tried_again() {
    let mut rig = Rig::new();
    let (shared, page) = (rig.shared.clone(), 600);
    let known = rig.read(RICH, &shared, 999);
    assert!(rig.wait(&known).is_ok());
    let block = {
        let disk = rig.disk.lock().unwrap();
        let content = &contents(0)[page as usize * PAGE..][..PAGE];
        let mut blocks = disk.content.chunks(PAGE);
        blocks.position(|block| block == content).unwrap() as u64
    };
    let all = rig.long_queue(page);
    rig.disk.lock().unwrap().bad.insert(block * 8);
    let joined = rig.read(RICH, &shared, page);
    assert_eq!(rig.wait(&joined), Err(Errno::EIO));
    let (last, others) = all.split_last().unwrap();
    for ending in others {
        assert!(rig.wait(ending).is_ok());
    }
    assert_eq!(rig.wait(last), Err(Errno::EIO));
    assert_eq!(shared.pages.lock().find(page), Found::Absent);
    rig.disk.lock().unwrap().bad.clear();
    let again = rig.read(POOR, &shared, page);
    assert!(rig.wait(&again).is_ok());
}

/// One activity writes six files at once, as fast as it can, and another one reads.
#[test]
fn no_activity_has_more_dirty_pages_than_it_may_and_others_read_meanwhile() {
    let mut rig = Rig::new();
    let (shared, limit) = (rig.shared.clone(), rig.world.shared.cache.limit());
    let known = rig.read(RICH, &shared, 999);
    assert!(rig.wait(&known).is_ok());
    let files = WRITTEN.map(|path| find(&mut rig.world, path));
    let writes: Vec<_> = files.iter().map(|file| rig.write(file, 0..250)).collect();
    let (mut most, mut reads, mut longest) = (0, 0, 0);
    let mut read = None;
    for _ in 0..200_000 {
        let dirty = rig.world.shared.cache.dirty(POOR);
        assert!(dirty <= limit, "{dirty} dirty pages, {limit} allowed");
        most = most.max(dirty);
        let (ending, before) = read.take().unwrap_or_else(|| {
            let page = reads * 7;
            (rig.read(RICH, &shared, page), rig.commands())
        });
        match ending.lock().unwrap().take() {
            Some(result) => {
                assert!(result.is_ok());
                reads += 1;
                longest = longest.max(rig.commands() - before);
            }
            None => read = Some((ending.clone(), before)),
        }
        if writes.iter().all(|one| one.lock().unwrap().is_some()) || reads == 140 {
            break;
        }
        rig.world.run_for(20_000);
    }
    for ending in &writes {
        assert!(rig.wait(ending).is_ok());
    }
    assert_eq!(most, limit, "it never had as many as it may");
    assert!(reads > 10, "{reads} reads while the other one wrote");
    assert!(longest <= 2 * AT_ONCE, "one waited for {longest} commands");
}

/// Two with equal shares read one file in step: each page is read and charged once.
#[test]
fn those_who_read_a_file_in_step_pay_for_it_once() {
    let mut rig = Rig::with_weights(50, 50);
    let shared = rig.shared.clone();
    for activity in [RICH, POOR] {
        let known = rig.read(activity, &shared, 999);
        assert!(rig.wait(&known).is_ok());
    }
    let paid = |rig: &Rig| [RICH, POOR].map(|one| rig.bytes(one) / PAGE_SIZE);
    let before = paid(&rig);
    for page in 0..200 {
        // The one asks first as often as the other.
        let mut order = [RICH, POOR];
        order.rotate_left(page as usize % 2);
        let both = order.map(|one| rig.read(one, &shared, page));
        for ending in &both {
            assert!(rig.wait(ending).is_ok());
        }
    }
    rig.world.run_for(10_000_000);
    let after = paid(&rig);
    let more = [0, 1].map(|one| after[one] - before[one]);
    assert_eq!(more[0] + more[1], 200, "each pays {more:?} pages");
    assert!(
        more.iter().all(|&pages| pages > 50),
        "each pays {more:?} pages"
    );
}

/// Footnote 13 of the paper: what one activity has brought in goes, and nothing else.
#[test]
fn all_that_an_activity_has_brought_in_can_be_given_back() {
    let mut rig = Rig::new();
    let (shared, other) = (rig.shared.clone(), rig.other.clone());
    let theirs = [(POOR, &shared, 5), (POOR, &other, 6), (POOR, &other, 900)];
    for (activity, inode, page) in theirs
        .into_iter()
        .chain([(RICH, &shared, 7), (RICH, &other, 8)])
    {
        let read = rig.read(activity, inode, page);
        assert!(rig.wait(&read).is_ok());
    }
    let evict = |rig: &mut Rig| {
        let evicted = Arc::new(Mutex::new(None));
        let told = evicted.clone();
        let work = move |here: Here<FakeMachine>| async move {
            let evicted = evict_of(&here, POOR).await;
            *told.lock().unwrap() = Some(evicted);
        };
        let destination = rig.world.shared.destination(Kind::FileCache, POOR);
        submit(
            &rig.world,
            Request::new(destination, POOR, Errand::message(work)),
        );
        until(&mut rig.world, |_| evicted.lock().unwrap().is_some());
        evicted.lock().unwrap().take().unwrap()
    };
    assert_eq!(evict(&mut rig), 3);
    for (_, inode, page) in theirs {
        assert_eq!(inode.pages.lock().find(page), Found::Absent);
    }
    for (inode, page) in [(&shared, 7), (&other, 8)] {
        assert!(matches!(inode.pages.lock().find(page), Found::Here(_)));
    }
    assert_eq!(evict(&mut rig), 0);
}

/// Nobody is to wait for as long as it takes to give a large file back.
#[test]
fn a_page_is_read_while_a_large_file_is_given_back() {
    let mut rig = Rig::new();
    let (shared, other) = (rig.shared.clone(), rig.other.clone());
    let all: Vec<_> = (0..PAGES)
        .map(|page| rig.read(POOR, &shared, page))
        .chain([rig.read(RICH, &other, 0)])
        .collect();
    for read in &all {
        assert!(rig.wait(read).is_ok());
    }
    let ended = Arc::new(Mutex::new(Vec::new()));
    let send = |activity, message| {
        let destination = rig.world.shared.destination(Kind::FileCache, activity);
        submit(&rig.world, Request::new(destination, activity, message));
    };
    let told = ended.clone();
    send(
        POOR,
        Errand::message(move |here: Here<FakeMachine>| async move {
            let evicted = evict_file(&here, &shared, 0..u64::MAX, None).await;
            told.lock().unwrap().push((POOR, evicted));
        }),
    );
    let told = ended.clone();
    send(
        RICH,
        Errand::message(move |here: Here<FakeMachine>| async move {
            assert!(pages_of(&here, &other, 0..1).await.is_ok());
            told.lock().unwrap().push((RICH, 1));
        }),
    );
    until(&mut rig.world, |_| ended.lock().unwrap().len() == 2);
    assert_eq!(*ended.lock().unwrap(), [(RICH, 1), (POOR, PAGES)]);
}

#[test]
fn what_is_cut_off_is_given_back_also_where_who_does_it_is_ended() {
    let mut rig = Rig::new();
    let shared = rig.shared.clone();
    let held = |rig: &Rig| rig.world.shared.memory.held(POOR);
    let before = held(&rig);
    for page in 0..10 {
        let read = rig.read(POOR, &shared, page);
        assert!(rig.wait(&read).is_ok());
    }
    let with_pages = held(&rig);
    let cut = Cut::new(&rig.world.shared, &shared, 4);
    assert_eq!(shared.pages.lock().find(4), Found::Absent);
    assert_eq!(held(&rig), with_pages);
    drop(cut);
    assert!(held(&rig) <= with_pages - 6);
    drop(Cut::new(&rig.world.shared, &shared, 0));
    assert_eq!(held(&rig), before);
}

/// Much data, each page of which takes 0.05 ms; how many have been written.
struct Slow(FakeMachine, Arc<AtomicU64>);

impl Slow {
    const PAGES: u64 = 64;
}

impl Written for Slow {
    fn len(&self) -> usize {
        Self::PAGES as usize * PAGE
    }

    fn copy_to(&self, _offset: usize, _to: (Frame, usize), _length: usize) {
        self.0.spend(50_000);
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// Nor for as long as it takes to write much at once.
#[test]
fn a_page_is_read_while_much_is_written() {
    let mut rig = Rig::new();
    let other = rig.other.clone();
    let known = rig.read(RICH, &other, 0);
    assert!(rig.wait(&known).is_ok());
    let file = find(&mut rig.world, WRITTEN[0]);
    let written = Arc::new(AtomicU64::new(0));
    let (machine, count) = (rig.world.machine.clone(), written.clone());
    let work = |here: Here<FakeMachine>| async move {
        let done = write(&here, &file, Some(0), &Slow(machine, count)).await;
        assert_eq!(done, Ok((0, Slow::PAGES * PAGE_SIZE)));
    };
    let destination = rig.world.shared.destination(Kind::FileCache, POOR);
    let request = Request::new(destination, POOR, Errand::message(work));
    submit(&rig.world, request);
    let so_far = || written.load(Ordering::Relaxed);
    until(&mut rig.world, |_| so_far() > 0);
    let read = rig.read(RICH, &other, 0);
    assert!(rig.wait(&read).is_ok());
    assert!(so_far() < 10, "{} pages were written first", so_far());
    until(&mut rig.world, |_| so_far() == Slow::PAGES);
}

#[test]
fn who_asks_for_more_pages_at_once_than_it_may_have_gets_them_one_after_another() {
    let mut rig = Rig::new();
    let (other, memory) = (rig.other.clone(), rig.world.shared.memory.clone());
    let known = rig.read(POOR, &other, 999);
    assert!(rig.wait(&known).is_ok());
    memory.set_budget(POOR, Some(memory.held(POOR) + 20));
    let pages = (0..50).map(|number| number * 3);
    let all: Vec<_> = (pages.clone())
        .map(|page| rig.read(POOR, &other, page))
        .collect();
    for (page, ending) in pages.zip(&all) {
        let read = rig.wait(ending).expect("there is memory, after a while");
        let at = page as usize * PAGE;
        assert!(read == contents(1)[at..at + PAGE], "not page {page}");
    }
    assert!(memory.held(POOR) <= memory.budget(POOR).unwrap());
    // Without any that it could wait for, it is told.
    memory.set_budget(POOR, Some(0));
    let shared = rig.shared.clone();
    let none = rig.read(POOR, &shared, 5);
    assert_eq!(rig.wait(&none), Err(Errno::ENOMEM));
}
