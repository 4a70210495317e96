//! Fuzzes the ext2 file system with damaged images.
//!
//! The input says which bytes of a sound image are changed. Panics, overflows, hangs and running out
//! of memory are found by the fuzzer; requests outside of the volume and endless loops by the volume.
//! `cargo xtask fuzz ext2` builds and runs it.
#![no_main]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use libfuzzer_sys::fuzz_target;
use vortex_ext2 as ext2;

mod exercise;

/// See the README.
const IMAGE: &[u8] = include_bytes!("../base.img");

fuzz_target!(|bytes: &[u8]| {
    let image = exercise::damaged(IMAGE, bytes);
    let small_cache = bytes.len() % 2 == 1;
    let work = pin!(exercise::exercise(image, small_cache));
    // Every request is complete at once, so that nothing ever waits.
    assert!(
        work.poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
});
