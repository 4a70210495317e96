//! Readiness, pipes and epolls by themselves: who is told of what, how often, and what is left.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::*;
use crate::files::cursor::{Buffer, Cursor};
use crate::files::pipe::Step;

/// Frames for pipes, of which so many can be had.
#[derive(Debug)]
struct Pages {
    frames: spin::Mutex<Vec<Option<Vec<u8>>>>,
    limit: AtomicUsize,
}

impl Pages {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            frames: spin::Mutex::default(),
            limit: AtomicUsize::new(limit),
        })
    }

    fn taken(&self) -> usize {
        self.frames.lock().iter().flatten().count()
    }
}

impl Buffers for Pages {
    fn allocate(&self) -> Result<Frame, Refusal> {
        if self.taken() >= self.limit.load(Ordering::Relaxed) {
            return Err(Refusal::OverBudget);
        }
        let mut frames = self.frames.lock();
        frames.push(Some(vec![0xee; 4096]));
        Ok(Frame(frames.len() as u32 - 1))
    }

    fn read(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        let frames = self.frames.lock();
        let page = frames[frame.index()]
            .as_ref()
            .expect("a page that is in use");
        into.copy_from_slice(&page[offset..offset + into.len()]);
    }

    fn write(&self, frame: Frame, offset: usize, from: &[u8]) {
        let mut frames = self.frames.lock();
        let page = frames[frame.index()]
            .as_mut()
            .expect("a page that is in use");
        page[offset..offset + from.len()].copy_from_slice(from);
    }

