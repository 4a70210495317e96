//! Random bytes, from the processor's own generator (Intel SDM volume 1, 7.3.17).
//!
//! Key functions: [`fill`]. A processor without one is rare by now and gets numbers that a stranger
//! cannot easily guess, made of the time-stamp counter; the log says so once.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::random::RdRand;

use crate::cpu;

/// RDRAND may fail when it is asked faster than it makes numbers; ten attempts are its maker's
/// advice.
const ATTEMPTS: u32 = 10;

/// Fills `into` with random bytes.
pub fn fill(into: &mut [u8]) {
    let source = RdRand::new();
    for bytes in into.chunks_mut(8) {
        let hardware = source.and_then(|source| (0..ATTEMPTS).find_map(|_| source.get_u64()));
        let word = hardware.unwrap_or_else(from_time);
        bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
    }
}

/// A number from the time-stamp counter's low bits, mixed with all before.
#[cold]
fn from_time() -> u64 {
    static POOL: AtomicU64 = AtomicU64::new(0);
    if POOL.load(Ordering::Relaxed) == 0 {
        log::warn!("the processor makes no random numbers; the time-stamp counter's are used");
    }
    let mut word = POOL.load(Ordering::Relaxed);
    for _ in 0..64 {
        word = mix(word ^ cpu::timestamp());
    }
    POOL.store(word | 1, Ordering::Relaxed);
    word
}

/// A bijection in which every bit of the result depends on every bit of `word`
/// (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ_from_one_call_to_the_next() {
        let (mut one, mut other) = ([0; 19], [0; 19]);
        fill(&mut one);
        fill(&mut other);
        assert_ne!(one, other);
        assert_ne!(one[11..], [0; 8]);
    }

    #[test]
    fn mixing_spreads_every_bit() {
        for bit in 0..64 {
            let changed = (mix(7) ^ mix(7 ^ (1 << bit))).count_ones();
            assert!((12..=52).contains(&changed), "bit {bit}: {changed}");
        }
    }
}
