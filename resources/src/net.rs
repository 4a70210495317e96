//! The network (paper, section 4.4 and table 1).
//!
//! Key types: [`interface::Interface`] (what drivers are), [`buffer::Pool`] (memory for packets).

pub mod buffer;
#[cfg(any(test, feature = "fake"))]
pub mod cable;
pub mod interface;
