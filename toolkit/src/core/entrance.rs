//! Where requests enter one core's queues: what is known here of each resource's scheduler.
//!
//! [`Entrances`] is a table by the index of the resources' numbers, looked into once for every
//! request. All else that a core knows of a resource is in
//! [`LocalResource`](super::send::LocalResource).

use alloc::vec::Vec;

use crate::ids::ResourceId;
use crate::tree::NodeIndex;

#[derive(Clone, Copy)]
struct Entrance {
    resource: ResourceId,
    /// The same, if this is the resource's only core.
    only_here: ResourceId,
    node: NodeIndex,
}

impl Entrance {
    /// No resource's: no request is for the outside.
    const CLOSED: Self = Self {
        resource: ResourceId::OUTSIDE,
        only_here: ResourceId::OUTSIDE,
        node: NodeIndex::NONE,
    };
}

/// The nodes of the resources' schedulers on this core, once they were needed.
pub(crate) struct Entrances(Vec<Entrance>);

impl Entrances {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// The node of a resource's scheduler.
    #[inline(always)]
    pub(crate) fn node(&self, resource: ResourceId) -> Option<NodeIndex> {
        let entrance = self.0.get(resource.index())?;
        // The place may belong to a successor.
        (entrance.resource == resource).then_some(entrance.node)
    }

    /// As [`Self::node`], if all requests for the resource are executed on this core.
    #[inline(always)]
    pub(crate) fn node_only_here(&self, resource: ResourceId) -> Option<NodeIndex> {
        let entrance = self.0.get(resource.index())?;
        (entrance.only_here == resource).then_some(entrance.node)
    }

    /// The nodes of all.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeIndex> {
        let open = |entrance: &&Entrance| entrance.resource != ResourceId::OUTSIDE;
        self.0.iter().filter(open).map(|entrance| entrance.node)
    }

    pub(crate) fn open(&mut self, resource: ResourceId, node: NodeIndex, is_only_core: bool) {
        let index = resource.index();
        if self.0.len() <= index {
            self.0.resize(index + 1, Entrance::CLOSED);
        }
        let only_here = if is_only_core {
            resource
        } else {
            ResourceId::OUTSIDE
        };
        self.0[index] = Entrance {
            resource,
            only_here,
            node,
        };
    }

    pub(crate) fn close(&mut self, resource: ResourceId) {
        if self.node(resource).is_some() {
            self.0[resource.index()] = Entrance::CLOSED;
        }
    }
}
