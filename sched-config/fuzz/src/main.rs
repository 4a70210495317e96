//! Fuzzes the reader of the scheduler configuration with the bytes of a file.
//!
//! Panics, overflows, hangs and running out of memory are found by the fuzzer; what else must hold of
//! every answer is asserted here. `cargo xtask fuzz sched-config` builds and runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vortex_sched_config::{Known, Limits, load};

fuzz_target!(|bytes: &[u8]| {
    let known = Known::standard(8);
    match load(bytes, &known) {
        Ok(loaded) => {
            let again = loaded.configuration.plan(&known);
            assert_eq!(
                again.as_ref(),
                Ok(&loaded.plan),
                "checked twice, with two results"
            );
        }
        Err(report) => {
            assert!(!report.faults.is_empty());
            assert!(report.faults.len() + report.warnings.len() <= Limits::default().findings);
            for finding in report.faults.iter().chain(&report.warnings) {
                let at = finding
                    .location
                    .as_ref()
                    .expect("everything has its place in a file");
                assert!(at.line >= 1 && at.column >= 1);
                assert!(at.bytes.start <= at.bytes.end && at.bytes.end <= bytes.len());
                assert!(!finding.to_string().chars().any(char::is_control));
            }
        }
    }
});
