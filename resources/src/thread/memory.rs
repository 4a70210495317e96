//! What the calls about threads and time read and write in user memory.
//!
//! Key types: [`Timespec`], [`Timeval`].

use crate::calls::Verdict;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::space::{Space, UserError};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// `struct timespec`, as the user wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Timespec {
    pub(crate) fn read<M: Machine>(space: &Space<M>, address: u64) -> Result<Self, UserError> {
        let [seconds, nanoseconds] = read_pair(space, address)?;
        Ok(Self {
            seconds,
            nanoseconds,
        })
    }

    /// A time of so many nanoseconds.
    pub(crate) fn of(nanoseconds: u64) -> Self {
        Self {
            seconds: (nanoseconds / NS_PER_SECOND).cast_signed(),
            nanoseconds: (nanoseconds % NS_PER_SECOND).cast_signed(),
        }
    }

    pub(crate) fn write<M: Machine>(self, space: &Space<M>, address: u64) -> Result<(), UserError> {
        write_pair(space, address, [self.seconds, self.nanoseconds])
    }

    /// The time in nanoseconds; what does not fit is the most there is.
    ///
    /// # Errors
    /// EINVAL, as Linux has it: negative, or a second and more of nanoseconds.
    pub(crate) fn nanoseconds(self) -> Result<u64, Verdict> {
        let seconds = u64::try_from(self.seconds).map_err(|_| Errno::EINVAL)?;
        match u64::try_from(self.nanoseconds) {
            Ok(rest) if rest < NS_PER_SECOND => {
                Ok(seconds.saturating_mul(NS_PER_SECOND).saturating_add(rest))
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }
}

/// Reads a `struct timeval` in nanoseconds.
pub(crate) fn read_timeval<M: Machine>(space: &Space<M>, address: u64) -> Result<u64, Verdict> {
    let [seconds, microseconds] = read_pair(space, address)?;
    if !(0..1_000_000).contains(&microseconds) {
        return Err(Errno::EINVAL.into());
    }
    let nanoseconds = microseconds * 1000;
    Timespec {
        seconds,
        nanoseconds,
    }
    .nanoseconds()
}

/// Writes nanoseconds as a `struct timeval`.
pub(crate) fn write_timeval<M: Machine>(
    space: &Space<M>,
    address: u64,
    nanoseconds: u64,
) -> Result<(), UserError> {
    let time = Timespec::of(nanoseconds);
    write_pair(space, address, [time.seconds, time.nanoseconds / 1000])
}

fn read_pair<M: Machine>(space: &Space<M>, address: u64) -> Result<[i64; 2], UserError> {
    let [first, second] = read_words(space, address)?;
    Ok([first.cast_signed(), second.cast_signed()])
}

fn write_pair<M: Machine>(space: &Space<M>, address: u64, pair: [i64; 2]) -> Result<(), UserError> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&pair[0].to_le_bytes());
    bytes[8..].copy_from_slice(&pair[1].to_le_bytes());
    space.write(address, &bytes)
}

/// Reads consecutive 64-bit words.
pub(crate) fn read_words<M: Machine, const N: usize>(
    space: &Space<M>,
    address: u64,
) -> Result<[u64; N], UserError> {
    let mut words = [[0; 8]; N];
    space.read(address, words.as_flattened_mut())?;
    Ok(words.map(u64::from_le_bytes))
}
