//! A fake machine, for tests on the host: what real hardware would only do wrong silently, panics
//! here.

mod console;
#[cfg(test)]
pub mod disk;
pub mod memory;
pub mod processor;
pub mod program;
pub mod registers;
pub mod script;
pub mod world;
