//! The interleavings and reorderings of small cases, by the loom model checker:
//! `RUSTFLAGS="--cfg loom" cargo test -p vortex-queue --release --test loom`.
//!
//! A case run by `loom::model` is explored without a bound, one by [`bounded`] up to a number of
//! preemptions. That a slot's value is never touched by two threads at once, nor read before it is
//! written, is checked in all of them: the slots' cells are loom's.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread::{self, Thread};

use vortex_queue::{Full, Marks, Receiver, Sender, Wake, channel, published};

/// Explores all runs with at most `preemptions` forced switches between threads.
fn bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Pushes, and wakes the receiver if told to. Counts the times it was.
fn push_and_wake(sender: &Sender<u32>, value: u32, receiver: &Thread, wakes: &AtomicUsize) {
    match sender
        .push(value)
        .expect("the ring has room for all values of the case")
    {
        Wake::Awake => {}
        Wake::WasAsleep => {
            wakes.fetch_add(1, Ordering::Relaxed);
            receiver.unpark();
        }
    }
}

/// Takes `count` values, sleeping whenever the ring is empty. Gives the values and the sleeps.
///
/// A wake-up that is lost leaves all threads blocked, which loom reports as a deadlock.
fn receive(receiver: &mut Receiver<u32>, count: usize) -> (Vec<u32>, usize) {
    let (mut values, mut sleeps) = (Vec::new(), 0);
    while values.len() < count {
        if let Some(value) = receiver.pop() {
            values.push(value);
        } else if receiver.try_sleep() {
            sleeps += 1;
            thread::park();
            assert!(
                !receiver.wake(),
                "woken by a producer, which has taken the sleep bit"
            );
        } else {
            // A producer has reserved the slot and not filled it yet.
            thread::yield_now();
        }
    }
    (values, sleeps)
}

#[test]
fn values_arrive_in_order_through_a_ring_that_fills() {
    loom::model(|| {
        let (sender, mut receiver) = channel(1);
        let producer = thread::spawn(move || {
            let mut sent = Vec::new();
            for value in 0..3 {
                match sender.push(value) {
                    Ok(wake) => {
                        assert_eq!(wake, Wake::Awake, "the receiver never sleeps here");
                        sent.push(value);
                    }
                    Err(Full(back)) => assert_eq!(back, value),
                }
            }
            sent
        });
        let mut received: Vec<u32> = (0..3).filter_map(|_| receiver.pop()).collect();
        let sent = producer.join().unwrap();
        assert!(!sent.is_empty(), "one always fits");
        received.extend(std::iter::from_fn(|| receiver.pop()));
        assert_eq!(received, sent);
        assert!(receiver.is_empty());
    });
}

/// Who pushes a reserved value only when the last one has been taken finds room, however full the
/// ring is.
#[test]
fn a_reserved_value_is_never_refused() {
    bounded(3, || {
        let (sender, mut receiver) = channel(1);
        let taken = Arc::new(AtomicUsize::new(0));
        let other = {
            let sender = sender.clone();
            thread::spawn(move || (10..12).filter(|v| sender.push(*v).is_ok()).collect())
        };
        let reserving = {
            let taken = taken.clone();
            thread::spawn(move || {
                assert_eq!(sender.push_reserved(20), Ok(Wake::Awake));
                if taken.load(Ordering::Acquire) == 20 {
                    assert_eq!(sender.push_reserved(21), Ok(Wake::Awake));
                }
            })
        };
        let mut received: Vec<u32> = Vec::new();
        for _ in 0..3 {
            if let Some(value) = receiver.pop() {
                received.push(value);
                if value == 20 {
                    taken.store(20, Ordering::Release);
                }
            }
        }
        let sent: Vec<u32> = other.join().unwrap();
        reserving.join().unwrap();
        received.extend(std::iter::from_fn(|| receiver.pop()));
        let others: Vec<u32> = received.iter().copied().filter(|v| *v < 20).collect();
        assert_eq!(others, sent);
        assert!(received.contains(&20));
    });
}

#[test]
fn producers_get_positions_of_their_own() {
    bounded(3, || {
        let (sender, mut receiver) = channel(2);
        let producers = [10, 20].map(|value| {
            let sender = sender.clone();
            thread::spawn(move || sender.push(value))
        });
        let mut received: Vec<u32> = (0..2).filter_map(|_| receiver.pop()).collect();
        for producer in producers {
            assert_eq!(producer.join().unwrap(), Ok(Wake::Awake));
        }
        received.extend(std::iter::from_fn(|| receiver.pop()));
        received.sort_unstable();
        assert_eq!(received, [10, 20]);
    });
}

