//! Labels: one connection's packets keep their order and their core (paper, section 4.4).
//!
//! Key types: [`Lane`]. It is that of the packets that arrive for a connection or a socket
//! ([`super::flow::Labels`]), and what is done for it otherwise has the same.

use vortex_toolkit::Request;
use vortex_toolkit::ids::{AffinityLabel, DependencyLabel};

/// Packets that stay in order, and on one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    pub(super) dependency: DependencyLabel,
    pub(super) affinity: AffinityLabel,
}

impl Lane {
    /// This request has the lane's labels.
    #[must_use]
    pub fn mark<M>(self, request: Request<M>) -> Request<M> {
        request.near(self.affinity).ordered(self.dependency)
    }
}
