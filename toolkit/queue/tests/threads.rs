//! The inbox on real threads: millions of values, sleeping and waking by parking.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use vortex_queue::{Full, Receiver, Sender, Wake, channel};

/// No wait in this file is longer; then the test fails and says what it waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A value of one producer, wider than a word so that a torn one would show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    producer: usize,
    number: u64,
    check: u64,
}

impl Value {
    fn new(producer: usize, number: u64) -> Self {
        Self {
            producer,
            number,
            check: !number,
        }
    }
}

/// Pushes `count` values, waking the receiver when told to, and returns how often that was.
///
/// Every `pause`th value the producer waits until the receiver has taken all of its own so far, so
/// that the receiver gets to sleep.
fn produce(
    sender: &Sender<Value>,
    receiver: &Thread,
    taken: &AtomicU64,
    (producer, count, pause): (usize, u64, u64),
) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let mut wakes = 0;
    for number in 0..count {
        let mut value = Value::new(producer, number);
        loop {
            match sender.push(value) {
                Ok(Wake::Awake) => break,
                Ok(Wake::WasAsleep) => {
                    wakes += 1;
                    receiver.unpark();
                    break;
                }
                Err(Full(back)) => {
                    assert_eq!(back, Value::new(producer, number));
                    value = back;
                    assert!(
                        Instant::now() < deadline,
                        "the ring stays full at {value:?}"
                    );
                    thread::yield_now();
                }
            }
        }
        while number % pause == pause - 1 && taken.load(Ordering::Acquire) <= number {
            assert!(
                Instant::now() < deadline,
                "{number} of producer {producer} is not taken"
            );
            thread::yield_now();
        }
    }
    wakes
}

/// Takes `total` values, checks the order of each producer's, and returns how often its sleep was
/// ended by a producer.
fn consume(
    receiver: &mut Receiver<Value>,
    taken: &[AtomicU64],
    (total, nap): (u64, Duration),
) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let (mut received, mut woken) = (0, 0);
    while received < total {
        if let Some(value) = receiver.pop() {
            let expected = taken[value.producer].load(Ordering::Relaxed);
            assert_eq!(
                value,
                Value::new(value.producer, expected),
                "lost, doubled or torn"
            );
            taken[value.producer].store(expected + 1, Ordering::Release);
            received += 1;
        } else if receiver.try_sleep() {
            thread::park_timeout(nap);
            let by_timer = receiver.wake();
            woken += u64::from(!by_timer);
            assert!(
                !by_timer || Instant::now() < deadline,
                "no wake-up after {received} values"
            );
        } else {
            // A producer was preempted within a push.
            thread::yield_now();
        }
    }
    woken
}

/// `producers` threads send `count` values each through a ring of `capacity`, pausing every
/// `pause`th. The receiver's timer wakes it when it has slept for `nap`.
fn exchange((producers, capacity): (usize, usize), count: u64, pause: u64, nap: Duration) {
    let (sender, mut receiver) = channel(capacity);
    let taken: Vec<AtomicU64> = (0..producers).map(|_| AtomicU64::new(0)).collect();
    let this = thread::current();
    thread::scope(|scope| {
        let producers: Vec<_> = (0..producers)
            .map(|producer| {
                let (sender, this, taken) = (sender.clone(), &this, &taken[producer]);
                scope.spawn(move || produce(&sender, this, taken, (producer, count, pause)))
            })
            .collect();
        let woken = consume(&mut receiver, &taken, (count * producers.len() as u64, nap));
        let wakes: u64 = producers
            .into_iter()
            .map(|p| p.join().expect("a producer failed"))
            .sum();
        assert_eq!(
            wakes, woken,
            "each sleep is ended by its timer or by exactly one producer"
        );
        assert!(woken > 0, "the case should have made the receiver sleep");
    });
    assert_eq!(receiver.pop(), None);
    assert!(receiver.is_empty());
}

#[test]
fn millions_of_values_from_four_producers() {
    exchange((4, 1024), 1_000_000, 50_000, PATIENCE);
}

#[test]
fn a_small_ring_that_is_always_full_or_empty() {
    exchange((3, 2), 200_000, 10_000, PATIENCE);
}

#[test]
fn one_producer_and_a_receiver_that_sleeps_for_nearly_every_value() {
    exchange((1, 8), 20_000, 1, PATIENCE);
}

#[test]
fn wake_ups_by_a_timer_race_with_those_by_producers() {
    exchange((2, 8), 20_000, 1, Duration::from_micros(1));
}

/// Values that own memory: what is pushed is dropped exactly once, taken or not.
#[test]
fn values_that_own_memory_are_dropped_once() {
    use std::sync::Arc;
    const PUSHES: usize = 100_000;
    let token = Arc::new(());
    let (sender, mut receiver) = channel(256);
    let (pushed, taken) = thread::scope(|scope| {
        let producers = [(), ()].map(|()| {
            let (sender, token) = (sender.clone(), &token);
            scope.spawn(move || {
                (0..PUSHES)
                    .filter(|_| sender.push(Box::new(token.clone())).is_ok())
                    .count()
            })
        });
        let deadline = Instant::now() + PATIENCE;
        let mut taken = 0;
        while producers.iter().any(|producer| !producer.is_finished()) {
            assert!(Instant::now() < deadline, "the producers do not end");
            taken += std::iter::from_fn(|| receiver.pop()).take(1000).count();
        }
        (
            producers
                .map(|p| p.join().expect("a producer failed"))
                .iter()
                .sum::<usize>(),
            taken,
        )
    });
    assert_eq!(receiver.len(), pushed - taken);
    assert_eq!(Arc::strong_count(&token), 1 + pushed - taken);
    drop(receiver);
    drop(sender);
    assert_eq!(Arc::strong_count(&token), 1);
}
