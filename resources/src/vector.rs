//! The interrupts of a device, as the resource that serves it knows them.
//!
//! Key types: [`Vector`].

use core::sync::atomic::{AtomicBool, Ordering};

use spin::Once;

/// Which vector a device's interrupts have, and whether they come.
#[derive(Debug)]
pub(crate) struct Vector {
    /// `None` if it is polled.
    number: Once<u8>,
    come: AtomicBool,
}

impl Vector {
    /// Of a device that is polled.
    pub(crate) const fn new() -> Self {
        Self {
            number: Once::new(),
            come: AtomicBool::new(false),
        }
    }

    /// It interrupts by this vector. If that is not sure, it is polled until the first comes.
    pub(crate) fn set(&self, number: u8, is_sure: bool) {
        self.number.call_once(|| number);
        self.come.store(is_sure, Ordering::Relaxed);
    }

    /// Whether an interrupt of this vector, which has come, is the device's.
    pub(crate) fn is(&self, number: u8) -> bool {
        let is_it = self.number.get() == Some(&number);
        if is_it && !self.come.load(Ordering::Relaxed) {
            log::info!("interrupts come by vector {number:#x}: its device is polled no more");
            self.come.store(true, Ordering::Relaxed);
        }
        is_it
    }

    /// Whether the device is to be polled.
    pub(crate) fn is_polled(&self) -> bool {
        !self.come.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Vector;

    #[test]
    fn who_may_not_interrupt_is_polled_until_it_does() {
        let vector = Vector::new();
        assert!(vector.is_polled() && !vector.is(0x40));
        vector.set(0x40, false);
        assert!(vector.is_polled() && !vector.is(0x41) && vector.is_polled());
        assert!(vector.is(0x40) && !vector.is_polled());
        let sure = Vector::new();
        sure.set(0x41, true);
        assert!(!sure.is_polled());
    }
}
