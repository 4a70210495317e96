//! What several of the programs need.
#![forbid(unsafe_code)]

pub mod cgroups;
pub mod configuration;
pub mod exchange;
pub mod filebench;
pub mod netclasses;
pub mod packet;
pub mod reading;
pub mod sampling;
pub mod shares;
pub mod time;
pub mod work;
