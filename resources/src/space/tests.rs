use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use spin::Mutex;
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::{Multiplexor, Owner, Refusal};

use super::{
    Backing, Fault, Mapping, Place, Placed, Progress, Protection, Space, UserError, region,
};
use crate::errno::Errno;
use crate::fake::memory::{Memory, Root};
use crate::machine::{Access, Frame, PAGE_SIZE, USER_END};
use crate::object::{FrameStore, Object, Part};
use bare::Bare;

mod bare;
mod forks;
mod hostile;
mod limits;
mod model;
mod places;

const ASR: ResourceId = ResourceId(3);
const FILES: ResourceId = ResourceId(4);
const PAYER: ActivityId = ActivityId(1);

const R: Protection = Protection {
    read: true,
    write: false,
    execute: false,
};
const RW: Protection = Protection {
    read: true,
    write: true,
    execute: false,
};
const RX: Protection = Protection {
    read: true,
    write: false,
    execute: true,
};

const READ: Access = Access {
    write: false,
    execute: false,
};
const WRITE: Access = Access {
    write: true,
    execute: false,
};
const EXECUTE: Access = Access {
    write: false,
    execute: true,
};

/// Where tests map what they map.
const BASE: u64 = 0x10_0000_0000;

const fn pages(count: u64) -> u64 {
    count * PAGE_SIZE
}

/// A file whose byte at offset `n` is `n * 7 + number`, and never 0.
#[derive(Debug)]
struct File {
    number: u64,
    length: u64,
    memory: Arc<Multiplexor<Bare>>,
    cache: Mutex<Vec<Option<Frame>>>,
}

impl File {
    fn byte(number: u64, offset: u64) -> u8 {
        (offset.wrapping_mul(7).wrapping_add(number) % 251) as u8 + 1
    }

    /// Forgets a page; true if its frame is free now.
    fn forget(&self, page: u64) -> bool {
        let frame = self.cache.lock()[page as usize].take();
        frame.is_some_and(|frame| self.memory.release(frame))
    }

    fn forget_all(&self) {
        for page in 0..self.length.div_ceil(PAGE_SIZE) {
            self.forget(page);
        }
    }
}

impl Object for File {
    fn length(&self) -> u64 {
        self.length
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn cached(&self, page: u64) -> Option<Frame> {
        let frame = *self.cache.lock().get(page as usize)?;
        if let Some(frame) = frame {
            self.memory.share(frame);
        }
        frame
    }

    fn load(&self, page: u64, frames: &dyn FrameStore) -> Result<Frame, Refusal> {
        let mut cache = self.cache.lock();
        let frame = match cache[page as usize] {
            Some(frame) => frame,
            None => {
                let frame = frames.allocate(page)?;
                let start = page * PAGE_SIZE;
                let end = self.length.min(start + PAGE_SIZE);
                let bytes: Vec<u8> = (start..end).map(|at| Self::byte(self.number, at)).collect();
                frames.fill(frame, &bytes);
                cache[page as usize] = Some(frame);
                frame
            }
        };
        self.memory.share(frame);
        Ok(frame)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let length = into
            .len()
            .min((self.length - self.length.min(offset)) as usize);
        for (at, byte) in (offset..).zip(&mut into[..length]) {
            *byte = Self::byte(self.number, at);
        }
        length
    }

    fn evict(&self, page: u64) -> bool {
        self.forget(page)
    }
}

/// A machine with one address space, and what its page faults need.
struct Setup {
    fake: Memory,
    memory: Arc<Multiplexor<Bare>>,
    space: Arc<Space<Bare>>,
}

impl FrameStore for Setup {
    fn allocate(&self, cookie: u64) -> Result<Frame, Refusal> {
        self.memory.allocate(Owner {
            resource: FILES,
            activity: ActivityId::INFRASTRUCTURE,
            cookie,
        })
    }