/// Two producers race for one free slot: one gets it, the other its value back.
#[test]
fn the_last_free_slot_goes_to_one_producer() {
    loom::model(|| {
        let (sender, mut receiver) = channel(1);
        let other = {
            let sender = sender.clone();
            thread::spawn(move || sender.push(10))
        };
        let mine = sender.push(20);
        let theirs = other.join().unwrap();
        match (mine, theirs) {
            (Ok(Wake::Awake), Err(Full(10))) => assert_eq!(receiver.pop(), Some(20)),
            (Err(Full(20)), Ok(Wake::Awake)) => assert_eq!(receiver.pop(), Some(10)),
            both => panic!("{both:?}"),
        }
        assert_eq!(receiver.pop(), None);
    });
}

/// Each producer's values keep their order, whatever those of the other do in between.
#[test]
fn each_producers_order_is_kept() {
    bounded(3, || {
        let (sender, mut receiver) = channel(4);
        let producers = [10, 20].map(|base| {
            let sender = sender.clone();
            thread::spawn(move || {
                for value in base..base + 2 {
                    assert_eq!(sender.push(value), Ok(Wake::Awake));
                }
            })
        });
        let mut received: Vec<u32> = (0..4).filter_map(|_| receiver.pop()).collect();
        for producer in producers {
            producer.join().unwrap();
        }
        received.extend(std::iter::from_fn(|| receiver.pop()));
        for base in [10, 20] {
            let from: Vec<u32> = received
                .iter()
                .copied()
                .filter(|v| v / 10 == base / 10)
                .collect();
            assert_eq!(from, [base, base + 1]);
        }
    });
}

/// A push that has ended is there to be taken, whatever another producer left unfinished before:
/// the receiver then neither finds the ring empty nor goes to sleep.
#[test]
fn an_unfinished_push_keeps_the_receiver_awake() {
    loom::model(|| {
        let (sender, mut receiver) = channel(2);
        let unfinished = {
            let sender = sender.clone();
            thread::spawn(move || sender.push(10))
        };
        assert_eq!(sender.push(20), Ok(Wake::Awake));
        // From here on the other push has not begun, is under way, or has ended.
        let mut received: Vec<u32> = Vec::new();
        while !received.contains(&20) {
            assert!(!receiver.is_empty());
            assert!(!receiver.try_sleep(), "20 is inside");
            match receiver.pop() {
                Some(value) => received.push(value),
                None => thread::yield_now(),
            }
        }
        assert_eq!(unfinished.join().unwrap(), Ok(Wake::Awake));
        received.extend(receiver.pop());
        received.sort_unstable();
        assert_eq!(received, [10, 20]);
    });
}

#[test]
fn a_sleeping_receiver_is_woken_once_by_one_producer() {
    loom::model(|| {
        let (sender, mut receiver) = channel(2);
        let wakes = Arc::new(AtomicUsize::new(0));
        let producer = {
            let (wakes, this) = (wakes.clone(), thread::current());
            thread::spawn(move || {
                for value in 0..2 {
                    push_and_wake(&sender, value, &this, &wakes);
                }
            })
        };
        let (values, sleeps) = receive(&mut receiver, 2);
        producer.join().unwrap();
        assert_eq!(values, [0, 1]);
        assert_eq!(wakes.load(Ordering::Relaxed), sleeps);
    });
}

#[test]
fn a_sleeping_receiver_is_woken_once_by_one_of_two_producers() {
    bounded(3, || {
        let (sender, mut receiver) = channel(2);
        let wakes = Arc::new(AtomicUsize::new(0));
        let producers = [10, 20].map(|value| {
            let (sender, wakes, this) = (sender.clone(), wakes.clone(), thread::current());
            thread::spawn(move || push_and_wake(&sender, value, &this, &wakes))
        });
        let (mut values, sleeps) = receive(&mut receiver, 2);
        for producer in producers {
            producer.join().unwrap();
        }
        values.sort_unstable();
        assert_eq!(values, [10, 20]);
        assert_eq!(wakes.load(Ordering::Relaxed), sleeps);
    });
}

/// A timer ends the sleep while a producer may be about to: one of them has done it, never both.
#[test]
fn a_sleep_is_ended_by_the_receiver_or_by_a_producer() {
    loom::model(|| {
        let (sender, mut receiver) = channel(2);
        let producer = thread::spawn(move || sender.push(1));
        let slept = receiver.try_sleep();
        let ended_itself = receiver.wake();
        assert!(!receiver.wake(), "awake already");
        let told = producer.join().unwrap().unwrap() == Wake::WasAsleep;
        assert_eq!(slept, ended_itself ^ told);
        assert!(!(ended_itself && told));
        assert_eq!(receiver.pop(), Some(1));
        assert!(receiver.try_sleep());
    });
}

