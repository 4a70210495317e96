//! TCP on a simulated wire: our engine against itself and against smoltcp's whole stack, and the
//! rules of the RFCs one by one.
#![forbid(unsafe_code)]

mod goodput;
mod host;
mod ours;
mod rig;
mod rules;
mod theirs;
mod transfers;
mod wire;
