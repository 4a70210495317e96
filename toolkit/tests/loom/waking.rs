//! A core with a task, and others that wake it: no wake is lost, whatever the core is about.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use loom::sync::atomic::AtomicBool;
use loom::thread;
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::scheduler::{SchedulerParams, Weight};
use vortex_toolkit::{Builder, Core, Request, SchedulerSpec, Step};

use crate::{Clock, Model, Mover, Say, Written, bounded, start, step};

/// Several things that all have to happen, and one task that waits for that.
#[derive(Clone)]
pub(crate) struct Event(Arc<State>);

struct State {
    parts: Vec<AtomicBool>,
    waker: loom::sync::Mutex<Option<Waker>>,
    polls: AtomicUsize,
}

impl Event {
    fn new(parts: usize) -> Self {
        Self(Arc::new(State {
            parts: (0..parts).map(|_| AtomicBool::new(false)).collect(),
            waker: loom::sync::Mutex::new(None),
            polls: AtomicUsize::new(0),
        }))
    }

    pub(crate) async fn wait(self) {
        poll_fn(|context| {
            let State {
                parts,
                waker,
                polls,
            } = &*self.0;
            polls.fetch_add(1, Ordering::Relaxed);
            *waker.lock().unwrap() = Some(context.waker().clone());
            // Relaxed: it is the wake that makes this poll see it.
            if parts.iter().all(|part| part.load(Ordering::Relaxed)) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Makes a part happen and wakes whoever waits.
    fn happen(&self, part: usize) {
        self.0.parts[part].store(true, Ordering::Relaxed);
        let waker = self.0.waker.lock().unwrap().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The only core, and a request on its way to it that waits for `event`.
fn core_with_a_task(event: &Event, written: &Written) -> Core<Model> {
    let mut builder = Builder::<Model>::new([(Mover, SchedulerParams::default())]);
    builder.inbox_capacity(1);
    builder.resource(
        "resource",
        SchedulerSpec::on(Mover, [CoreId(0)], Weight::DEFAULT),
    );
    let (_grid, seeds) = builder.build();
    let seed = seeds.into_iter().next().expect("there is a core");
    let mut core = start(seed, Some(thread::current()), written);
    core.send(request(Say::Wait(event.clone(), 1)));
    core
}

fn request(message: Say) -> Request<Say> {
    Request::new(ResourceId(0), ActivityId::INFRASTRUCTURE, message)
}

/// Steps, and sleeps whenever the core says so, until so much is written. A wake that is lost leaves
/// all threads blocked, which loom reports.
fn work_until(core: &mut Core<Model>, written: &Written, count: usize) {
    while written.lock().expect("unpoisoned").len() < count {
        match core.step() {
            Step::Asleep { .. } => thread::park(),
            // A sender may have reserved its place in the inbox and not filled it yet.
            Step::Worked => thread::yield_now(),
        }
    }
}

/// `parts` threads wake the task, at any time from before its first poll on if it is not to be
/// `begun` before.
fn woken_by(parts: usize, begun: bool) {
    let written = Arc::new(Mutex::new(Vec::new()));
    let event = Event::new(parts);
    let mut core = core_with_a_task(&event, &written);
    if begun {
        step(&mut core, 1);
    }
    let threads: Vec<_> = (0..parts)
        .map(|part| {
            let event = event.clone();
            thread::spawn(move || event.happen(part))
        })
        .collect();
    work_until(&mut core, &written, 1);
    for thread in threads {
        thread.join().expect("no panic");
    }
    // What woke it late wakes nobody.
    step(&mut core, 4);
    assert_eq!(core.waiting(), 0);
    let polls = event.0.polls.load(Ordering::Relaxed);
    assert!(polls <= 1 + parts, "{polls} polls");
}

#[test]
fn a_sleeping_core_hears_of_a_wake() {
    bounded(3, || woken_by(1, true));
}

#[test]
fn a_wake_is_not_lost_while_the_task_begins() {
    bounded(3, || woken_by(1, false));
}

#[test]
fn of_two_wakes_the_poll_sees_both() {
    bounded(2, || woken_by(2, true));
}

/// The inbox is full all the time; the wake finds room.
#[test]
fn a_wake_is_not_lost_while_the_inbox_is_full() {
    bounded(2, || {
        let written = Arc::new(Mutex::new(Vec::new()));
        let event = Event::new(1);
        let mut core = core_with_a_task(&event, &written);
        step(&mut core, 1);
        let grid = core.context().grid().clone();
        let this = Some(thread::current());
        let flood = thread::spawn(move || {
            let clock = Clock {
                core: CoreId(0),
                now: Cell::new(0),
                thread: this,
            };
            let sent = (2..4).filter(|number| {
                let numbered = request(Say::Number(*number));
                grid.submit(&clock, numbered).is_ok()
            });
            let sent: Vec<u32> = sent.collect();
            event.happen(0);
            sent
        });
        step(&mut core, 1);
        work_until(&mut core, &written, 1);
        let sent = flood.join().expect("no panic");
        step(&mut core, 6);
        let mut numbers: Vec<_> = written
            .lock()
            .expect("unpoisoned")
            .iter()
            .map(|(number, _)| *number)
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [&[1], &sent[..]].concat());
    });
}