    fn fill(&self, frame: Frame, bytes: &[u8]) {
        self.fake.zero_frame(frame);
        self.fake.write_frame(frame, 0, bytes);
    }
}

/// Calls an operation again until it has nothing more to do.
fn finish<E>(mut call: impl FnMut() -> Result<Progress, E>) -> Result<(), E> {
    while call()? == Progress::More {}
    Ok(())
}

/// As [`finish`], for operations that end with an address.
fn placed<E>(mut call: impl FnMut() -> Result<Placed, E>) -> Result<u64, E> {
    loop {
        if let Placed::At(address) = call()? {
            return Ok(address);
        }
    }
}

fn anonymous(place: Place, length: u64, protection: Protection) -> Mapping {
    Mapping {
        place,
        length,
        protection,
        backing: Backing::Anonymous,
        shared: false,
        grows: None,
        name: "test",
    }
}

/// Takes an address space apart, in portions.
fn destroy(space: &Space<Bare>) {
    while space.destroy() == Progress::More {}
}

impl Setup {
    fn new(frames: u32) -> Self {
        let fake = Memory::new(frames);
        let bare = Bare(fake.clone());
        let memory = Arc::new(Multiplexor::new(bare.clone()));
        let space = Space::new(bare, memory.clone(), ASR, PAYER).expect("there is memory");
        Self {
            fake,
            memory,
            space,
        }
    }

    fn file(&self, number: u64, length: u64) -> Arc<File> {
        Arc::new(File {
            number,
            length,
            memory: self.memory.clone(),
            cache: Mutex::new(vec![None; length.div_ceil(PAGE_SIZE) as usize]),
        })
    }

    fn root(&self) -> Root {
        self.space.root()
    }

    fn map(&self, mapping: &Mapping) -> Result<u64, Errno> {
        placed(|| self.space.map(mapping))
    }

    /// Maps anonymous memory at a place.
    fn map_at(&self, start: u64, count: u64, protection: Protection) {
        let mapping = anonymous(Place::Fixed(start), pages(count), protection);
        assert_eq!(self.map(&mapping), Ok(start));
    }

    fn unmap(&self, start: u64, count: u64) {
        finish(|| self.space.unmap(start, pages(count))).expect("it can be unmapped");
    }

    fn protect(&self, start: u64, count: u64, protection: Protection) -> Result<(), Errno> {
        finish(|| self.space.protect(start, pages(count), protection))
    }

    /// A fault, with what the owner of the region does for it.
    fn fault_in(&self, space: &Space<Bare>, address: u64, access: Access) -> Fault {
        loop {
            match space.fault(address, access) {
                Fault::Fetch(object, page, _) => match object.load(page, self) {
                    Ok(frame) => _ = self.memory.release(frame),
                    Err(refusal) => return Fault::Refused(refusal),
                },
                other => return other,
            }
        }
    }

    /// What a fault at an address is, in short.
    fn fault(&self, address: u64, access: Access) -> String {
        alloc::format!("{:?}", self.fault_in(&self.space, address, access))
    }

    /// Reads as the program does.
    fn load(&self, address: u64, length: usize) -> Result<Vec<u8>, Fault> {
        self.load_in(&self.space, address, length)
    }

    fn load_in(&self, space: &Space<Bare>, address: u64, length: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; length];
        while let Err(fault) = space.root().load(address, &mut bytes) {
            match self.fault_in(space, fault.address, fault.access) {
                Fault::Resolved => {}
                other => return Err(other),
            }
        }
        Ok(bytes)
    }

    /// Writes as the program does.
    fn store(&self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.store_in(&self.space, address, bytes)
    }

    fn store_in(&self, space: &Space<Bare>, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        while let Err(fault) = space.root().store(address, bytes) {
            match self.fault_in(space, fault.address, fault.access) {
                Fault::Resolved => {}
                other => return Err(other),
            }
        }
        Ok(())
    }

    fn held(&self) -> u64 {
        self.memory.held(PAYER)
    }
}

/// Whatever a test did: when the space has been taken apart, all is back.
impl Drop for Setup {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        destroy(&self.space);
        assert_eq!(self.held(), 0, "what the activity held is back");
        assert_eq!(self.space.usage(), (0, 0));
        let files = self.memory.held(ActivityId::INFRASTRUCTURE);
        assert_eq!(self.fake.taken() as u64, files, "only files hold memory");
    }
}

