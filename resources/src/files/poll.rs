//! `poll` on what is always ready.

use linux_raw_sys::general::{POLLIN, POLLNVAL, POLLOUT, POLLRDNORM, POLLWRNORM};

use super::descriptors::Opened;
use super::{Call, Outcome};
use crate::errno::Errno;

/// Bytes of `struct pollfd`: descriptor, what is asked, what is so.
const SIZE: usize = 8;

impl Call<'_> {
    /// `poll` and `ppoll` without their waiting: how many of the `count` entries at `entries` are
    /// ready. If 0, the caller waits until the timeout: nothing that is not ready ever will be.
    ///
    /// # Errors
    /// As poll(2).
    pub fn poll(&self, entries: u64, count: u64) -> Outcome {
        if count > u64::from(self.descriptors.lock().limit()) {
            return Err(Errno::EINVAL.into());
        }
        let mut bytes = alloc::vec![0; count as usize * SIZE];
        self.memory.read(entries, &mut bytes)?;
        let mut ready = 0;
        for [d0, d1, d2, d3, asked0, asked1, is0, is1] in bytes.as_chunks_mut::<SIZE>().0 {
            let descriptor = i32::from_le_bytes([*d0, *d1, *d2, *d3]);
            let asked = u16::from_le_bytes([*asked0, *asked1]);
            let is = if descriptor < 0 {
                0
            } else {
                self.ready(descriptor, asked)
            };
            ready += u64::from(is != 0);
            [*is0, *is1] = is.to_le_bytes();
        }
        self.memory.write(entries, &bytes)?;
        Ok(ready)
    }

    /// What a descriptor is ready for, of what is asked (`POLL*`); `POLLNVAL` if it is none.
    #[must_use]
    pub fn ready(&self, descriptor: i32, asked: u16) -> u16 {
        const ALWAYS: u32 = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
        match self.descriptors.lock().get(descriptor) {
            Err(_) => POLLNVAL as u16,
            Ok(file) if matches!(file.opened, Opened::Place) => POLLNVAL as u16,
            Ok(_) => asked & ALWAYS as u16,
        }
    }
}
