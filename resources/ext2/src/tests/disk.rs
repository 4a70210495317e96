//! A disk in memory, and the executor that completes its requests: both random, from one seed.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::ops::Range;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::Mutex;
use std::task::Wake;

use crate::{Data, IoError, Purpose, Volume};

/// What has happened to the disk, in order.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Write {
        offset: u64,
        data: Vec<u8>,
    },
    /// What was written before the event with this number is durable.
    Flush(usize),
}

/// What a request does when it is completed.
enum Action {
    Read(Range<usize>),
    Write { offset: u64, data: Vec<u8> },
    Flush(usize),
}

struct Request {
    id: u64,
    action: Action,
    waker: Waker,
}

struct State {
    bytes: Vec<u8>,
    requests: Vec<Request>,
    /// The results of those completed that nobody has fetched.
    results: Vec<(u64, Result<Vec<u8>, IoError>)>,
    next: u64,
    events: Vec<Event>,
    random: fastrand::Rng,
    /// Of a hundred requests, how many fail.
    failing: u32,
    most_requests: usize,
}

/// A disk; clones are the same one.
#[derive(Clone)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl core::fmt::Debug for Disk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Disk")
    }
}

/// File data in tests: a part of some bytes.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    all: Arc<Mutex<Vec<u8>>>,
    range: Range<usize>,
}

impl Bytes {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self {
            all: Arc::new(Mutex::new(bytes.to_vec())),
            range: 0..bytes.len(),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.all.lock().unwrap()[self.range.clone()].to_vec()
    }

    fn fill(&self, bytes: &[u8]) {
        self.all.lock().unwrap()[self.range.clone()].copy_from_slice(bytes);
    }
}

impl Data for Bytes {
    fn length(&self) -> usize {
        self.range.len()
    }

    fn split(self, at: usize) -> (Self, Self) {
        assert!(0 < at && at < self.range.len());
        let middle = self.range.start + at;
        let first = Self {
            all: self.all.clone(),
            range: self.range.start..middle,
        };
        let range = middle..self.range.end;
        (first, Self { range, ..self })
    }

    fn clear(self) {
        self.fill(&vec![0; self.range.len()]);
    }
}