extern crate std;

#[test]
fn memory_is_zeros_until_it_is_written() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 4, RW);
    assert_eq!(setup.space.usage(), (0, pages(4)));
    assert_eq!(setup.load(BASE + 5, 3).expect("mapped"), [0; 3]);
    setup.store(BASE + pages(3) - 1, b"xyz").expect("mapped");
    assert_eq!(
        setup.load(BASE + pages(3) - 2, 5).expect("mapped"),
        b"\0xyz\0"
    );
    assert!(matches!(
        setup.load(BASE + pages(4), 1),
        Err(Fault::Violation(false))
    ));
    setup.unmap(BASE, 4);
    assert!(matches!(setup.load(BASE, 1), Err(Fault::Violation(false))));
    setup.map_at(BASE, 4, RW);
    assert_eq!(setup.load(BASE + pages(3), 2).expect("mapped"), [0; 2]);
}

#[test]
fn faults_say_what_linux_says() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 1, R);
    setup.map_at(BASE + pages(1), 1, RX);
    setup.map_at(BASE + pages(2), 1, Protection::NONE);
    for (address, access, expected) in [
        (BASE, READ, "Resolved"),
        (BASE, WRITE, "Violation(true)"),
        (BASE, EXECUTE, "Violation(true)"),
        (BASE + pages(1), EXECUTE, "Resolved"),
        (BASE + pages(2), READ, "Violation(true)"),
        (BASE + pages(3), READ, "Violation(false)"),
        (0, READ, "Violation(false)"),
        (USER_END, READ, "Violation(false)"),
        (1 << 63, EXECUTE, "Violation(false)"),
        (u64::MAX, WRITE, "Violation(false)"),
    ] {
        assert_eq!(setup.fault(address, access), expected, "{address:#x}");
    }
}

#[test]
fn sequential_touches_are_mapped_ahead_and_scattered_ones_are_not() {
    let setup = Setup::new(256);
    setup.map_at(BASE, 128, RW);
    for page in [0, 7, 3, 90, 50] {
        setup.store(BASE + pages(page), b"x").expect("mapped");
    }
    assert_eq!(setup.space.usage().0, 5);
    setup.discard_all(BASE, 128);
    let mut faults = 0;
    for page in 0..128 {
        faults += u32::from(setup.root().store(BASE + pages(page), b"y").is_err());
        setup.store(BASE + pages(page), b"y").expect("mapped");
    }
    assert_eq!(setup.space.usage().0, 128, "not beyond the region");
    assert!(faults < 16, "{faults} faults for 128 pages");
}

impl Setup {
    fn discard_all(&self, start: u64, count: u64) {
        finish(|| self.space.discard(start, pages(count))).expect("it is mapped");
    }
}

#[test]
fn discarded_memory_is_zeros_again_and_free() {
    let setup = Setup::new(512);
    setup.map_at(BASE, 200, RW);
    let before = setup.held();
    for page in 0..200 {
        setup.store(BASE + pages(page), b"x").expect("mapped");
    }
    setup.discard_all(BASE, 200);
    assert_eq!(setup.space.usage(), (0, pages(200)));
    assert!(setup.held() <= before + 4, "only tables are left");
    assert_eq!(setup.load(BASE + pages(77), 1).expect("mapped"), [0]);
    assert_eq!(
        finish(|| setup.space.discard(BASE + pages(199), pages(2))),
        Err(Errno::ENOMEM),
        "there is a hole"
    );
}

