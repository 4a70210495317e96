//! Temporary.
use core::time::Duration;
/// t
pub fn now_ns() -> u64 { crate::cpu::timestamp() / 3 }
/// t
pub fn tsc_hz() -> u64 { 3_000_000_000 }
/// t
pub fn busy_wait(d: Duration) { let e = now_ns() + d.as_nanos() as u64; while now_ns() < e { core::hint::spin_loop(); } }
