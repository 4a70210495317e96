//! Random operations on address spaces against a model that is a map from page to what it should
//! show.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Pages that the operations choose from; more than a portion.
const PAGES: u64 = 160;
const FILE: u64 = 11;
/// The file ends within its 100th page.
const FILE_LENGTH: u64 = pages(99) + 1000;

/// What a page of the model is.
#[derive(Clone, Debug)]
struct Page {
    protection: Protection,
    /// The page of the file it shows; `None` for zeros.
    file: Option<u64>,
    /// Written bytes by offset. For shared memory, in [`Model::shared`] instead.
    written: BTreeMap<u64, u8>,
    /// The page of the shared memory it shows.
    shared: Option<(usize, u64)>,
}

type Shared = BTreeMap<(usize, u64, u64), u8>;

#[derive(Clone, Debug, Default)]
struct Model {
    pages: BTreeMap<u64, Page>,
}

impl Model {
    /// The byte there, or the fault.
    fn load(&self, shared: &Shared, address: u64) -> Result<u8, &'static str> {
        let (page, offset) = (address / PAGE_SIZE, address % PAGE_SIZE);
        let Some(found) = self.pages.get(&page) else {
            return Err("Violation(false)");
        };
        if found.protection == Protection::NONE {
            return Err("Violation(true)");
        }
        if let Some((number, page)) = found.shared {
            return Ok(shared.get(&(number, page, offset)).copied().unwrap_or(0));
        }
        found
            .original(offset)
            .map(|original| found.written.get(&offset).copied().unwrap_or(original))
    }

    fn store(&mut self, shared: &mut Shared, address: u64, byte: u8) -> Result<(), &'static str> {
        let (page, offset) = (address / PAGE_SIZE, address % PAGE_SIZE);
        let Some(found) = self.pages.get_mut(&page) else {
            return Err("Violation(false)");
        };
        if !found.protection.write {
            return Err("Violation(true)");
        }
        match found.shared {
            Some((number, page)) => _ = shared.insert((number, page, offset), byte),
            None => {
                found.original(offset)?;
                found.written.insert(offset, byte);
            }
        }
        Ok(())
    }
}

impl Page {
    /// The page so many further in the same region, as long as nobody has touched it.
    fn further(&self, by: u64) -> Self {
        Self {
            file: self.file.map(|file| file + by),
            shared: self.shared.map(|(region, page)| (region, page + by)),
            written: BTreeMap::new(),
            ..*self
        }
    }

    /// What is there if nothing has been written.
    fn original(&self, offset: u64) -> Result<u8, &'static str> {
        let Some(page) = self.file else {
            return Ok(0);
        };
        let at = pages(page) + offset;
        if pages(page) >= FILE_LENGTH {
            Err("BeyondEnd")
        } else if at >= FILE_LENGTH {
            Ok(0)
        } else {
            Ok(File::byte(FILE, at))
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64, Kind, Protection),
    Unmap(u64, u64),
    Protect(u64, u64, Protection),
    Discard(u64, u64),
    Load(u64, u64),
    Store(u64, u64, u8),
    /// Through the kernel.
    Read(u64, u64),
    Write(u64, u64, u8),
    Remap(u64, u64, u64, bool),
    /// A fork; the next steps go to the other one.
    Fork,
    Switch,
    Collect,
    Evict(u64),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Private,
    Shared,
    File,
}

