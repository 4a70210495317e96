//! The rules of the RFCs, one by one.

mod closing;
mod hostile;
mod opening;
mod receiving;
mod resets;
mod sending;
mod undoing;
