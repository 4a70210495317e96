//! SYN cookies: a listener under pressure puts what it has to remember into its initial sequence
//! number (RFC 4987, section 3.6).
//!
//! The number is: a counter of minutes (2 bits of it), the segment size (3 bits), and a code of 27
//! bits over both, the tuple and the peer's number. With timestamps, the low bits of our clock hold
//! the peer's window scale and whether it has SACK (as Linux does); without them a connection
//! through a cookie has neither. A cookie counts for one to two minutes.

use crate::config::{Config, MIN_MSS};
use crate::connection::Identity;
use crate::keys::{FourTuple, Keys};
use crate::listen::HalfOpen;
use crate::options::Agreed;
use crate::segment::{Options, Segment};
use crate::seq::Seq;
use crate::time::{Instant, SECOND};

/// Segment sizes that a cookie can say; the largest that is not too large is taken.
const SIZES: [u16; 8] = [MIN_MSS as u16, 536, 1024, 1220, 1360, 1440, 1460, 8960];
const PERIOD: u64 = 60 * SECOND;
const CODE: u32 = (1 << 27) - 1;
/// In the clock: no scale was offered.
const NO_SCALE: u32 = 15;
/// The bits of the clock that are taken: four of scale, one of SACK.
const CLOCK_BITS: u32 = 5;

/// The SYN-ACK that answers a SYN without remembering it.
#[must_use]
pub(crate) fn answer(
    keys: &Keys,
    config: &Config,
    tuple: &FourTuple,
    syn: &Segment,
    now: Instant,
) -> Segment {
    let agreed = Agreed::new(config, &syn.options);
    let size = SIZES
        .iter()
        .rposition(|&size| size <= agreed.mss)
        .unwrap_or(0);
    let identity = Identity {
        local: tuple.local.1,
        remote: tuple.remote.1,
        iss: number(keys, tuple, syn.seq, now.0 / PERIOD, size),
        clock: keys.clock(tuple),
    };
    let half = HalfOpen::new(config, identity, syn, now);
    let mut segment = half.answer(config, now);
    match &mut segment.options.timestamps {
        Some(stamps) => {
            let scale = agreed
                .scales
                .map_or(NO_SCALE, |(theirs, _)| u32::from(theirs));
            let bits = scale << 1 | u32::from(agreed.sack);
            stamps.value = earlier_with_bits(stamps.value, bits);
        }
        None => {
            segment.options.window_scale = None;
            segment.options.sack_permitted = false;
        }
    }
    segment
}

/// The connection that an acknowledgment of a cookie opens, if it is one of ours.
#[must_use]
pub(crate) fn accept(
    keys: &Keys,
    config: &Config,
    tuple: &FourTuple,
    ack: &Segment,
    now: Instant,
) -> Option<HalfOpen> {
    let (iss, irs) = (ack.ack - 1, ack.seq - 1);
    let period = now.0 / PERIOD;
    let size = (iss.0 >> 27 & 7) as usize;
    let is_ours = [Some(period), period.checked_sub(1)]
        .into_iter()
        .flatten()
        .any(|period| number(keys, tuple, irs, period, size) == iss);
    if !is_ours {
        return None;
    }
    let bits = ack
        .options
        .timestamps
        .map(|stamps| stamps.echo & ((1 << CLOCK_BITS) - 1));
    let scale = bits
        .map(|bits| bits >> 1)
        .filter(|&scale| scale != NO_SCALE);
    let options = Options {
        mss: Some(SIZES[size]),
        window_scale: scale.and_then(|scale| u8::try_from(scale).ok()),
        sack_permitted: bits.is_some_and(|bits| bits & 1 == 1),
        timestamps: ack.options.timestamps,
        ..Options::default()
    };
    // The window is not scaled in SYN; here it stands as it would have there.
    let syn = Segment {
        seq: irs,
        window: ack.window,
        options,
        ..Segment::default()
    };
    let identity = Identity {
        local: tuple.local.1,
        remote: tuple.remote.1,
        iss,
        clock: keys.clock(tuple),
    };
    Some(HalfOpen::new(config, identity, &syn, now))
}

fn number(keys: &Keys, tuple: &FourTuple, irs: Seq, period: u64, size: usize) -> Seq {
    let size = size as u32;
    let more = u64::from(irs.0) << 32 | (period << 3 & 0xffff_fff8) | u64::from(size);
    let code = (keys.cookie(tuple, more) & u64::from(CODE)) as u32;
    let period = (period & 3) as u32;
    Seq(period << 30 | size << 27 | code)
}

/// The last value of a clock, not after `value`, that ends in `bits`.
fn earlier_with_bits(value: u32, bits: u32) -> u32 {
    let with_bits = value >> CLOCK_BITS << CLOCK_BITS | bits;
    if with_bits > value {
        with_bits.wrapping_sub(1 << CLOCK_BITS)
    } else {
        with_bits
    }
}