#[test]
fn protection_changes_hold_for_what_is_there_and_what_comes() {
    let setup = Setup::new(512);
    setup.map_at(BASE, 150, RW);
    for page in 0..150 {
        setup
            .store(BASE + pages(page), &[page as u8])
            .expect("mapped");
    }
    setup.protect(BASE + pages(10), 130, R).expect("mapped");
    assert_eq!(setup.space.regions(), 3);
    assert!(matches!(
        setup.store(BASE + pages(139), b"x"),
        Err(Fault::Violation(true))
    ));
    setup
        .store(BASE + pages(140), b"x")
        .expect("still writable");
    assert_eq!(setup.load(BASE + pages(50), 1).expect("readable"), [50]);
    setup
        .protect(BASE + pages(10), 130, Protection::NONE)
        .expect("mapped");
    assert!(matches!(
        setup.load(BASE + pages(50), 1),
        Err(Fault::Violation(true))
    ));
    let resident = setup.space.usage().0;
    assert_eq!(resident, 150, "what was there is kept");
    setup.protect(BASE + pages(10), 130, RW).expect("mapped");
    assert_eq!(setup.space.regions(), 1, "all is one region again");
    assert_eq!(setup.load(BASE + pages(50), 1).expect("readable"), [50]);
    setup.store(BASE + pages(51), b"x").expect("writable");
    assert_eq!(setup.space.usage().0, 150);
    // Parked pages go with their region.
    setup.protect(BASE, 100, Protection::NONE).expect("mapped");
    setup.unmap(BASE, 150);
    assert_eq!(setup.space.usage(), (0, 0));
    assert_eq!(setup.protect(BASE, 1, R), Err(Errno::ENOMEM));
}

fn part(file: &Arc<File>, offset: u64, length: u64) -> Backing {
    Backing::File(Part {
        object: file.clone(),
        offset,
        length,
        writable: false,
    })
}

impl Setup {
    fn map_file(
        &self,
        file: &Arc<File>,
        (offset, length): (u64, u64),
        count: u64,
        protection: Protection,
    ) {
        let mapping = Mapping {
            backing: part(file, offset, length),
            ..anonymous(Place::Fixed(BASE), pages(count), protection)
        };
        assert_eq!(self.map(&mapping), Ok(BASE));
    }
}

#[test]
fn a_files_pages_are_shared_until_they_are_written() {
    let setup = Setup::new(64);
    let file = setup.file(9, pages(3) + 100);
    setup.map_file(&file, (pages(1), pages(8)), 4, RW);
    let expected = |offset| File::byte(9, offset);
    let got = setup.load(BASE + 10, 2).expect("mapped");
    assert_eq!(got, [expected(pages(1) + 10), expected(pages(1) + 11)]);
    let held = setup.held();
    setup.load(BASE + pages(1), 1).expect("mapped");
    assert_eq!(setup.held(), held, "the file's frame, not one of ours");
    setup.store(BASE + 11, b"w").expect("mapped");
    assert_eq!(setup.held(), held + 1, "a copy");
    assert_eq!(setup.load(BASE + 10, 2).expect("mapped"), [got[0], b'w']);
    let frame = file.cached(1).expect("in memory");
    let mut original = [0; 2];
    setup.fake.read_frame(frame, 10, &mut original);
    assert_eq!(original, got[..], "the file itself is unchanged");
    setup.memory.release(frame);
    // The last page ends with zeros; what is beyond is no longer the file.
    let end = setup.load(BASE + pages(2) + 99, 2).expect("mapped");
    assert_eq!(end, [expected(pages(3) + 99), 0]);
    setup.store(BASE + pages(2) + 200, b"z").expect("mapped");
    assert!(matches!(
        setup.load(BASE + pages(3), 1),
        Err(Fault::BeyondEnd)
    ));
    assert!(matches!(
        setup.space.read(BASE + pages(3), &mut [0]),
        Err(UserError::Bad)
    ));
    file.forget_all();
}

#[test]
fn a_part_that_ends_within_a_page_is_zeros_from_there() {
    let setup = Setup::new(64);
    let file = setup.file(5, pages(4));
    setup.map_file(&file, (0, pages(1) + 30), 2, R);
    let last = setup.load(BASE + pages(1) + 28, 4).expect("mapped");
    let expected = [28, 29].map(|at| File::byte(5, pages(1) + at));
    assert_eq!(last, [expected[0], expected[1], 0, 0]);
    let end = setup.load(BASE + pages(2) - 1, 1).expect("mapped");
    assert_eq!(end, [0]);
    file.forget_all();
}

