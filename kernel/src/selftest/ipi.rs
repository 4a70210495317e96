//! Every core wakes every other, one pair at a time; and an interrupt that nobody registered for
//! is reported and survived.

use core::sync::atomic::{AtomicUsize, Ordering};

use vortex_hal::apic::{self, Message};
use vortex_hal::cores::{self, Core, CoreIndex};
use vortex_hal::{interrupts, wakeup};

use super::{Failure, wait_for};
use crate::jobs;

/// Whom [`wake_target`] is to wake.
static TARGET: AtomicUsize = AtomicUsize::new(0);

pub(super) fn check() -> Result<(), Failure> {
    let me = cores::current_index();
    for target in cores::online_others() {
        // Core 0 is awake here, so it wakes others and is woken in `wait_to_be_woken`.
        for waker in cores::online().filter(|waker| waker.index() != target.index()) {
            check_pair(waker, target, me)?;
        }
        wait_to_be_woken(target, me)?;
    }
    check_unexpected()
}

/// Sends this core an interrupt that nobody has registered for.
fn check_unexpected() -> Result<(), Failure> {
    let vector = *interrupts::vector::DEVICES.end();
    let before = interrupts::unexpected(vector);
    apic::send(cores::current().apic_id(), Message::Interrupt(vector));
    wait_for(
        || interrupts::unexpected(vector) > before,
        format_args!("the unexpected interrupt {vector:#x} was not counted"),
    )
}

fn check_pair(waker: &Core, target: &Core, me: CoreIndex) -> Result<(), Failure> {
    let before = jobs::times_woken(target.index());
    if waker.index() == me {
        wakeup::wake(target);
    } else {
        TARGET.store(target.index().as_usize(), Ordering::Release);
        jobs::give(waker, wake_target);
    }
    wait_for(
        || jobs::times_woken(target.index()) > before,
        format_args!(
            "core {} did not wake core {}",
            waker.index(),
            target.index()
        ),
    )
}

/// Has `waker` wake this core, which sleeps.
fn wait_to_be_woken(waker: &Core, me: CoreIndex) -> Result<(), Failure> {
    let before = jobs::times_woken(me);
    TARGET.store(me.as_usize(), Ordering::Release);
    jobs::give(waker, wake_target);
    // Nothing else interrupts this core, so without a wake-up it would sleep for good: a timer
    // makes the failure visible.
    vortex_hal::timer::arm(vortex_hal::clock::now_ns() + super::PATIENCE);
    jobs::step();
    vortex_hal::timer::disarm();
    wait_for(
        || jobs::times_woken(me) > before,
        format_args!("core {} did not wake core {me}", waker.index()),
    )
}

fn wake_target() {
    if let Some(target) = CoreIndex::new(TARGET.load(Ordering::Acquire)) {
        wakeup::wake(cores::get(target));
    }
}
