//! What other libraries' operations cost that one would otherwise build on.
//!
//! None of them schedules, measures or accounts for anything.

use std::hint::black_box;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::workload::{Operation, Target, Workload};

/// The comparators' rows.
pub const WORKLOADS: &[Workload] = &[
    comparator(
        "crossbeam-bounded",
        "send and receive, one thread",
        100_000,
        crossbeam_bounded,
    ),
    comparator(
        "crossbeam-unbounded",
        "send and receive, one thread",
        100_000,
        crossbeam_unbounded,
    ),
    comparator(
        "std-mpsc",
        "send and receive, one thread",
        100_000,
        std_mpsc,
    ),
    comparator(
        "tokio-spawn",
        "spawn and await, one thread",
        20_000,
        tokio_spawn,
    ),
    comparator(
        "futex-ping-pong",
        "to another thread and back",
        20_000,
        futex_ping_pong,
    ),
    comparator(
        "pipe-ping-pong",
        "to another thread and back",
        20_000,
        pipe_ping_pong,
    ),
];

const fn comparator(
    name: &'static str,
    operation: &'static str,
    iterations: u64,
    run: fn() -> Operation,
) -> Workload {
    Workload {
        name,
        operation,
        warm_up: 500,
        iterations,
        target: Target::NONE,
        bound: None,
        counted: run,
        timed: run,
    }
}

fn crossbeam_bounded() -> Operation {
    let (sender, receiver) = crossbeam_channel::bounded(16);
    Box::new(move |n| {
        for i in 0..n {
            sender.send(black_box(i)).expect("the receiver is here");
            black_box(receiver.recv().expect("the sender is here"));
        }
    })
}

fn crossbeam_unbounded() -> Operation {
    let (sender, receiver) = crossbeam_channel::unbounded();
    Box::new(move |n| {
        for i in 0..n {
            sender.send(black_box(i)).expect("the receiver is here");
            black_box(receiver.recv().expect("the sender is here"));
        }
    })
}

fn std_mpsc() -> Operation {
    let (sender, receiver) = mpsc::channel();
    Box::new(move |n| {
        for i in 0..n {
            sender.send(black_box(i)).expect("the receiver is here");
            black_box(receiver.recv().expect("the sender is here"));
        }
    })
}

fn tokio_spawn() -> Operation {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers needs nothing of the system");
    Box::new(move |n| {
        runtime.block_on(async {
            for _ in 0..n {
                tokio::spawn(async {})
                    .await
                    .expect("an empty task does not panic");
            }
        });
    })
}

/// Whose turn it is in the futex ping-pong.
const MINE: u32 = 0;
const PARTNERS: u32 = 1;
const ENDED: u32 = 2;

/// One side's turn; ends the partner's thread when dropped.
struct FutexSide(Arc<AtomicU32>);

impl FutexSide {
    /// Hands the turn over and waits until it is no longer `given`.
    fn exchange(&self, given: u32) -> u32 {
        self.0.store(given, Ordering::Release);
        atomic_wait::wake_one(&*self.0);
        self.wait_while(given)
    }

    fn wait_while(&self, value: u32) -> u32 {
        loop {
            atomic_wait::wait(&self.0, value);
            let now = self.0.load(Ordering::Acquire);
            if now != value {
                return now;
            }
        }
    }
}

impl Drop for FutexSide {
    fn drop(&mut self) {
        self.0.store(ENDED, Ordering::Release);
        atomic_wait::wake_all(&*self.0);
    }
}

fn futex_ping_pong() -> Operation {
    let turn = Arc::new(AtomicU32::new(MINE));
    let partner = Arc::clone(&turn);
    thread::spawn(move || {
        let side = FutexSide(partner);
        let mut turn = side.wait_while(MINE);
        while turn == PARTNERS {
            turn = side.exchange(MINE);
        }
    });
    let side = FutexSide(turn);
    Box::new(move |n| {
        for _ in 0..n {
            let turn = side.exchange(PARTNERS);
            assert_eq!(turn, MINE, "the partner lives as long as this side");
        }
    })
}

fn pipe_ping_pong() -> Operation {
    let (mut ping_reader, mut ping_writer) = pipe().expect("a pipe can be made");
    let (mut pong_reader, mut pong_writer) = pipe().expect("a pipe can be made");
    // Ends when the other side closes its end of the pipe.
    thread::spawn(move || while hop(&mut ping_reader, &mut pong_writer).is_ok() {});
    Box::new(move |n| {
        for _ in 0..n {
            ping_writer.write_all(&[1]).expect("the partner reads");
            pong_reader
                .read_exact(&mut [0])
                .expect("the partner writes");
        }
    })
}

/// Passes one byte on.
fn hop(from: &mut PipeReader, to: &mut PipeWriter) -> std::io::Result<()> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    to.write_all(&byte)
}
