//! Fuzzes the readers of requests (HTTP) and of commands (JSON).
//!
//! Every input goes to both. Panics, overflows and hangs are found by the fuzzer; what else must hold
//! of every answer is asserted here. `cargo xtask fuzz statsd` builds and runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vortex_statsd::control;
use vortex_statsd::http::{self, MAX_BODY, MAX_HEAD};

fuzz_target!(|bytes: &[u8]| {
    read_request(bytes);
    read_command(bytes);
});

/// A request is the same however much comes behind it, and none before all of it is there.
fn read_request(bytes: &[u8]) {
    if let Ok(Some((request, length))) = http::parse(bytes) {
        assert!(length <= bytes.len() && length <= MAX_HEAD + MAX_BODY);
        assert!(bytes[..length].ends_with(&request.body));
        assert_eq!(http::parse(&bytes[..length - 1]), Ok(None));
        assert_eq!(
            http::parse(&bytes[..length]),
            Ok(Some((request.clone(), length)))
        );
        read_command(&request.body);
    }
}

/// What was read is read again from how it is written.
fn read_command(body: &[u8]) {
    match control::read(body) {
        Ok(command) => {
            let json = serde_json::to_vec(&command).expect("it can be written");
            assert_eq!(control::read(&json), Ok(command));
        }
        Err(words) => assert!(words.starts_with("no command: ")),
    }
}
