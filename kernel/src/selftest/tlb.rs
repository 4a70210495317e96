//! After a shootdown no core uses the old translation: all cores read a page again and again
//! while core 0 points it from one frame to another.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use spin::Once;
use vortex_hal::cores;
use vortex_hal::scratch::ScratchPage;

use super::{Failure, ensure, wait_for};
use crate::jobs;

/// What the page's two frames begin with.
const WORDS: [u64; 2] = [0x1111_1111, 0x2222_2222];
/// How often the page is switched.
const ROUNDS: u64 = 16;

static PAGE: Once<ScratchPage> = Once::new();
/// The round that is on: its page is in place, all cores are to read it.
static ROUND: AtomicU64 = AtomicU64::new(0);
/// How many cores have read in this round.
static READERS: AtomicUsize = AtomicUsize::new(0);
/// How many of them saw the wrong frame.
static WRONG: AtomicUsize = AtomicUsize::new(0);

pub(super) fn check() -> Result<(), Failure> {
    let page = ScratchPage::new(WORDS[0], WORDS[1])
        .map_err(|error| Failure::new(format_args!("{error}")))?;
    let page = PAGE.call_once(|| page);
    let cores = cores::online().count();
    for core in cores::online_others() {
        jobs::give(core, read_in_every_round);
    }
    for round in 1..=ROUNDS {
        ROUND.store(round, Ordering::Release);
        read(page, round);
        wait_for(
            || READERS.load(Ordering::Acquire) == cores,
            format_args!("not all of {cores} cores read the page in round {round}"),
        )?;
        let wrong = WRONG.load(Ordering::Acquire);
        ensure(
            wrong == 0,
            format_args!("{wrong} cores read through an old translation in round {round}"),
        )?;
        page.switch()
            .map_err(|error| Failure::new(format_args!("{error}")))?;
        READERS.store(0, Ordering::Release);
    }
    Ok(())
}

/// On every other core: reads once in each round.
fn read_in_every_round() {
    let Some(page) = PAGE.get() else { return };
    for round in 1..=ROUNDS {
        while ROUND.load(Ordering::Acquire) < round {
            core::hint::spin_loop();
        }
        read(page, round);
    }
}

/// Round 1 is before the first switch.
fn read(page: &ScratchPage, round: u64) {
    let expected = WORDS[(round as usize - 1) % 2];
    if page.read() != expected {
        WRONG.fetch_add(1, Ordering::AcqRel);
    }
    READERS.fetch_add(1, Ordering::AcqRel);
}
