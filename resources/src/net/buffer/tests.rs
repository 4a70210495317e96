use std::collections::BTreeSet;
use std::sync::atomic::AtomicU32;
use std::thread;

use super::*;

/// Frames from 100 on, at most so many.
fn pool(most: u32, there: u32) -> &'static Pool {
    let next = AtomicU32::new(0);
    Pool::new(most, move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        (number < there).then_some(Frame(100 + number))
    })
}

#[test]
fn halves_of_frames_do_not_overlap() {
    let pool = pool(4, 4);
    let all: Vec<Buffer> = core::iter::from_fn(|| pool.take()).collect();
    let addresses: BTreeSet<u64> = all.iter().map(Buffer::address).collect();
    let expected = (0..8).map(|half| 100 * PAGE_SIZE + half * BUFFER as u64);
    assert_eq!(addresses, expected.collect());
    assert_eq!((pool.out(), pool.frames()), (8, 4));
    drop(all);
    assert_eq!((pool.out(), pool.frames()), (0, 4));
    assert!(pool.take().is_some());
}

#[test]
fn there_are_no_more_than_the_source_has() {
    let pool = pool(10, 1);
    let (first, second) = (pool.take(), pool.take());
    assert!(first.is_some() && second.is_some());
    assert!(pool.take().is_none(), "the source has one frame");
    drop(first);
    assert!(pool.take().is_some(), "what came back can be had again");
}

#[test]
fn many_are_taken_and_given_back_at_once() {
    let (pool, other) = (pool(3, 3), pool(1, 1));
    let mut all = Vec::new();
    drop(pool.take());
    pool.take_many(4, &mut |buffer| all.push(buffer));
    assert_eq!((all.len(), pool.out(), pool.frames()), (4, 4, 2));
    pool.take_many(9, &mut |buffer| all.push(buffer));
    let numbers: BTreeSet<u32> = all.iter().map(|buffer| buffer.number).collect();
    assert_eq!((all.len(), numbers.len(), pool.out()), (6, 6, 6));
    let mut spent = Spent::default();
    all.extend(other.take());
    all.drain(..).for_each(|buffer| spent.add(buffer));
    assert_eq!(
        (pool.out(), other.out()),
        (0, 1),
        "another pool's is another list"
    );
    drop(spent);
    assert_eq!((pool.out(), other.out()), (0, 0));
}

#[test]
fn threads_never_have_one_buffer_at_the_same_time() {
    const BUFFERS: usize = 16;
    let pool = pool(BUFFERS as u32 / 2, 100);
    let owned: &[AtomicU32] = Box::leak(Box::new([const { AtomicU32::new(0) }; BUFFERS]));
    let work = |seed: u64| {
        let mut held = Vec::new();
        let mut state = seed;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let several = (state >> 60) as usize % 4;
            if state >> 63 == 0 {
                pool.take_many(several, &mut |buffer| {
                    let before = owned[buffer.number as usize].fetch_add(1, Ordering::SeqCst);
                    assert_eq!(before, 0, "{buffer:?} is out twice");
                    held.push(buffer);
                });
            } else {
                let mut spent = Spent::default();
                for buffer in held.drain(held.len().saturating_sub(several)..) {
                    owned[buffer.number as usize].fetch_sub(1, Ordering::SeqCst);
                    spent.add(buffer);
                }
            }
        }
        for buffer in held {
            owned[buffer.number as usize].fetch_sub(1, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || work(seed));
        }
    });
    assert_eq!(pool.out(), 0, "all came back");
}
