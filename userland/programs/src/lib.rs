//! What several of the programs need.
#![forbid(unsafe_code)]

pub mod reading;
pub mod shares;
pub mod time;
pub mod work;
