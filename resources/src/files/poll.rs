//! What poll(2) and select(2) find, and what they are to wait for if they find nothing.
//!
//! Key types: [`Polled`], [`Waits`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Call;
use super::descriptors::{Descriptors, OpenFile};
use super::ready::Events;
use super::{Errno, Failure};

/// Bytes of `struct pollfd`: descriptor, what is asked, what is so.
const SIZE: usize = 8;

/// Files, and what is asked of them.
pub type Waits = Vec<(Arc<OpenFile>, Events)>;

/// What has been found.
#[derive(Debug, Default)]
pub struct Polled {
    /// How many descriptors are ready; of select(2), in how many sets.
    pub ready: u64,
    /// What to wait for.
    pub waits: Waits,
    /// What is to be written into the program's memory, and where.
    pub answers: Vec<(u64, Vec<u8>)>,
}

/// Descriptors by the bits of a set of select(2): the address of its bits, 0 for none, and what is
/// asked of them.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The address.
    pub set: u64,
    /// What is asked.
    pub events: Events,
}

impl Call<'_> {
    /// Looks at the `count` entries of poll(2) at `entries`.
    ///
    /// # Errors
    /// EINVAL for more than there can be descriptors; [`Failure::User`].
    pub fn poll(&self, entries: u64, count: u64) -> Result<Polled, Failure> {
        if count > u64::from(self.descriptors.lock().limit()) {
            return Err(Errno::EINVAL.into());
        }
        let mut bytes = alloc::vec![0; count as usize * SIZE];
        self.memory.read(entries, &mut bytes)?;
        let mut polled = Polled::default();
        let descriptors = self.descriptors.lock();
        for [d0, d1, d2, d3, asked0, asked1, is0, is1] in bytes.as_chunks_mut::<SIZE>().0 {
            let descriptor = i32::from_le_bytes([*d0, *d1, *d2, *d3]);
            let asked = Events::from_bits_truncate(u16::from_le_bytes([*asked0, *asked1]).into());
            let is = match descriptor {
                ..0 => Events::empty(),
                _ => look(&descriptors, descriptor, asked, &mut polled.waits),
            };
            polled.ready += u64::from(!is.is_empty());
            [*is0, *is1] = (is.bits() as u16).to_le_bytes();
        }
        drop(descriptors);
        polled.answers.push((entries, bytes));
        Ok(polled)
    }

    /// Looks at the descriptors below `count` that are in the sets of select(2).
    ///
    /// # Errors
    /// EINVAL for a negative count; EBADF for a descriptor that is none; [`Failure::User`].
    pub fn select(&self, count: i32, asked: [Asked; 3]) -> Result<Polled, Failure> {
        let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
        let count = count.min(self.descriptors.lock().limit() as usize);
        let mut polled = Polled::default();
        for Asked { set, events } in asked {
            if set == 0 {
                continue;
            }
            let mut bits = alloc::vec![0; count.div_ceil(64) * 8];
            self.memory.read(set, &mut bits)?;
            self.select_set(count, events, &mut bits, &mut polled)?;
            polled.answers.push((set, bits));
        }
        Ok(polled)
    }

    fn select_set(
        &self,
        count: usize,
        asked: Events,
        bits: &mut [u8],
        polled: &mut Polled,
    ) -> Result<(), Errno> {
        // A set to be read from is told of the end, too; one to be written to of errors.
        let also = match asked {
            asked if asked.contains(Events::IN) => Events::ALWAYS,
            asked if asked.contains(Events::OUT) => Events::ERR,
            _ => Events::empty(),
        };
        let descriptors = self.descriptors.lock();
        for (index, byte) in bits.iter_mut().enumerate() {
            for bit in (0..8)
                .filter(|bit| *byte & 1 << bit != 0)
                .collect::<ArrayOfBits>()
            {
                let number = index * 8 + bit;
                let is = match i32::try_from(number) {
                    Ok(descriptor) if number < count => {
                        look(&descriptors, descriptor, asked, &mut polled.waits)
                    }
                    _ => Events::empty(),
                };
                if is.contains(Events::NVAL) {
                    return Err(Errno::EBADF);
                }
                match is.intersects(asked | also) {
                    true => polled.ready += 1,
                    false => *byte &= !(1 << bit),
                }
            }
        }
        Ok(())
    }
}

/// The bits of a byte.
type ArrayOfBits = arrayvec::ArrayVec<usize, 8>;

/// What a descriptor is ready for, of what is asked and of what everybody is told;
/// [`Events::NVAL`] if it is none. If it is ready for nothing, it is to be waited for.
fn look(descriptors: &Descriptors, descriptor: i32, asked: Events, waits: &mut Waits) -> Events {
    let Ok(file) = descriptors.get(descriptor) else {
        return Events::NVAL;
    };
    let is = file.readiness() & (asked | Events::ALWAYS | Events::NVAL);
    if is.is_empty() && file.queue().is_some() {
        waits.push((file, asked));
    }
    is
}