#[test]
fn a_files_pages_that_are_in_memory_are_mapped_together() {
    let setup = Setup::new(64);
    let file = setup.file(5, pages(16));
    for page in 0..16 {
        let frame = file.load(page, &setup).expect("there is memory");
        setup.memory.release(frame);
    }
    setup.map_file(&file, (0, pages(16)), 16, RX);
    assert_eq!(setup.fault(BASE + pages(3), EXECUTE), "Resolved");
    assert_eq!(setup.root().mapped(), 16);
    assert_eq!(setup.fault(BASE + pages(3), WRITE), "Violation(true)");
    file.forget_all();
}

#[test]
fn an_evicted_page_comes_back_and_a_private_copy_stays() {
    let setup = Setup::new(64);
    let file = setup.file(5, pages(3));
    setup.map_file(&file, (0, pages(3)), 3, RW);
    setup.load(BASE, 1).expect("mapped");
    setup.store(BASE + pages(1), b"mine").expect("mapped");
    for page in 0..2 {
        let frame = file.cached(page).expect("in memory");
        setup.memory.release(frame);
        let progress = setup.space.evict(5, page, frame);
        assert_eq!(progress, Progress::Done);
        assert!(file.forget(page), "nobody has it any more");
    }
    assert_eq!(setup.root().mapped(), 1);
    assert_eq!(setup.load(BASE + pages(1), 4).expect("mapped"), b"mine");
    assert_eq!(setup.load(BASE, 1).expect("mapped"), [File::byte(5, 0)]);
    file.forget_all();
}

#[test]
fn a_page_whose_file_has_forgotten_it_becomes_private_without_a_copy() {
    let setup = Setup::new(64);
    let file = setup.file(5, pages(1));
    setup.map_file(&file, (0, pages(1)), 1, RW);
    setup.load(BASE, 1).expect("mapped");
    assert!(!file.forget(0), "it is still mapped");
    let (held, taken) = (setup.held(), setup.fake.taken());
    setup.store(BASE, b"x").expect("mapped");
    assert_eq!(setup.held(), held + 1, "who writes it pays for it");
    assert_eq!(setup.fake.taken(), taken);
}

#[test]
fn marks_reach_the_multiplexor() {
    let setup = Setup::new(512);
    setup.memory.register(ASR);
    setup.map_at(BASE, 100, RW);
    for page in 0..100 {
        setup.load(BASE + pages(page), 1).expect("mapped");
    }
    setup.store(BASE + pages(4), b"x").expect("mapped");
    let mut calls = 1;
    while setup.space.collect(30) == Progress::More {
        calls += 1;
    }
    assert_eq!(calls, 4);
    let ask = || setup.memory.reclaim(Some(PAYER), 1000).chosen;
    assert!(ask().is_empty(), "all have been used");
    setup.load(BASE + pages(9), 1).expect("mapped");
    assert_eq!(setup.space.collect(1000), Progress::Done);
    let asked: Vec<u64> = ask().iter().map(|reclaim| reclaim.owner.cookie).collect();
    let of_pages = asked.iter().filter(|&&cookie| cookie < USER_END);
    assert_eq!(of_pages.count(), 99, "all but the one used since");
    assert!(!asked.contains(&(BASE + pages(9))));
    assert_eq!(asked.last(), Some(&(BASE + pages(4))), "the dirty one last");
}

#[test]
fn a_frame_set_aside_is_there_when_others_have_all_the_rest() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 8, RW);
    setup.store(BASE, b"x").expect("there is memory");
    let greedy = Owner {
        resource: ASR,
        activity: ActivityId(9),
        cookie: 0,
    };
    setup.space.set_aside();
    let taken: Vec<_> = core::iter::from_fn(|| setup.memory.allocate(greedy).ok()).collect();
    setup
        .store(BASE + pages(5), b"y")
        .expect("one is set aside");
    assert!(setup.store(BASE + pages(7), b"z").is_err(), "but only one");
    for frame in taken {
        setup.memory.release(frame);
    }
    // What is not used comes back with all else.
    setup.space.set_aside();
}
