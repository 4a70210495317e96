//! A label moves from one core to another while a third one sends.
//!
//! Core 0 sends four requests of one label. Its first binding is to core 1 and soon over; the
//! governing policy then names core 2. Whatever the order in which the three cores come to do
//! their steps, the requests are executed once each, in the order sent.

use std::sync::{Arc, Mutex};

use loom::thread;
use vortex_toolkit::ids::{ActivityId, AffinityLabel, CoreId, DependencyLabel, ResourceId};
use vortex_toolkit::scheduler::{SchedulerParams, Weight};
use vortex_toolkit::{Builder, Core, Platform, Request, SchedulerSpec};

use crate::{Model, Mover, Say, Written, bounded, start, step};

fn send(core: &mut Core<Model>, number: u32) {
    let request = Request::new(
        ResourceId(0),
        ActivityId::INFRASTRUCTURE,
        Say::Number(number),
    );
    core.send(request.near(AffinityLabel(7)).ordered(DependencyLabel(9)));
}

/// Three cores, and a resource on the second and third.
fn cores(log: &Written, inbox: usize) -> Vec<Core<Model>> {
    let multiplexors = std::iter::repeat_n((Mover, SchedulerParams::default()), 3);
    let mut builder = Builder::<Model>::new(multiplexors);
    builder.inbox_capacity(inbox);
    builder.resource(
        "moved",
        SchedulerSpec::on(Mover, [CoreId(1), CoreId(2)], Weight::DEFAULT),
    );
    let (_grid, seeds) = builder.build();
    let start = |seed| start(seed, None, log);
    seeds.into_iter().map(start).collect()
}

fn a_label_moves(inbox: usize) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut cores = cores(&log, inbox);
    // The binding is made, and core 1 has executed one request of two.
    send(&mut cores[0], 0);
    send(&mut cores[0], 1);
    step(&mut cores[1], 1);
    let mut threads = Vec::new();
    for mut core in cores {
        threads.push(thread::spawn(move || {
            if core.platform().core() == CoreId(0) {
                send(&mut core, 2);
                step(&mut core, 1);
                send(&mut core, 3);
            }
            step(&mut core, 2);
            core
        }));
    }
    let joined = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"));
    let mut cores: Vec<_> = joined.collect();
    // The rest is one of many runs: each core in its turn, more often than messages are left.
    for _ in 0..40 {
        cores.iter_mut().for_each(|core| step(core, 1));
    }
    let log = log.lock().expect("unpoisoned");
    let numbers: Vec<_> = log.iter().map(|(number, _)| *number).collect();
    assert_eq!(
        numbers,
        [0, 1, 2, 3],
        "in the order sent, once each: {log:?}"
    );
    assert_eq!(
        log.last().map(|(_, core)| *core),
        Some(CoreId(2)),
        "the label has moved"
    );
}

#[test]
fn order_is_kept_while_a_label_moves() {
    bounded(1, || a_label_moves(8));
}

#[test]
fn order_is_kept_while_a_label_moves_and_inboxes_are_full() {
    bounded(1, || a_label_moves(2));
}