    fn release(&self, frame: Frame) {
        let gone = self.frames.lock()[frame.index()].take();
        assert!(gone.is_some(), "released twice");
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Told {
    times: AtomicUsize,
    events: AtomicU32,
}

impl Told {
    /// How often since the last time, and of what.
    fn take(&self) -> (usize, Events) {
        let events = self.events.swap(0, Ordering::SeqCst);
        let times = self.times.swap(0, Ordering::SeqCst);
        (times, Events::from_bits_truncate(events))
    }
}

impl Observer for Told {
    fn notify(self: Arc<Self>, _: u64, events: Events) {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.events.fetch_or(events.bits(), Ordering::SeqCst);
    }
}

#[test]
fn observers_are_told_what_they_asked_for_until_they_leave() {
    let queue = WaitQueue::new();
    let (once, always) = (Arc::new(Told::default()), Arc::new(Told::default()));
    let first = queue.subscribe(once.clone(), 1, Events::IN, Span::Once);
    let second = queue.subscribe(always.clone(), 2, Events::OUT, Span::Always);
    queue.notify(Events::PRI);
    assert_eq!((once.take().0, always.take().0), (0, 0));
    queue.notify(Events::IN);
    queue.notify(Events::IN | Events::HUP);
    assert_eq!(once.take(), (1, Events::IN));
    // Of the end everybody is told.
    assert_eq!(always.take(), (1, Events::HUP));
    assert_eq!(queue.len(), 1);
    drop(first);
    queue.notify(Events::OUT);
    assert_eq!(always.take(), (1, Events::OUT));
    drop(second);
    queue.notify(Events::OUT);
    assert_eq!(always.take().0, 0);
    assert!(queue.is_empty());
    assert_eq!(
        (Arc::strong_count(&once), Arc::strong_count(&always)),
        (1, 1)
    );
}

const START: u64 = 0x1000;

fn memory(bytes: Vec<u8>) -> Memory {
    Memory {
        start: START,
        bytes: RefCell::new(bytes),
        absent: RefCell::default(),
    }
}

/// Moves up to so many bytes through an end, in steps.
fn steps(
    bytes: &mut Vec<u8>,
    mut step: impl FnMut(&mut Cursor<'_>, bool) -> Result<Step, UserError>,
) -> (usize, Option<Step>) {
    let memory = memory(bytes.clone());
    let buffers = [Buffer {
        address: START,
        length: bytes.len() as u64,
    }];
    let mut cursor = Cursor::new(&memory, &buffers, 0);
    let mut done = 0;
    let mut stopped = None;
    while cursor.left() > 0 {
        match step(&mut cursor, done == 0).expect("memory is there") {
            Step::Moved(moved) => done += moved as usize,
            other => {
                stopped = Some(other);
                break;
            }
        }
    }
    *bytes = memory.bytes.into_inner();
    (done, stopped)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is written comes out in order, the ends say what they are ready for, and all pages
    /// come back; also where there are fewer pages than slots.
    #[test]
    fn a_pipe_is_a_queue_of_bytes(
        operations in prop::collection::vec((any::<bool>(), 1_usize..9000), 1..60),
        pages in 1_usize..20,
    ) {
        let source = Pages::new(pages);
        let [reads, writes] = PipeEnd::pair(source.clone()).unwrap();
        let mut model = alloc::collections::VecDeque::new();
        let mut next = 0_u32;
        for (is_write, length) in operations {
            if is_write {
                let mut bytes: Vec<u8> = (0..length)
                    .map(|index| (next.wrapping_add(index as u32) % 251) as u8)
                    .collect();
                let had_room = writes.readiness().contains(Events::WRITABLE);
                let (done, stopped) =
                    steps(&mut bytes, |cursor, merges| writes.write(cursor, merges));
                model.extend(&bytes[..done]);
                next = next.wrapping_add(done as u32);
                prop_assert_eq!(stopped.is_some(), done < length);
                // With room, a write of up to a page goes in whole, as far as there is memory.
                prop_assert!(!had_room || pages < 16 || length > 4096 || done == length);
                prop_assert!(
                    stopped.is_none() || !writes.readiness().contains(Events::WRITABLE)
                );
            } else {
                let mut bytes = vec![0; length];
                let (done, _) = steps(&mut bytes, |cursor, _| reads.read(cursor));
                prop_assert_eq!(done, length.min(model.len()));
                let expected: Vec<u8> = model.drain(..done).collect();
                prop_assert_eq!(&bytes[..done], &expected[..]);
            }
            prop_assert_eq!(reads.bytes(), model.len() as u64);
            prop_assert_eq!(reads.readiness().contains(Events::READABLE), !model.is_empty());
            // Nobody waits for ever: what is empty has room.
            prop_assert!(!model.is_empty() || writes.readiness().contains(Events::WRITABLE));
            prop_assert!(source.taken() <= pages);
        }
        drop(reads);
        prop_assert!(writes.readiness().contains(Events::ERR));
        drop(writes);
        prop_assert_eq!(source.taken(), 0);
    }
}

/// A fault on the way leaves the pipe as it was.
#[test]
fn a_transfer_that_fails_moves_nothing() {
    let source = Pages::new(16);
    let [reads, writes] = PipeEnd::pair(source).unwrap();
    let memory = memory(vec![7; 5000]);
    let beyond = [Buffer {
        address: START,
        length: 6000,
    }];
    let mut cursor = Cursor::new(&memory, &beyond, 0);
    assert!(matches!(
        writes.write(&mut cursor, true),
        Ok(Step::Moved(4096))
    ));
    assert!(writes.write(&mut cursor, false).is_err());
    assert_eq!((reads.bytes(), cursor.left()), (4096, 1904));
    *memory.absent.borrow_mut() = Some(START + 3000);
    let mut cursor = Cursor::new(&memory, &beyond, 0);
    let failed = reads.read(&mut cursor);
    assert!(matches!(failed, Err(UserError::Absent(_, true))));
    assert_eq!((reads.bytes(), cursor.left()), (4096, 6000));
    assert!(matches!(reads.read(&mut cursor), Ok(Step::Moved(4096))));
}

fn counter() -> (Arc<EventCounter>, Arc<OpenFile>) {
    let counter = EventCounter::new(0, false);
    let file = OpenFile::new(Opened::Counter(counter.clone()), None, linux::O_RDWR);
    (counter, file)
}

fn wanted(events: u32, data: u64) -> Event {
    Event { events, data }
}

/// Of 10,000 files that are watched, one event enters one into the list, and a wait looks at no
/// more than at what is there.
#[test]
fn an_event_costs_the_same_however_many_files_are_watched() {
    const FILES: usize = 10_000;
    let quota = Quota::new(FILES as u32);
    let epoll = Epoll::new(quota.clone());
    let files: Vec<_> = (0..FILES).map(|_| counter()).collect();
    for (number, (_, file)) in files.iter().enumerate() {
        let added = epoll.add(number as i32, file, wanted(linux::EPOLLIN, number as u64));
        assert_eq!(added, Ok(()));
    }
    let (_, one_more) = counter();
    let added = epoll.add(-1, &one_more, wanted(linux::EPOLLIN, 0));
    assert_eq!(added, Err(Errno::ENOSPC));
    assert_eq!((epoll.len(), epoll.listed()), (FILES, 0));
    for number in (0..FILES).step_by(97) {
        assert_eq!(files[number].0.add(1), Ok(true));
        assert_eq!(epoll.listed(), 1);
        let taken = epoll.take(100).events;
        assert_eq!(taken, [wanted(linux::EPOLLIN, number as u64)]);
        // It is told as long as it is ready; then it is looked at once more, and is gone.
        assert_eq!(files[number].0.take(), Some(1));
        assert_eq!(epoll.listed(), 1);
        assert!(epoll.take(100).events.is_empty());
        assert_eq!(epoll.listed(), 0);
    }
    drop(files);
    assert_eq!((epoll.len(), quota.used()), (0, 0));
}

#[test]
fn a_watch_ends_with_its_file_or_with_its_epoll() {
    let quota = Quota::new(10);
    let epoll = Epoll::new(quota.clone());
    let (first, file) = counter();
    epoll.add(3, &file, wanted(linux::EPOLLIN, 1)).unwrap();
    epoll.add(4, &file, wanted(linux::EPOLLIN, 2)).unwrap();
    assert_eq!(first.queue().len(), 2);
    first.add(1).unwrap();
    assert_eq!(epoll.listed(), 2);
    drop(file);
    assert_eq!((first.queue().len(), epoll.len(), quota.used()), (0, 0, 0));
    assert!(epoll.readiness().is_empty());
    assert!(epoll.take(10).events.is_empty());
    let (second, file) = counter();
    epoll.add(3, &file, wanted(linux::EPOLLIN, 1)).unwrap();
    second.add(1).unwrap();
    drop(epoll);
    assert_eq!((second.queue().len(), quota.used()), (0, 0));
    // Nothing of it is kept by the file, however often that happens.
    for _ in 0..100 {
        let epoll = Epoll::new(quota.clone());
        epoll.add(3, &file, wanted(linux::EPOLLIN, 1)).unwrap();
    }
    assert_eq!(file.watched_by.lock().len(), 0);
}

/// One that has ended, and is in the list still, does not have another told twice.
#[test]
fn a_wait_tells_of_a_watch_once() {
    let epoll = Epoll::new(Quota::new(10));
    let (counter, file) = counter();
    epoll.add(3, &file, wanted(linux::EPOLLIN, 1)).unwrap();
    epoll.add(4, &file, wanted(linux::EPOLLIN, 2)).unwrap();
    counter.add(1).unwrap();
    assert_eq!(epoll.take(10).events.len(), 2);
    epoll.remove(4, &file).unwrap();
    assert_eq!(epoll.listed(), 2);
    for _ in 0..3 {
        let taken = epoll.take(10).events;
        assert_eq!(taken, [wanted(linux::EPOLLIN, 1)]);
    }
}

/// Watches that come and go while they are ready do not pile up in the list.
#[test]
fn watches_that_have_ended_do_not_pile_up() {
    let epoll = Epoll::new(Quota::new(10));
    let (counter, file) = counter();
    counter.add(1).unwrap();
    for _ in 0..1000 {
        epoll.add(3, &file, wanted(linux::EPOLLIN, 1)).unwrap();
        epoll.remove(3, &file).unwrap();
        assert!(epoll.listed() <= 2);
    }
}

/// So many watch one file, and no more: each takes its time when it becomes ready.
#[test]
fn the_watches_of_a_file_are_bounded() {
    let epoll = Epoll::new(Quota::new(5000));
    let (_, file) = counter();
    let added = (0..5000)
        .take_while(|number| epoll.add(*number, &file, wanted(linux::EPOLLIN, 0)) == Ok(()));
    assert_eq!(added.count(), 1024);
}
