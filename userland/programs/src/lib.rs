//! What several of the programs need.
#![forbid(unsafe_code)]

pub mod exchange;
pub mod filebench;
pub mod packet;
pub mod reading;
pub mod shares;
pub mod time;
pub mod work;
