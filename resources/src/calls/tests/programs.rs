//! Programs that make calls, on the fake machine.

use alloc::vec::Vec;

use crate::fake::script::{Action, Bench, Call};
use crate::process::ExitStatus;

/// The results of these calls, of which all return.
fn results(calls: &[Call]) -> Vec<i64> {
    let mut bench = Bench::new(4096);
    let actions: Vec<_> = calls.iter().copied().map(Action::Call).collect();
    let ended = bench.run(&actions);
    assert_eq!(ended.status, Some(ExitStatus::Exited(0)), "{ended:?}");
    assert_eq!(ended.results.len(), calls.len());
    ended.results.into_iter().map(u64::cast_signed).collect()
}

#[test]
fn a_program_knows_who_it_is() {
    let calls = [
        [39, 0, 0, 0, 0, 0, 0],
        [186, 0, 0, 0, 0, 0, 0],
        [102, 0, 0, 0, 0, 0, 0],
        [0xffff_ffff_0000_0027, 0, 0, 0, 0, 0, 0],
        [41, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(results(&calls), [1, 1, 0, 1, -38]);
}