/// Whoever must wake the receiver sees where it said it would sleep.
#[test]
fn what_the_receiver_wrote_before_it_slept_is_seen_by_who_wakes_it() {
    loom::model(|| {
        let (sender, mut receiver) = channel(2);
        let bed = Arc::new(AtomicU64::new(0));
        let producer = {
            let bed = bed.clone();
            thread::spawn(move || {
                if sender.push(1) == Ok(Wake::WasAsleep) {
                    assert_eq!(bed.load(Ordering::Relaxed), 7);
                }
            })
        };
        bed.store(7, Ordering::Relaxed);
        let _ = receiver.try_sleep();
        producer.join().unwrap();
    });
}

/// Values still inside when both ends go are dropped, by whichever goes last; taken ones are not
/// dropped again. Loom reports an `Arc` that is leaked, and one that is freed twice.
#[test]
fn undelivered_values_are_dropped_once() {
    loom::model(|| {
        let value = Arc::new(());
        let (sender, mut receiver) = channel(2);
        let producer = {
            let value = value.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    assert!(matches!(sender.push(value.clone()), Ok(Wake::Awake)));
                }
            })
        };
        let taken = receiver.pop();
        drop(receiver);
        producer.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1 + usize::from(taken.is_some()));
    });
}

#[test]
fn published_words_are_of_one_write() {
    loom::model(|| {
        let (mut publisher, reader) = published();
        let writer = thread::spawn(move || {
            publisher.write(&[1, 11]);
            publisher.write(&[2, 12]);
        });
        if let Some(words) = reader.read(1) {
            assert!([[0, 0], [1, 11], [2, 12]].contains(&words), "{words:?}");
        }
        writer.join().unwrap();
        assert_eq!(reader.read(1), Some([2, 12]));
    });
}

/// What the writer moves from one place to another, with the publication closed meanwhile, a reader
/// finds in one of the two.
#[test]
fn words_beside_the_published_ones_belong_to_them() {
    loom::model(|| {
        let (mut publisher, reader) = published();
        let booked = Arc::new(AtomicU64::new(0));
        publisher.write(&[7]);
        let writer = {
            let booked = booked.clone();
            thread::spawn(move || {
                publisher.begin();
                booked.store(7, Ordering::Relaxed);
                publisher.write(&[0]);
            })
        };
        let mut other = 0;
        let words = reader.read_with(1, || {
            other = booked.load(Ordering::Relaxed);
            true
        });
        if let Some([running]) = words {
            assert_eq!(running + other, 7);
        }
        writer.join().unwrap();
        assert_eq!(reader.read_with(1, || false), None);
    });
}

#[test]
fn published_words_never_go_back() {
    bounded(3, || {
        let (mut publisher, reader) = published();
        let writer = thread::spawn(move || {
            publisher.write(&[1]);
            publisher.write(&[2]);
        });
        let [first, second] = [(); 2].map(|()| reader.read(1));
        if let (Some([first]), Some([second])) = (first, second) {
            assert!(second >= first, "went back from {first} to {second}");
        }
        writer.join().unwrap();
    });
}

/// A reader that has learnt of a write by other means sees that write or a later one.
#[test]
fn published_words_are_as_new_as_the_reader_knows() {
    loom::model(|| {
        let (mut publisher, reader) = published();
        let told = Arc::new(AtomicU64::new(0));
        let writer = {
            let told = told.clone();
            thread::spawn(move || {
                publisher.write(&[1]);
                told.store(1, Ordering::Release);
                publisher.write(&[2]);
            })
        };
        let known = told.load(Ordering::Acquire);
        if let Some([word]) = reader.read(1) {
            assert!(word >= known);
        }
        writer.join().unwrap();
    });
}

/// A device says something and interrupts, twice; a request looks what it has said. Only an interrupt
/// that finds no request on its way makes one.
#[test]
fn no_interrupt_is_missed_though_requests_are_few() {
    const SOURCE: u8 = 65;
    loom::model(|| {
        let (sender, mut requests) = channel(2);
        let (marks, said) = (Arc::new(Marks::default()), Arc::new(AtomicU64::new(0)));
        let device = {
            let (marks, said) = (marks.clone(), said.clone());
            thread::spawn(move || {
                for word in 1..=2 {
                    said.store(word, Ordering::Relaxed);
                    if marks.set(SOURCE) {
                        assert!(sender.push(SOURCE).is_ok(), "at most one is on its way");
                    }
                }
            })
        };
        let heard = Arc::new(AtomicU64::new(0));
        let look = |requests: &mut Receiver<u8>| {
            while let Some(source) = requests.pop() {
                marks.take(source);
                heard.store(said.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        };
        look(&mut requests);
        device.join().unwrap();
        look(&mut requests);
        assert_eq!(heard.load(Ordering::Relaxed), 2, "the last word is heard");
    });
}
