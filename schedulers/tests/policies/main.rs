//! The policies, each directly on the scheduler interface: models for those that are exact, bounds
//! for the others, and for all that no client is lost and none chosen that is not ready.

mod edf;
mod exact;
mod machine;
mod membership;
mod wfq;
