//! The host counts each thread as a core, so owners and levels are checked for real.
use super::*;

#[test]
fn counts_of_several_threads_add_up() {
    let lock = IrqLock::new(Level::Kernel, 0_u32);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    *lock.lock() += 1;
                }
            });
        }
    });
    assert_eq!(*lock.lock(), 40_000);
    assert!(!lock.is_locked());
}

#[test]
#[should_panic(expected = "takes its own Heap lock again")]
fn taking_a_lock_twice_panics() {
    let lock = IrqLock::new(Level::Heap, ());
    let _first = lock.lock();
    let _second = lock.lock();
}

#[test]
#[should_panic(expected = "takes a Heap lock while it holds levels")]
fn taking_locks_out_of_order_panics() {
    let frames = IrqLock::new(Level::Frames, ());
    let heap = IrqLock::new(Level::Heap, ());
    let _first = frames.lock();
    let _second = heap.lock();
}

#[test]
fn rising_levels_are_in_order_and_can_be_taken_again() {
    let heap = IrqLock::new(Level::Heap, 1);
    let log = IrqLock::new(Level::Log, 2);
    for _ in 0..2 {
        let outer = heap.lock();
        let inner = log.lock();
        assert_eq!(*outer + *inner, 3);
    }
}

#[test]
fn a_held_lock_can_be_seized() {
    let lock = IrqLock::new(Level::Log, 7);
    let forgotten = lock.lock();
    core::mem::forget(forgotten);
    // SAFETY: the holder's guard was forgotten, so it never touches the value again.
    let seized = unsafe { lock.seize(10) };
    assert_eq!(*seized, 7);
}
