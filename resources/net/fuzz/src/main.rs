//! Fuzzes the network: packets, from the edge of the Device Interrupt Resource to the TCP Resource and
//! to sockets. Panics, overflows and hangs are found by the fuzzer; that nothing is left is asserted
//! here. `cargo xtask fuzz net` builds and runs it.
#![no_main]

mod machine;
mod script;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use machine::Edge;
use script::Script;

thread_local! {
    /// At rest between inputs.
    static EDGE: RefCell<Edge> = RefCell::new(Edge::new());
}

fuzz_target!(|bytes: &[u8]| {
    EDGE.with_borrow_mut(|edge| {
        Script::new(bytes).play(edge);
        edge.rest();
    });
});
