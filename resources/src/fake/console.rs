//! The console of a machine that is not there: what was written to it, and what is typed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use spin::Mutex;

/// Both directions.
#[derive(Debug, Default)]
pub(super) struct Console {
    written: Mutex<Vec<u8>>,
    /// What has been typed and not been taken.
    typed: Mutex<VecDeque<u8>>,
}

impl Console {
    pub(super) fn write(&self, bytes: &[u8]) {
        self.written.lock().extend_from_slice(bytes);
    }

    pub(super) fn written(&self) -> Vec<u8> {
        self.written.lock().clone()
    }

    pub(super) fn type_in(&self, bytes: &[u8]) {
        self.typed.lock().extend(bytes);
    }

    pub(super) fn untaken(&self) -> usize {
        self.typed.lock().len()
    }

    /// Takes what has been typed, as much as there is room for; how much.
    pub(super) fn read(&self, into: &mut [u8]) -> usize {
        let mut typed = self.typed.lock();
        let length = into.len().min(typed.len());
        for (to, from) in into.iter_mut().zip(typed.drain(..length)) {
            *to = from;
        }
        length
    }
}