fn protection() -> impl Strategy<Value = Protection> {
    prop_oneof![
        4 => Just(RW),
        2 => Just(R),
        1 => Just(RX),
        1 => Just(Protection::NONE),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let start = || 0..PAGES;
    let count = || prop_oneof![4 => 1_u64..6, 1 => 60_u64..100];
    let offset = || prop_oneof![Just(0), Just(5), Just(PAGE_SIZE - 1), 0..PAGE_SIZE];
    let kind =
        prop_oneof![3 => Just(Kind::Private), 1 => Just(Kind::Shared), 2 => Just(Kind::File)];
    prop_oneof![
        4 => (start(), count(), kind, protection())
            .prop_map(|(at, count, kind, to)| Step::Map(at, count, kind, to)),
        2 => (start(), count()).prop_map(|(at, count)| Step::Unmap(at, count)),
        3 => (start(), count(), protection())
            .prop_map(|(at, count, to)| Step::Protect(at, count, to)),
        2 => (start(), count()).prop_map(|(at, count)| Step::Discard(at, count)),
        6 => (start(), offset()).prop_map(|(at, offset)| Step::Load(at, offset)),
        8 => (start(), offset(), 1_u8..)
            .prop_map(|(at, offset, byte)| Step::Store(at, offset, byte)),
        3 => (start(), offset()).prop_map(|(at, offset)| Step::Read(at, offset)),
        3 => (start(), offset(), 1_u8..)
            .prop_map(|(at, offset, byte)| Step::Write(at, offset, byte)),
        2 => (start(), count(), count(), any::<bool>())
            .prop_map(|(at, from, to, may_move)| Step::Remap(at, from, to, may_move)),
        1 => Just(Step::Fork),
        2 => Just(Step::Switch),
        1 => Just(Step::Collect),
        2 => (0..PAGES).prop_map(Step::Evict),
    ]
}

const fn at(page: u64) -> u64 {
    BASE + pages(page)
}

const fn number(page: u64) -> u64 {
    BASE / PAGE_SIZE + page
}

/// An address space and what it should show.
struct Pair {
    space: Arc<Space<Bare>>,
    model: Model,
}

struct Run {
    setup: Setup,
    file: Arc<File>,
    pairs: Vec<Pair>,
    current: usize,
    shared: Shared,
    shared_regions: usize,
}

impl Run {
    fn new() -> Self {
        let setup = Setup::new(4096);
        let file = setup.file(FILE, FILE_LENGTH);
        let pairs = vec![Pair {
            space: setup.space.clone(),
            model: Model::default(),
        }];
        Self {
            setup,
            file,
            pairs,
            current: 0,
            shared: Shared::new(),
            shared_regions: 0,
        }
    }

    fn space(&self) -> Arc<Space<Bare>> {
        self.pairs[self.current].space.clone()
    }

    fn model(&mut self) -> &mut Model {
        &mut self.pairs[self.current].model
    }

    fn all_mapped(&mut self, start: u64, count: u64) -> bool {
        let mapped = &self.model().pages;
        (start..start + count).all(|page| mapped.contains_key(&number(page)))
    }

    fn map(&mut self, start: u64, count: u64, kind: Kind, protection: Protection) {
        let mapping = Mapping {
            shared: matches!(kind, Kind::Shared),
            backing: match kind {
                Kind::File => part(&self.file, pages(start), FILE_LENGTH),
                _ => Backing::Anonymous,
            },
            ..anonymous(Place::Fixed(at(start)), pages(count), protection)
        };
        let space = self.space();
        assert_eq!(placed(|| space.map(&mapping)), Ok(at(start)));
        let region = self.shared_regions;
        self.shared_regions += usize::from(mapping.shared);
        for page in start..start + count {
            let new = Page {
                protection,
                file: matches!(kind, Kind::File).then_some(page),
                written: BTreeMap::new(),
                shared: mapping.shared.then_some((region, page - start)),
            };
            self.model().pages.insert(number(page), new);
        }
    }

    fn protect(&mut self, start: u64, count: u64, to: Protection) {
        let space = self.space();
        let got = finish(|| space.protect(at(start), pages(count), to));
        let complete = self.all_mapped(start, count);
        assert_eq!(got.is_ok(), complete);
        for page in start..start + count {
            // As on Linux, what is before the first hole has been changed.
            match self.model().pages.get_mut(&number(page)) {
                Some(found) => found.protection = to,
                None => break,
            }
        }
    }

    fn discard(&mut self, start: u64, count: u64) {
        let space = self.space();
        let got = finish(|| space.discard(at(start), pages(count)));
        assert_eq!(got.is_ok(), self.all_mapped(start, count));
        for page in start..start + count {
            if let Some(found) = self.model().pages.get_mut(&number(page)) {
                found.written.clear();
            }
        }
    }

    fn remap(&mut self, start: u64, (from, to): (u64, u64), may_move: bool) {
        let space = self.space();
        let got = placed(|| space.remap(at(start), pages(from), pages(to), may_move));
        let Ok(place) = got else {
            return;
        };
        assert!(may_move || place == at(start), "it must not move");
        assert!(self.all_mapped(start, from));
        let model = &mut self.model().pages;
        let old: Vec<Page> = (start..start + from)
            .map(|page| model.remove(&number(page)).expect("all are mapped"))
            .collect();
        let last = &old[from.min(to) as usize - 1];
        for page in 0..to {
            let new = match old.get(page as usize) {
                Some(page) => page.clone(),
                None => last.further(page + 1 - from.min(to)),
            };
            let before = model.insert(place / PAGE_SIZE + page, new);
            assert!(before.is_none(), "there was room");
        }
    }

    fn load(&self, address: u64) {
        let Pair { space, model } = &self.pairs[self.current];
        let expected = model.load(&self.shared, address);
        let got = self.setup.load_in(space, address, 1);
        match (got, expected) {
            (Ok(got), Ok(byte)) => assert_eq!(got, [byte], "{address:#x}"),
            (Err(fault), Err(expected)) => assert_eq!(alloc::format!("{fault:?}"), expected),
            other => panic!("{address:#x}: {other:?}"),
        }
    }

    fn store(&mut self, address: u64, byte: u8) {
        let Pair { space, model } = &mut self.pairs[self.current];
        let expected = model.store(&mut self.shared, address, byte);
        let got = self.setup.store_in(space, address, &[byte]);
        match (got, expected) {
            (Ok(()), Ok(())) => {}
            (Err(fault), Err(expected)) => assert_eq!(alloc::format!("{fault:?}"), expected),
            other => panic!("{address:#x}: {other:?}"),
        }
    }

    /// An access by the kernel; what is absent is brought in as for the program.
    fn through_kernel(
        &self,
        mut access: impl FnMut(&Space<Bare>) -> Result<(), UserError>,
    ) -> bool {
        let space = self.space();
        loop {
            match access(&space) {
                Ok(()) => return true,
                Err(UserError::Bad) => return false,
                Err(UserError::Absent(address, write)) => {
                    let access = if write { WRITE } else { READ };
                    let fault = self.setup.fault_in(&space, address, access);
                    assert!(matches!(fault, Fault::Resolved), "{fault:?}");
                }
            }
        }
    }

    fn read(&self, address: u64) {
        let expected = self.pairs[self.current].model.load(&self.shared, address);
        let mut byte = [0];
        let done = self.through_kernel(|space| space.read(address, &mut byte));
        assert_eq!(done.then_some(byte[0]), expected.ok(), "{address:#x}");
    }

    fn write(&mut self, address: u64, byte: u8) {
        let shared = &mut self.shared;
        let model = &mut self.pairs[self.current].model;
        let expected = model.store(shared, address, byte);
        let done = self.through_kernel(|space| space.write(address, &[byte]));
        assert_eq!(done, expected.is_ok(), "{address:#x}");
    }

    fn fork(&mut self) {
        if self.pairs.len() == 4 {
            return;
        }
        let parent = self.space();
        let child = parent.fork(PAYER).expect("there is memory");
        finish(|| child.inherit(&parent)).expect("there is memory");
        let model = self.model().clone();
        self.pairs.push(Pair {
            space: child,
            model,
        });
    }

    fn evict(&self, page: u64) {
        if let Some(frame) = self.file.cached(page) {
            for pair in &self.pairs {
                while pair.space.evict(FILE, page, frame) == Progress::More {}
            }
            assert!(!self.file.forget(page));
            assert!(self.setup.memory.release(frame), "nobody has it any more");
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Map(start, count, kind, protection) => {
                self.map(start, count, kind, protection);
            }
            Step::Unmap(start, count) => {
                let space = self.space();
                finish(|| space.unmap(at(start), pages(count))).expect("it can be");
                for page in start..start + count {
                    self.model().pages.remove(&number(page));
                }
            }
            Step::Protect(start, count, to) => self.protect(start, count, to),
            Step::Discard(start, count) => self.discard(start, count),
            Step::Load(page, offset) => self.load(at(page) + offset),
            Step::Store(page, offset, byte) => self.store(at(page) + offset, byte),
            Step::Read(page, offset) => self.read(at(page) + offset),
            Step::Write(page, offset, byte) => self.write(at(page) + offset, byte),
            Step::Remap(start, from, to, may_move) => self.remap(start, (from, to), may_move),
            Step::Fork => self.fork(),
            Step::Switch => self.current = (self.current + 1) % self.pairs.len(),
            Step::Collect => _ = self.space().collect(50),
            Step::Evict(page) => self.evict(page),
        }
    }

    /// Every page of every space shows what it should, and nothing else is held.
    fn check_all(mut self) {
        for index in 0..self.pairs.len() {
            self.current = index;
            let mapped: Vec<u64> = self.model().pages.keys().copied().collect();
            for page in (0..PAGES + 100).map(number).chain(mapped) {
                for offset in [0, 5, PAGE_SIZE - 1] {
                    self.load(pages(page) + offset);
                }
            }
            let Pair { space, model } = &self.pairs[index];
            assert_eq!(space.usage().1, pages(model.pages.len() as u64));
        }
        for pair in &self.pairs {
            destroy(&pair.space);
        }
        self.file.forget_all();
        assert_eq!(self.setup.held(), 0);
        assert_eq!(self.setup.fake.taken(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn spaces_show_what_they_should(steps in proptest::collection::vec(step(), 1..80)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.check_all();
    }
}