impl Disk {
    pub(super) fn new(bytes: Vec<u8>, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            bytes,
            requests: Vec::new(),
            results: Vec::new(),
            next: 0,
            events: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            failing: 0,
            most_requests: 0,
        })))
    }

    pub(super) fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    /// How many events there have been.
    pub(super) fn now(&self) -> usize {
        self.0.lock().unwrap().events.len()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().events.clone()
    }

    pub(super) fn fail(&self, of_a_hundred: u32) {
        self.0.lock().unwrap().failing = of_a_hundred;
    }

    /// The most requests that were under way at once.
    pub(super) fn most_requests(&self) -> usize {
        self.0.lock().unwrap().most_requests
    }

    fn request(&self, action: Action) -> impl Future<Output = Result<Vec<u8>, IoError>> + Send {
        let disk = self.clone();
        let mut action = Some(action);
        let mut id = 0;
        poll_fn(move |context: &mut Context<'_>| {
            let mut state = disk.0.lock().unwrap();
            let waker = context.waker().clone();
            if let Some(mut action) = action.take() {
                id = state.next;
                state.next += 1;
                if let Action::Flush(since) = &mut action {
                    *since = state.events.len();
                }
                state.requests.push(Request { id, action, waker });
                state.most_requests = state.most_requests.max(state.requests.len());
                return Poll::Pending;
            }
            let state = &mut *state;
            if let Some(at) = state.results.iter().position(|(known, _)| *known == id) {
                return Poll::Ready(state.results.swap_remove(at).1);
            }
            let request = state.requests.iter_mut().find(|request| request.id == id);
            request.expect("a request is under way or has ended").waker = waker;
            Poll::Pending
        })
    }

    /// Completes one of the requests under way. False if there is none.
    fn complete(&self) -> bool {
        let mut guard = self.0.lock().unwrap();
        let state = &mut *guard;
        if state.requests.is_empty() {
            return false;
        }
        let chosen = state.random.usize(0..state.requests.len());
        let request = state.requests.swap_remove(chosen);
        let fails = state.random.u32(0..100) < state.failing;
        let result = match request.action {
            _ if fails => Err(IoError),
            Action::Read(range) => Ok(state.bytes[range].to_vec()),
            Action::Write { offset, data } => {
                let at = usize::try_from(offset).unwrap();
                state.bytes[at..at + data.len()].copy_from_slice(&data);
                state.events.push(Event::Write { offset, data });
                Ok(Vec::new())
            }
            Action::Flush(since) => {
                state.events.push(Event::Flush(since));
                Ok(Vec::new())
            }
        };
        state.results.push((request.id, result));
        drop(guard);
        request.waker.wake();
        true
    }

    fn range(&self, offset: u64, bytes: usize) -> Range<usize> {
        let at = usize::try_from(offset).unwrap();
        assert!(offset.is_multiple_of(1024), "a request at {offset}");
        assert!(
            at + bytes <= self.0.lock().unwrap().bytes.len(),
            "outside of the volume"
        );
        at..at + bytes
    }

    fn random(&self, below: usize) -> usize {
        self.0.lock().unwrap().random.usize(0..below)
    }

    /// Runs a future to its end.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let result = Mutex::new(None);
        self.run_all(vec![Box::pin(async {
            let value = future.await;
            *result.lock().unwrap() = Some(value);
        })]);
        result.into_inner().unwrap().unwrap()
    }

    /// Runs futures to their ends, interleaved.
    ///
    /// # Panics
    /// When all of them wait for each other.
    pub(super) fn run_all<'a>(&self, futures: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>) {
        let mut tasks: Vec<_> = futures
            .into_iter()
            .map(|f| (f, Arc::new(Ready::new())))
            .collect();
        while !tasks.is_empty() {
            let ready: Vec<usize> = (0..tasks.len())
                .filter(|task| tasks[*task].1.0.load(Ordering::SeqCst))
                .collect();
            if ready.is_empty() || self.random(3) == 0 {
                let completed = self.complete();
                assert!(completed || !ready.is_empty(), "a deadlock");
                continue;
            }
            let chosen = ready[self.random(ready.len())];
            let (task, ready) = &mut tasks[chosen];
            ready.0.store(false, Ordering::SeqCst);
            let waker = Waker::from(ready.clone());
            if task
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                drop(tasks.swap_remove(chosen));
            }
        }
    }
}

struct Ready(AtomicBool);

impl Ready {
    fn new() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Volume for Disk {
    type Data = Bytes;

    fn size(&self) -> u64 {
        self.0.lock().unwrap().bytes.len() as u64
    }

    async fn read(&self, offset: u64, bytes: usize, _: Purpose) -> Result<Box<[u8]>, IoError> {
        let range = self.range(offset, bytes);
        Ok(self.request(Action::Read(range)).await?.into())
    }

    async fn write(&self, offset: u64, data: Arc<[u8]>, _: Purpose) -> Result<(), IoError> {
        self.range(offset, data.len());
        let data = data.to_vec();
        self.request(Action::Write { offset, data }).await.map(drop)
    }

    async fn read_data(&self, offset: u64, data: Bytes, _: Purpose) -> Result<(), IoError> {
        let range = self.range(offset, data.length());
        let bytes = self.request(Action::Read(range)).await?;
        data.fill(&bytes);
        Ok(())
    }

    async fn write_data(&self, offset: u64, data: Bytes, _: Purpose) -> Result<(), IoError> {
        self.range(offset, data.length());
        let data = data.to_vec();
        self.request(Action::Write { offset, data }).await.map(drop)
    }

    async fn flush(&self) -> Result<(), IoError> {
        self.request(Action::Flush(0)).await.map(drop)
    }
}

/// What is on the disk after a power cut behind the first `events` events: writes that were not
/// durable are there or not, as `kept` says.
pub(super) fn cut(base: &[u8], events: &[Event], mut kept: impl FnMut() -> bool) -> Vec<u8> {
    let mut image = base.to_vec();
    let durable = events
        .iter()
        .filter_map(|event| match event {
            Event::Flush(since) => Some(*since),
            Event::Write { .. } => None,
        })
        .max()
        .unwrap_or(0);
    for (index, event) in events.iter().enumerate() {
        if let Event::Write { offset, data } = event
            && (index < durable || kept())
        {
            let at = usize::try_from(*offset).unwrap();
            image[at..at + data.len()].copy_from_slice(data);
        }
    }
    image
}
